"""``cleartake up | down | status | logs``: the local cloud."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scripts.local import launcher, observe
from scripts.local import logs as local_logs
from scripts.local.launcher import Started
from scripts.local.paths import Cloud

if TYPE_CHECKING:
    from lambdas.core.services.jobs import ClientWork


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the four commands to the command line."""
    subparsers.add_parser("up", help="start the local cloud").set_defaults(run=up)
    down_parser = subparsers.add_parser("down", help="stop it; the data stays")
    down_parser.add_argument("--delete-data", action="store_true", help="delete uploads, results and clients as well")
    down_parser.set_defaults(run=down)
    subparsers.add_parser("status", help="show what runs").set_defaults(run=status)
    logs_parser = subparsers.add_parser("logs", help="show the ends of all logs")
    logs_parser.add_argument("-f", "--follow", action="store_true", help="keep showing what comes")
    logs_parser.add_argument("-n", "--lines", type=int, default=20, help="lines of each log (default: %(default)s)")
    logs_parser.set_defaults(run=logs)


def up(_: argparse.Namespace) -> int:
    """Start what does not run yet."""
    started = launcher.up(Cloud.from_environment(), say)
    print(summary(started))
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Stop exactly what ``up`` started."""
    cloud = Cloud.from_environment()
    stopped = launcher.down(cloud)
    print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")
    if arguments.delete_data:
        launcher.delete_data(cloud)
        print(f"Deleted the data in {cloud.home}.")
    elif stopped:
        print(f"The data stays in {cloud.home}.")
    return 0


def status(_: argparse.Namespace) -> int:
    """Show processes and work in hand."""
    cloud = Cloud.from_environment()
    seen = observe.look(cloud)
    for part in seen.parts:
        where = f"pid {part.pid}, port {part.port}" if part.pid else "not running"
        print(f"{part.name:10} {'up' if part.healthy else 'DOWN':5} {where}")
    if seen.work is not None:
        print(f"\n{cloud.base_url}")
        print(", ".join(f"{name}: {count}" for name, count in seen.work.items()))
        _show_clients(seen.clients)
    elif not seen.up:
        print("\nStart it: make up")
    return 0 if seen.up else 1


def _show_clients(clients: "Sequence[ClientWork]") -> None:
    from scripts.cli.all_jobs import client_lines  # noqa: PLC0415 - boto3, which a cloud that is down does not need

    for client in clients:
        for text in client_lines(client):
            print(text)


def logs(arguments: argparse.Namespace) -> int:
    """Print the ends of all logs."""
    local_logs.show(Cloud.from_environment(), lines=arguments.lines, follow=arguments.follow)
    return 0


def say(message: str) -> None:
    """Tell the person about progress."""
    print(f"  {message}", file=sys.stderr, flush=True)


def summary(started: Started) -> str:
    """Return what a person needs to call the API."""
    credentials = started.credentials
    head = "Already running" if started.was_running else "Ready"
    return "\n".join(
        (
            f"{head} ({started.seconds:.1f} s).",
            "",
            f"  base URL       {credentials.base_url}",
            f"  client id      {credentials.client_id}",
            f"  client secret  {credentials.client_secret}",
            "",
            "Try it: make enhance FILE=talk.mp3 STRENGTH=90",
        )
    )
