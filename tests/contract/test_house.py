"""The house's own rules, as CI sees them: what `make lint` runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SOURCES = ("client/src", "gpu_container", "infra", "lambdas", "scripts")


@pytest.mark.timeout(1200)  # mypy without its cache
@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["lint-imports", "--no-cache"],
        ["mypy"],
        ["bandit", "-q", "-ll", "-c", "pyproject.toml", "-r", *SOURCES],
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


def test_the_toolchains_lock_names_no_index_and_hashes_everything() -> None:
    text = (REPO / "requirements" / "node" / "package-lock.json").read_text()
    assert "://" not in text
    packages = {name: package for name, package in json.loads(text)["packages"].items() if name}
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())


def test_one_place_names_the_version_of_the_cdks_command_line() -> None:
    wanted = json.loads((REPO / "requirements" / "node" / "package.json").read_text())["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values())
    named = [
        path for path in ("Makefile", *Path(REPO / "docs").glob("*.md")) if "aws-cdk@" in (REPO / path).read_text()
    ]
    assert named == []


def test_locks_name_no_index_and_hash_everything() -> None:
    for lock in (REPO / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "://" not in text, lock.name
        pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pinned
        assert all("==" in line and line.endswith("\\") for line in pinned), lock.name
