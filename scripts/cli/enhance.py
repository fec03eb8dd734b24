"""``cleartake enhance``: files through the public REST API, several at once."""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.cli.rest import Access, Advance, Api, ApiError, media_type_of
from scripts.local.paths import Cloud, LauncherError
from scripts.local.tenants import Credentials

DEFAULT_STRENGTH = 90
DEFAULT_JOBS = 4

UPLOAD_SHARE, READY_SHARE, ENHANCE_SHARE = 0.2, 0.25, 0.9
"""Where on a file's bar each step ends."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file: ``result``, or ``error`` in words."""

    source: Path
    result: Path | None = None
    error: str | None = None


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("enhance", help="enhance files through the REST API")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--strength", type=_strength, default=DEFAULT_STRENGTH, help="1 to 100 percent (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="folder for the results (default: beside each file)")
    parser.add_argument("--jobs", type=int, default=DEFAULT_JOBS, help="files at once (default: %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Enhance the files; exit code 1 if any of them failed."""
    with httpx.Client(timeout=httpx.Timeout(60.0, connect=5.0), trust_env=not _is_local()) as http:
        outcomes = enhance_all(
            http, access(), arguments.files, strength=arguments.strength, out=arguments.out, jobs=arguments.jobs
        )
    for outcome in outcomes:
        if outcome.error:
            print(f"{outcome.source}: {outcome.error}", file=sys.stderr)
        else:
            print(outcome.result)
    return 1 if any(outcome.error for outcome in outcomes) else 0


def enhance_all(
    http: httpx.Client,
    who: Access,
    files: Sequence[Path],
    *,
    strength: int,
    out: Path | None = None,
    jobs: int = DEFAULT_JOBS,
) -> list[Outcome]:
    """Enhance ``files``, ``jobs`` at a time; a file that fails stops no other. Outcomes come in the files' order."""
    _require_distinct(files, out)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    try:
        api = Api.sign_in(http, who)
    except (ApiError, httpx.TransportError) as error:
        raise LauncherError(
            f"Cannot sign in at {who.base_url}: {error}. Is the service up? `cleartake status`"
        ) from None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress, ThreadPoolExecutor(max(1, jobs)) as pool:

        def one(path: Path) -> Outcome:
            return _enhance_one(api, path, strength, out or path.parent, progress)

        return list(pool.map(one, files))


def _enhance_one(api: Api, path: Path, strength: int, out: Path, progress: Progress) -> Outcome:
    bar = progress.add_task(path.name, total=1.0)
    try:
        result = _drive(api, path, strength, out, lambda share: progress.update(bar, completed=share))
    except (ApiError, httpx.HTTPError, OSError) as error:
        progress.update(bar, description=f"[red]{path.name}")
        return Outcome(path, error=str(error) or type(error).__name__)
    progress.update(bar, completed=1.0)
    return Outcome(path, result=result)


def _drive(api: Api, path: Path, strength: int, out: Path, advance: Advance) -> Path:
    asset = api.create_asset(path, media_type_of(path))
    api.upload(path, asset, _within(advance, 0.0, UPLOAD_SHARE))
    api.wait_until_ready(asset["id"])
    download = api.enhance(asset["id"], strength, _within(advance, READY_SHARE, ENHANCE_SHARE))
    return api.download(download, out, _within(advance, ENHANCE_SHARE, 1.0))


def _within(advance: Advance, start: float, end: float) -> Advance:
    return lambda share: advance(start + (end - start) * share)


def _require_distinct(files: Sequence[Path], out: Path | None) -> None:
    targets = [(out or path.absolute().parent, path.name) for path in files]
    if len(set(targets)) < len(targets):
        raise LauncherError("Two of the files have the same name, and one result would overwrite the other.")


def access() -> Access:
    """Return the service that the environment names, else the local cloud."""
    if not _is_local():
        try:
            return Access(
                os.environ["CLEARTAKE_BASE_URL"].rstrip("/"),
                os.environ["CLEARTAKE_CLIENT_ID"],
                os.environ["CLEARTAKE_CLIENT_SECRET"],
            )
        except KeyError as error:
            raise LauncherError(f"CLEARTAKE_BASE_URL is set, but {error.args[0]} is not.") from None
    credentials = Credentials.read(Cloud.from_environment().credentials_file)
    if credentials is None:
        raise LauncherError("There is no local cloud here yet. Start it: make up")
    return Access(credentials.base_url, credentials.client_id, credentials.client_secret)


def _is_local() -> bool:
    return "CLEARTAKE_BASE_URL" not in os.environ


def _strength(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to 100, not {text!r}")
    return int(text)
