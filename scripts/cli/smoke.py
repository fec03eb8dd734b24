"""``cleartake smoke``: the main job against what is deployed, or against the local cloud."""

import argparse
import os
import tempfile
from pathlib import Path

import httpx

from infra.outputs import Output
from lambdas.bootstrap import client_administration
from scripts.adobe_api import ApiError
from scripts.cli.demo import SAMPLES, bundled_sample
from scripts.cli.stacks import published, stage_config
from scripts.local import launcher
from scripts.local.paths import Cloud, LauncherError, outputs_of
from scripts.smoke import Target, caller, check


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("smoke", help="do the main job once against a deployed service")
    parser.add_argument("--local", action="store_true", help="against the local cloud instead of an AWS account")
    parser.add_argument("--stage", default="dev", help="dev, stage or prod (default: %(default)s)")
    parser.add_argument("--base-url", help="where clients reach it, if it has a domain of its own")
    parser.add_argument("--sample", type=Path, help="a recording of your own (default: the bundled one)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print each step; exit code 1 at the first that fails."""
    target = _local() if arguments.local else _deployed(arguments.stage)
    base_url = (arguments.base_url or target.base_url).rstrip("/")
    sample = arguments.sample or bundled_sample(SAMPLES)
    print(f"{base_url}, with {sample.name}")
    timeout = httpx.Timeout(60.0, connect=5.0)
    who = caller(client_administration(target.table), base_url)
    with (
        tempfile.TemporaryDirectory() as folder,
        httpx.Client(timeout=timeout, trust_env=not arguments.local) as http,
    ):
        try:
            result = check(http, who, sample, Path(folder), print)
        except ApiError as error:
            raise LauncherError(f"The smoke test failed at {error}") from None
        print(f"\n{result.name}, {result.stat().st_size} bytes. The service works.")
    return 0


def _local() -> Target:
    cloud = Cloud.from_environment()
    outputs = outputs_of(cloud)
    os.environ.update(launcher.local_environment())
    return Target(cloud.base_url, outputs[Output.TABLE_NAME])


def _deployed(stage: str) -> Target:
    outputs = published(stage_config(stage))
    return Target(outputs[Output.BASE_URL], outputs[Output.TABLE_NAME])
