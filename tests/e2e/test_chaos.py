"""A small storm, one fault of each kind that needs no long wait; ``make chaos`` is the whole one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cloud import REPO, Api, Cloud


def _drill(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # Its own cloud, on free ports: it must not meet a developer's, nor the suite's.
    command = [sys.executable, "-m", "scripts.chaos", "--seed", "5", "--home", str(home), *arguments]
    return subprocess.run(
        command, cwd=REPO, env=Cloud(home).environment, capture_output=True, text=True, timeout=1500, check=False
    )


def _counts(shown: str) -> dict[str, str]:
    rows = (line.split("│") for line in shown.splitlines() if line.startswith("│"))
    return {cells[1].strip(): cells[2].strip() for cells in rows if len(cells) > 3}


@pytest.mark.timeout(1600)
def test_nothing_is_lost_or_stuck_in_a_small_storm(tmp_path: Path) -> None:
    arguments = ("--jobs", "6", "--poison", "1", "--cancels", "1", "--faults", "kill-runner,stop-emulator")
    done = _drill(tmp_path / "home", *arguments, "--over-s", "5")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    counts = {name: int(count) for name, count in _counts(done.stdout).items() if count.isdigit()}
    assert counts["jobs in"] >= 6  # more where they were done before the faults were
    assert counts["failed as they should"] == 1
    assert counts["succeeded"] + counts["cancelled"] == counts["jobs in"] - 1
    assert counts["events delivered again"] > 0


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_nothing_is_lost_where_functions_do_the_work(tmp_path: Path) -> None:
    arguments = ("--jobs", "8", "--poison", "1", "--cancels", "2", "--faults", "kill-runner,kill-emulator")
    done = _drill(tmp_path / "home", *arguments, "--over-s", "10", "--lane", "cpu")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_any_process_may_be_killed_and_up_brings_it_back_with_the_data(tmp_path: Path, recording: bytes) -> None:
    cloud = Cloud(tmp_path / "home")
    try:
        cloud.cleartake("up")
        known = cloud.credentials
        api = Api(known["base_url"], known["client_id"], known["client_secret"], [0])
        for strength, name in enumerate(("edge", "sagemaker", "emulator"), start=1):
            asset = api.upload(recording)
            _kill(cloud, name)
            assert cloud.cleartake("status", check=False).returncode == 1
            cloud.cleartake("up")
            assert cloud.credentials == known
            assert api.asset(asset["id"]) == asset
            done = api.finished(api.enhance(asset["id"], strength).json())
            assert done["status"] == "succeeded"
    finally:
        cloud.cleartake("down", check=False)


def _kill(cloud: Cloud, name: str) -> None:
    """Kill -9 one of the launcher's processes, without any time to save what it knows."""
    os.kill(json.loads((cloud.home / "run" / f"{name}.json").read_text())["pid"], signal.SIGKILL)
