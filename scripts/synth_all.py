"""Synthesises every stage with and without a GPU, holds the templates to the gates, and shows what one machine changes.

``make synth-all``: cdk-nag runs in each synthesis, cfn-lint over all templates; the last tables compare the AWS variant
with the one for this machine and must be exactly what ``infra/variants.py`` lists.
"""

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from infra.app import synth
from infra.config import LOCAL_ACCOUNT, LOCAL_REGION, REPOSITORY, STACK_PARTS, Config
from infra.variants import AWS_ONLY, OTHERWISE, Resources, aws_only, differing_properties, resources, surplus

STAGES: Final[tuple[Literal["dev", "stage", "prod"], ...]] = ("dev", "stage", "prod")
BACKENDS: Final[tuple[Literal["sagemaker", "none"], ...]] = ("sagemaker", "none")

_CFN_LINT: Final = "import sys; from cfnlint.runner import main; sys.exit(main())"


@dataclass(frozen=True)
class Synthesis:
    """One cloud assembly that passed cdk-nag; a finding would have failed it."""

    config: Config
    folder: Path
    resources: Resources
    duration_s: float

    @classmethod
    def run(cls, config: Config, folder: Path) -> "Synthesis":
        """Synthesise ``config`` into ``folder``."""
        began = time.monotonic()
        synth(config, folder)
        return cls(config, folder, resources(folder, config, STACK_PARTS), time.monotonic() - began)

    @property
    def row(self) -> str:
        """One line of the table."""
        config = self.config
        return (
            f"{config.stage:7} {config.gpu_backend:11} {len(STACK_PARTS):6} {len(self.resources):10} "
            f"{'clean':8} {self.duration_s:6.1f} s"
        )


def configurations(context: Mapping[str, str]) -> list[Config]:
    """Return every combination of stage and GPU backend, each with ``context`` besides."""
    return [
        Config.from_context({**context, "stage": stage, "gpuBackend": backend})
        for stage, backend in itertools.product(STAGES, BACKENDS)
    ]


def lint(folders: Iterable[Path]) -> int:
    """Run cfn-lint over all templates of ``folders``; return its exit code."""
    templates = [str(path) for folder in folders for path in sorted(folder.glob("*.template.json"))]
    return subprocess.run([sys.executable, "-c", _CFN_LINT, *templates], check=False).returncode


def difference(here: Resources, there: Resources) -> tuple[list[str], bool]:
    """Return the tables of what the local variant does otherwise, and whether they are what is listed."""
    extra, missing, changed = surplus(there, here), surplus(here, there), differing_properties(here, there)
    lines = [f"\nOnly in AWS: {sum(extra.values())} resources"]
    for purpose, group in AWS_ONLY.items():
        lines += [f"  {purpose}", *(f"    {count:3} {kind}" for kind, count in group.items())]
    lines += [f"\nThe same resource, another property: {len(changed)}"]
    lines += [f"  {kind:28} {name:22} {OTHERWISE.get((kind, name), 'NOT LISTED')}" for kind, name in sorted(changed)]
    is_listed = extra == aws_only() and not missing and changed == set(OTHERWISE)
    verdict = "exactly the list in infra/variants.py" if is_listed else f"NOT the list: {extra=}, {missing=}"
    return [*lines, f"\nDifference of AWS and this machine: {verdict}"], is_listed


def main() -> int:
    """Run ``python -m scripts.synth_all``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "cdk.out.all", help="(default: %(default)s)")
    parser.add_argument("-c", "--context", action="append", default=[], metavar="KEY=VALUE", help="as for cdk")
    arguments = parser.parse_args()
    out: Path = arguments.out
    print(f"{'stage':7} {'gpuBackend':11} {'stacks':>6} {'resources':>10} cdk-nag")
    folders = []
    for config in configurations(dict(pair.split("=", 1) for pair in arguments.context)):
        made = Synthesis.run(config, out / f"{config.stage}-{config.gpu_backend}")
        folders.append(made.folder)
        print(made.row, flush=True)
    findings = lint(folders)
    print(f"cfn-lint: {'clean' if findings == 0 else 'FINDINGS, see above'}", flush=True)
    local = Synthesis.run(Config(local=True), out / "local")
    # For the same account, so that only real differences are left.
    aws = Synthesis.run(Config(account=LOCAL_ACCOUNT, region=LOCAL_REGION), out / "aws")
    lines, is_listed = difference(local.resources, aws.resources)
    print("\n".join(lines))
    return 0 if findings == 0 and is_listed else 1


if __name__ == "__main__":
    sys.exit(main())
