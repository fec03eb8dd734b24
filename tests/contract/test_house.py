"""The house's own rules, as CI sees them: what `make lint` runs."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["lint-imports", "--no-cache"],
        ["mypy"],
        ["bandit", "-q", "-ll", "-r", "gpu_container", "infra", "lambdas", "scripts", "-c", "pyproject.toml"],
    ],
    ids=" ".join,
)
def test_a_rule(command: list[str]) -> None:
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_infrastructure_imports_needs_no_environment() -> None:
    code = "import lambdas.dialects.registry, lambdas.core.workflow, lambdas.settings"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_locks_name_no_index_and_hash_everything() -> None:
    for lock in (REPO / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "://" not in text, lock.name
        pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pinned
        assert all("==" in line and line.endswith("\\") for line in pinned), lock.name
