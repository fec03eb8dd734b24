"""The command line as a whole."""

import subprocess
import sys

import pytest

from scripts.cli import main
from scripts.local.paths import REPO


@pytest.mark.parametrize("command", sorted(main.COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main.main([command, "--help"])
    assert stopped.value.code == 0
    assert "usage: cleartake" in capsys.readouterr().out


def test_the_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in main.COMMANDS)


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["fly"])
    assert "invalid choice" in capsys.readouterr().err


def test_a_wrong_port_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLEARTAKE_PORT", "http")
    assert main.main(["status"]) == 1
    assert capsys.readouterr().err.startswith("cleartake: CLEARTAKE_PORT must be")


def test_status_loads_nothing_heavy() -> None:
    program = (
        "import sys; from scripts.cli import main; main.build_parser('status'); "
        "print([name for name in ('numpy', 'matplotlib', 'aws_cdk', 'boto3', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
