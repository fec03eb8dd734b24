"""Asks the advisory service for known vulnerabilities of every locked package; ``make audit``.

Where the service knows nothing of a package, pip-audit skips it and is content. Here nothing is green unless it has
answered for every package, and has told of a vulnerability that is known to be there.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from infra.config import REPOSITORY

CANARY: Final = ("jinja2", "2.4.1")
"""Vulnerable for more than ten years: a service that does not say so has not answered."""

_PIN: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
_LIMIT_S: Final = 900

Pin = tuple[str, str]
Ask = Callable[[Iterable[Pin]], Mapping[str, Any] | None]
"""Pins → pip-audit's report; None where it made none."""


class Exit(IntEnum):
    """How the command ends."""

    CLEAN = 0
    VULNERABLE = 1
    NOT_RUN = 3


@dataclass
class Answer:
    """What the service said of all packages."""

    vulnerable: dict[Pin, list[str]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    """Packages of which it said nothing."""

    def add(self, asked: Iterable[Pin], report: Mapping[str, Any] | None) -> None:
        """Take in one report; a package that is not in it was not audited."""
        told = {one["name"].lower(): one for one in (report or {}).get("dependencies", ())}
        for name, version in asked:
            one = told.get(name.lower(), {})
            if "vulns" not in one:
                self.unknown.add(f"{name} {version}")
            elif one["vulns"]:
                self.vulnerable[name, version] = [vulnerability["id"] for vulnerability in one["vulns"]]


def pins(locks: Iterable[Path]) -> set[Pin]:
    """Return name and version of everything that is locked."""
    return {pin for lock in locks for pin in _PIN.findall(lock.read_text(encoding="utf-8"))}


def rounds(wanted: set[Pin]) -> list[list[Pin]]:
    """Split the pins so that no package stands twice in a round: locks differ in versions, pip-audit takes one."""
    split: list[dict[str, Pin]] = []
    for pin in sorted(wanted):
        free = next((chosen for chosen in split if pin[0] not in chosen), None)
        if free is None:
            free = {}
            split.append(free)
        free[pin[0]] = pin
    return [list(chosen.values()) for chosen in split]


def audit(wanted: set[Pin], ask: Ask) -> Answer:
    """Ask for the canary first, then for everything."""
    canary = Answer()
    canary.add([CANARY], ask([CANARY]))
    if CANARY not in canary.vulnerable:
        return Answer(unknown={f"{name} {version}" for name, version in wanted})
    answer = Answer()
    for chosen in rounds(wanted):
        answer.add(chosen, ask(chosen))
    return answer


def tell(answer: Answer, count: int) -> tuple[list[str], Exit]:
    """Return what a person reads, and the exit code."""
    lines = [f"{name} {version}: {', '.join(ids)}" for (name, version), ids in sorted(answer.vulnerable.items())]
    if len(answer.unknown) == count:
        return ["NOT RUN: the advisory service did not answer. Nothing is known of any package."], Exit.NOT_RUN
    if answer.unknown:
        lines.append(f"NOT RUN for {len(answer.unknown)} of {count} packages: {', '.join(sorted(answer.unknown))}")
    if answer.vulnerable:
        return [*lines, f"{len(answer.vulnerable)} packages are vulnerable."], Exit.VULNERABLE
    if answer.unknown:
        return lines, Exit.NOT_RUN
    return [f"No known vulnerability in {count} packages."], Exit.CLEAN


def pip_audit(python: Path) -> Ask:
    """Return a way of asking that runs pip-audit of another environment."""

    def ask(asked: Iterable[Pin]) -> Mapping[str, Any] | None:
        with tempfile.TemporaryDirectory() as folder:
            requirements, report = Path(folder, "requirements.txt"), Path(folder, "report.json")
            requirements.write_text("".join(f"{name}=={version}\n" for name, version in asked), encoding="utf-8")
            options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
            files = ["--output", str(report), "--requirement", str(requirements)]
            command = [str(python), "-m", "pip_audit", *options, *files]
            try:
                subprocess.run(command, check=False, capture_output=True, timeout=_LIMIT_S)
                found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
            except (OSError, ValueError, subprocess.TimeoutExpired):
                return None
            return found

    return ask


def main() -> int:
    """Run ``python -m scripts.audit``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="interpreter of the environment with pip-audit")
    arguments = parser.parse_args()
    wanted = pins((REPOSITORY / "requirements").glob("*.txt"))
    lines, code = tell(audit(wanted, pip_audit(arguments.python)), len(wanted))
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
