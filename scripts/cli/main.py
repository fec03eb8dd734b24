"""The ``cleartake`` command. Each subcommand's module is imported only when that subcommand is given."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.local.paths import LauncherError


@dataclass(frozen=True)
class Command:
    """A subcommand and the module whose ``add_parser`` defines it."""

    module: str
    help: str


COMMANDS = {
    "up": Command("scripts.cli.cloud", "start the local cloud"),
    "down": Command("scripts.cli.cloud", "stop it; the data stays"),
    "status": Command("scripts.cli.cloud", "show what runs; exit code 0 if all of it does"),
    "logs": Command("scripts.cli.cloud", "show the ends of all logs"),
    "enhance": Command("scripts.cli.enhance", "enhance a file, a URL or what is in a bucket"),
    "batch": Command("scripts.cli.enhance", "enhance many files"),
    "jobs": Command("scripts.cli.jobs", "list, show, watch and cancel your enhancements"),
    "assets": Command("scripts.cli.assets", "list, show, upload, fetch and delete your recordings"),
    "webhooks": Command("scripts.cli.webhooks", "be told of what happens; see how each telling went"),
    "usage": Command("scripts.cli.usage", "see what was done, by day"),
    "demo": Command("scripts.cli.demo", "start the cloud, enhance the sample, show the difference"),
    "clients": Command("scripts.cli.clients", "for operators: create, list, rotate and disable API clients"),
    "all-jobs": Command("scripts.cli.all_jobs", "for operators: every client's enhancements"),
    "preflight": Command("scripts.cli.preflight", "check the AWS account before deploying to it"),
    "outputs": Command("scripts.cli.stacks", "show what is deployed to a stage"),
    "empty": Command("scripts.cli.stacks", "delete a stage's recordings, so that its stacks can be destroyed"),
    "remains": Command("scripts.cli.stacks", "show what destroyed stacks have left behind"),
    "smoke": Command("scripts.cli.smoke", "do the main job once against a deployed service"),
    "engine": Command("scripts.cli.engine", "run the audio engine alone"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = build_parser(given[0] if given else None).parse_args(given)
    try:
        return int(parsed.run(parsed) or 0)
    except (LauncherError, OSError) as error:  # a full disk, say: the system's own words are enough
        print(f"cleartake: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """Return the parser, complete for the ``chosen`` subcommand and with the names of all others."""
    parser = argparse.ArgumentParser(
        prog="cleartake", description="Speech enhancement as a service, on your own cloud."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    if chosen in COMMANDS:
        importlib.import_module(COMMANDS[chosen].module).add_parser(subparsers)
        return parser
    for name, command in COMMANDS.items():
        subparsers.add_parser(name, help=command.help, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
