"""A fake service behind the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.cli import main, service
from tests.unit.client.fake_service import FakeService

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    """Let the commands reach a fake service; notes of uploads lie in the test's folder."""
    fake = FakeService()
    monkeypatch.setattr(service, "connect", lambda: fake.client(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture
def run(fake: FakeService, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a command line: its exit code and what it prints."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main.main([str(one) for one in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
