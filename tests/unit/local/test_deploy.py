"""A first deployment that was killed half way is told from one that ended."""

from pathlib import Path
from typing import Any

import pytest

from scripts.local import deploy
from scripts.local.paths import Cloud


class ParameterNotFoundError(Exception):
    """What the parameter store says of a marker that is not there."""


class Emulator:
    """Every service of it that the question takes."""

    exceptions = type("Exceptions", (), {"ParameterNotFound": ParameterNotFoundError})

    def __init__(self, *, stacks: list[str], tables: list[str], marker: str | None) -> None:
        self.stacks, self.tables, self.marker = stacks, tables, marker

    def list_stacks(self) -> dict[str, Any]:
        return {"StackSummaries": self.stacks}

    def list_tables(self) -> dict[str, Any]:
        return {"TableNames": self.tables}

    def get_parameter(self, **_: str) -> dict[str, Any]:
        if self.marker is None:
            raise ParameterNotFoundError
        return {"Parameter": {"Value": self.marker}}


@pytest.mark.parametrize(
    ("emulator", "expected"),
    [
        (Emulator(stacks=[], tables=[], marker=None), False),
        (Emulator(stacks=["data"], tables=[], marker=None), True),
        (Emulator(stacks=[], tables=["jobs"], marker=None), True),
        (Emulator(stacks=["data", "engine"], tables=["jobs"], marker="digest"), False),
    ],
)
def test_only_a_deployment_without_its_marker_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: Emulator, expected: bool
) -> None:
    monkeypatch.setattr(deploy, "client", lambda _cloud, _service: emulator)
    assert deploy.was_interrupted(Cloud(tmp_path)) is expected
