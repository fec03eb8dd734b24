"""The app's entry: ``cdk`` runs this module; the launcher and the tests call ``synth``.

Also a command: ``python -m infra.app --out DIR [--context key=value …]`` writes the cloud assembly without the ``cdk``
command, for both variants.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aws_cdk import App

from infra.config import FEATURE_FLAGS, Config
from infra.nag import gate
from infra.stacks.api import ApiStack
from infra.stacks.data import DataStack
from infra.stacks.engine import EngineStack
from infra.stacks.ops import OpsStack


def build(app: App, config: Config) -> None:
    """Put the stacks into ``app``."""
    data = DataStack(app, config)
    engine = EngineStack(app, config, data=data)
    api = ApiStack(app, config, data=data, engine=engine)
    OpsStack(app, config, api=api, engine=engine, data=data)
    if not config.local:
        gate(app)


def synth(config: Config, out: Path) -> Path:
    """Write the cloud assembly for ``config`` into ``out`` and return it."""
    app = App(outdir=str(out), context=dict(FEATURE_FLAGS), analytics_reporting=False)
    build(app, config)
    return Path(app.synth().directory)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as ``cdk``'s app, or alone with ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m infra.app", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for the cloud assembly")
    parser.add_argument("--local", action="store_true", help="the variant for one machine")
    parser.add_argument("--stage", help="dev, stage or prod")
    parser.add_argument("-c", "--context", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    app = App(outdir=str(options.out) if options.out else None, context=dict(FEATURE_FLAGS), analytics_reporting=False)
    build(app, Config.from_context({**_target_environment(), **app.node.get_all_context(), **_given(options)}))
    app.synth()
    return 0


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return what this command line sets; it goes before what ``cdk`` hands over."""
    named = {"local": options.local or None, "stage": options.stage}
    pairs = dict(pair.split("=", 1) for pair in options.context)
    return {**pairs, **{key: value for key, value in named.items() if value is not None}}


def _target_environment() -> dict[str, Any]:
    """Return the account and region that ``cdk`` found for the person's credentials."""
    names = {"account": "CDK_DEFAULT_ACCOUNT", "region": "CDK_DEFAULT_REGION"}
    return {key: os.environ[name] for key, name in names.items() if os.environ.get(name)}


if __name__ == "__main__":
    sys.exit(main())
