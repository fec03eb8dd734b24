"""``cleartake outputs | empty | remains``: what is deployed, what must go before it can, and what stays behind."""

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from infra.config import Config
from scripts import stacks
from scripts.local.paths import LauncherError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the three commands to the command line."""
    outputs_parser = _add(subparsers, "outputs", "show what is deployed to a stage")
    outputs_parser.set_defaults(run=outputs)
    empty_parser = _add(subparsers, "empty", "delete a stage's recordings, so that its stacks can be destroyed")
    empty_parser.add_argument("--yes", action="store_true", help="do not ask")
    empty_parser.set_defaults(run=empty)
    remains_parser = _add(subparsers, "remains", "show what destroyed stacks have left behind")
    remains_parser.add_argument("--mapping", type=Path, help="also write it as cdk import reads it")
    remains_parser.set_defaults(run=remains)


def _add(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=text)
    parser.add_argument("--stage", default="dev", help="dev, stage or prod (default: %(default)s)")
    return parser


def outputs(arguments: argparse.Namespace) -> int:
    """Print where the service is, and how to make a client."""
    config = stage_config(arguments.stage)
    print("\n".join(stacks.summary(published(config), config)))
    return 0


def empty(arguments: argparse.Namespace) -> int:
    """Empty the buckets of a stage that keeps nothing; CloudFormation deletes only empty ones."""
    config = stage_config(arguments.stage)
    if config.is_production:
        print("A prod stage keeps its recordings: nothing is emptied.")
        return 0
    with asking():
        names = stacks.buckets(aws("cloudformation"), config)
    if not names:
        return 0
    print(f"Everything in these buckets will be deleted: {', '.join(names)}")
    if not arguments.yes and input(f"Type the stage's name ({config.stage}) to go on: ").strip() != config.stage:
        raise LauncherError("Nothing was deleted.")
    with asking():
        for name in names:
            print(f"{name}: {stacks.empty(aws('s3'), name)} versions deleted")
    return 0


def remains(arguments: argparse.Namespace) -> int:
    """Print what is left, and write how a new stack takes it over."""
    config = stage_config(arguments.stage)
    with asking():
        left = stacks.kept(aws("cloudformation"), config)
    shown = [one for part in left.values() for one in part]
    for one in shown:
        print(f"{one.kind:24} {one.physical_id}")
    print(f"\n{len(shown)} resources of {config.stage} stay." if shown else f"Nothing of {config.stage} stays.")
    if arguments.mapping is not None:
        mapping = stacks.adoption(left)
        arguments.mapping.parent.mkdir(parents=True, exist_ok=True)
        arguments.mapping.write_text(json.dumps(mapping, indent=2) + "\n", encoding="utf-8")
    return 0


def stage_config(stage: str) -> Config:
    """Return the configuration that names a stage's stacks.

    Raises
    ------
    LauncherError
        If there is no such stage.
    """
    try:
        return Config.from_context({"stage": stage})
    except ValidationError:
        raise LauncherError(f"There is no stage {stage!r}: dev, stage or prod") from None


def published(config: Config) -> dict[str, str]:
    """Return what the stacks of a stage publish, read with the person's own credentials."""
    with asking():
        return stacks.outputs(aws("cloudformation"), config)


def aws(service: str) -> Any:
    """Return a client for a service, in the region of either variable."""
    if region := os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = region  # the only name under which boto3 looks for it
    session: Any = boto3.Session()  # typed by literal names only
    return session.client(service)


@contextmanager
def asking() -> Iterator[None]:
    """Turn what AWS and the way to it refuse into words for a person."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise LauncherError(f"AWS cannot be asked: {error}. See: make preflight") from None
