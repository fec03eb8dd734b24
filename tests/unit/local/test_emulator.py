"""Nothing local reaches an AWS account, and the emulator gets an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.local import emulator
from scripts.local.paths import Cloud, LauncherError

CLOUD = Cloud(Path("/nowhere"), emulator_port=4711)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], "AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "real"})


def test_no_account_of_the_person_is_passed_on() -> None:
    made = emulator.aws_environment(CLOUD)
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(made)
    assert made["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4711"
    assert "localhost" in made["NO_PROXY"]


def test_this_process_can_be_turned_to_the_emulator() -> None:
    emulator.enter(CLOUD)
    assert "AWS_PROFILE" not in os.environ
    assert os.environ["AWS_ACCESS_KEY_ID"] == "test"


def test_the_emulator_enforces_iam_keeps_its_data_and_listens_here_only(tmp_path: Path) -> None:
    made = emulator.environment(Cloud(tmp_path, emulator_port=4711))
    assert (made["AUTH"], made["PERSIST_STATE"], made["S3_PERSIST"]) == ("true", "1", "1")
    assert (made["BIND_HOST"], made["GATEWAY_PORT"]) == ("127.0.0.1", "4711")
    assert all(made[name].startswith(str(tmp_path)) for name in ("STATE_DIR", "S3_DATA_DIR", "TMPDIR"))
    assert Path(made["TMPDIR"]).is_dir()


def test_its_python_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.environ["CLEARTAKE_EMULATOR_VENV"] = str(tmp_path)
    commands: list[list[str]] = []

    def install(command: list[str], **_: Any) -> None:
        commands.append(command)
        package = tmp_path / "lib" / "python3.11" / "site-packages" / "ministack"
        package.mkdir(parents=True, exist_ok=True)
        (package / "app.py").touch()

    monkeypatch.setattr(emulator, "_uv", lambda: "uv")
    monkeypatch.setattr(subprocess, "run", install)
    assert emulator.ensure_python() == emulator.ensure_python() == tmp_path / "bin" / "python"
    assert [command[1] for command in commands] == ["venv", "pip"]


def test_a_failed_installation_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.environ["CLEARTAKE_EMULATOR_VENV"] = str(tmp_path)

    def fail(command: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(emulator, "_uv", lambda: "uv")
    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(LauncherError, match="could not be installed"):
        emulator.ensure_python()


def test_a_missing_uv_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    os.environ["PATH"] = str(tmp_path)
    with pytest.raises(LauncherError, match="make setup"):
        emulator._uv()
