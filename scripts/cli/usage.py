"""``cleartake usage``: what was done, by day."""

import argparse

from cleartake_client import Client
from scripts.cli.service import add_json, day, running, show


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("usage", help="see what was done, by day")
    parser.add_argument("--from", dest="first", type=day, metavar="DAY", help="UTC (default: thirty days ago)")
    parser.add_argument("--to", dest="last", type=day, metavar="DAY", help="UTC (default: today)")
    add_json(parser)
    parser.set_defaults(run=running(_usage))


def _usage(client: Client, arguments: argparse.Namespace) -> int:
    usage = client.usage(arguments.first, arguments.last)
    head = f"{'day':10}{'succeeded':>11}{'failed':>8}{'cancelled':>11}{'minutes':>10}"
    rows = [
        f"{one.day}{one.succeeded:11}{one.failed:8}{one.cancelled:11}{one.audio_minutes:10.1f}" for one in usage.days
    ]
    show(arguments, usage, [head, *rows, f"{'':40}{usage.audio_minutes:10.1f}"])
    return 0
