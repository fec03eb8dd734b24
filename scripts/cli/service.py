"""What the commands of a client share: which service, how it is shown, and the exit code.

Exit codes: 0 done; 1 a recording or an enhancement failed; 2 the command line is wrong; 3 the service refused; 4 it
could not be reached or is busy: the same command may succeed later.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from cleartake_client import (
    ApiError,
    CleartakeError,
    Client,
    ClientCredentials,
    StorageError,
    UnreachableError,
    UploadInterruptedError,
    WaitTimeoutError,
)
from scripts.local.paths import Cloud, LauncherError
from scripts.local.tenants import Credentials

FAILED, REFUSED, LATER = 1, 3, 4

NEVER_SHOWN = frozenset({"upload"})
"""Holds a link that lets anybody write."""

Action = Callable[[Client, argparse.Namespace], int]


def connect() -> Client:
    """Return the service that ``CLEARTAKE_URL`` and ``CLEARTAKE_API_KEY`` name, else the local cloud."""
    url, api_key = os.environ.get("CLEARTAKE_URL"), os.environ.get("CLEARTAKE_API_KEY")
    if url and api_key:
        return Client(url, api_key)
    if url or api_key:
        raise LauncherError("CLEARTAKE_URL and CLEARTAKE_API_KEY belong together: one of them is not set.")
    return connect_to(Credentials.require(Cloud.from_environment().credentials_file))


def connect_to(known: Credentials) -> Client:
    """Return a local cloud for its first client."""
    return Client(known.base_url, credentials=ClientCredentials(known.client_id, known.client_secret))


def running(action: Action) -> Callable[[argparse.Namespace], int]:
    """Return the command that does ``action`` and words what goes wrong."""

    def run(arguments: argparse.Namespace) -> int:
        with connect() as client:
            try:
                return action(client, arguments)
            except CleartakeError as error:
                print(f"cleartake: {error}", file=sys.stderr)
                return exit_code(error)

    return run


def exit_code(error: Exception) -> int:
    """Return what a script may decide by."""
    if isinstance(error, UnreachableError | StorageError | UploadInterruptedError | WaitTimeoutError):
        return LATER
    if isinstance(error, ApiError):
        return LATER if error.retryable else REFUSED
    return FAILED


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let a command answer for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def show(arguments: argparse.Namespace, value: Any, lines: Iterable[str]) -> None:
    """Print a value of the client's: as JSON where that was asked for, else in words."""
    text = json.dumps(_plain(value), indent=2, default=_text) if arguments.json else "\n".join(lines)
    with suppress(BrokenPipeError):  # `| head`
        print(text, flush=True)


def local_time(moment: datetime) -> str:
    """Return a moment as a person reads it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def moment(text: str) -> datetime:
    """Read an ISO 8601 date or time; without a zone it is this machine's."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a date or time like 2026-01-31T12:00, not {text!r}") from None
    return read.astimezone(UTC)


def day(text: str) -> date:
    """Read a day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a day like 2026-01-31, not {text!r}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if name not in NEVER_SHOWN}
    return _plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else value


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
