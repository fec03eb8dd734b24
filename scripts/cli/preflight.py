"""``cleartake preflight``: whether the account is ready for ``make deploy``."""

import argparse
import json
import os
from typing import Any

import boto3
from botocore.config import Config as BotoConfig
from pydantic import ValidationError

from infra.config import REPOSITORY, Config
from scripts.local.paths import LauncherError
from scripts.preflight import Finding, inspect, is_ready

WAITS = BotoConfig(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 3})


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser("preflight", help="check the AWS account before deploying to it")
    parser.add_argument("--stage", default="dev", help="dev, stage or prod (default: %(default)s)")
    parser.add_argument("-c", "--context", action="append", default=[], metavar="KEY=VALUE", help="as for cdk")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print every finding; exit code 1 if one of them keeps one from deploying."""
    config = _config(arguments)
    session: Any = boto3.Session(region_name=os.environ.get("AWS_REGION"))  # typed by literal names only
    findings = inspect(lambda name: session.client(name, config=WAITS), config, region=session.region_name)
    print("\n".join(map(line, findings)))
    ready = is_ready(findings)
    print(f"\nReady: make deploy STAGE={config.stage}" if ready else "\nNot ready: see FAIL above.")
    return 0 if ready else 1


def line(finding: Finding) -> str:
    """Return a finding as one or two lines."""
    text = f"{finding.level:4}  {finding.name:12} {finding.message}"
    return f"{text}\n{'':19}→ {finding.remedy}" if finding.remedy else text


def _config(arguments: argparse.Namespace) -> Config:
    """Read the configuration as the deployment will: ``cdk.json``, then the command line."""
    given = json.loads((REPOSITORY / "cdk.json").read_text()).get("context", {})
    try:
        pairs = dict(pair.split("=", 1) for pair in arguments.context)
        return Config.from_context({**given, "stage": arguments.stage, **pairs})
    except (ValidationError, ValueError) as error:
        raise LauncherError(f"The configuration is wrong: {error}") from None
