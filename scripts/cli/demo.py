"""``cleartake demo``: the cloud, one noisy recording, and the difference in numbers and in a picture."""

import argparse
import shutil
import time
from pathlib import Path

from cleartake_client import MEDIA_TYPES, CleartakeError, Wish
from scripts.cli.cloud import say, summary
from scripts.cli.progress import ENHANCING, bars
from scripts.cli.service import connect_to
from scripts.local import launcher
from scripts.local.paths import REPO, Cloud, LauncherError
from scripts.local.tenants import Credentials

SAMPLES = REPO / "samples"
STRENGTH = 90


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("demo", help="start the cloud, enhance the sample, show the difference")
    parser.add_argument("--sample", type=Path, help="a recording of your own (default: the bundled one)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; leaves the cloud up."""
    began = time.monotonic()
    cloud = Cloud.from_environment()
    sample = arguments.sample or bundled_sample(SAMPLES)
    started = launcher.up(cloud, say)
    print(summary(started), end="\n\n")

    folder = cloud.home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    before = Path(shutil.copy(sample, folder / sample.name))
    after = _enhance(started.credentials, before, folder)
    _compare(before, after, folder / "spectrograms.png")
    print(f"\nTook {time.monotonic() - began:.1f} s. The cloud stays up at {cloud.base_url}; stop it with: make down")
    return 0


def bundled_sample(folder: Path) -> Path:
    """Return the first recording in ``folder``."""
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in MEDIA_TYPES)
    if not found:
        raise LauncherError(f"There is no recording in {folder}. Give one: cleartake demo --sample talk.wav")
    return found[0]


def _enhance(credentials: Credentials, before: Path, folder: Path) -> Path:
    with connect_to(credentials) as client, bars(ENHANCING) as new_bar:
        advance = new_bar(before.name)
        try:
            done = client.enhance(before, Wish(STRENGTH), on_progress=advance)
            return client.enhancements.download(done.id, folder, on_progress=advance)
        except CleartakeError as error:
            raise LauncherError(f"{before.name} could not be enhanced: {error}. See: cleartake logs") from error


def _compare(before: Path, after: Path, picture: Path) -> None:
    from scripts.cli import quality  # noqa: PLC0415 - numpy and its friends, after the cloud is up

    was, now = quality.dnsmos(before), quality.dnsmos(after)
    print(f"{'DNSMOS P.835':14}{'before':>8}{'after':>8}")
    for name in ("signal", "background", "overall"):
        print(f"{name:14}{getattr(was, name):8.2f}{getattr(now, name):8.2f}")
    quality.draw_spectrograms(before, after, picture)
    print(f"\nbefore    {before}\nafter     {after}\npicture   {picture}")
