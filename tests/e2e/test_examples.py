"""The scripts of ``examples/`` do what they say, each as whoever copies it would run it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lambdas.bootstrap import client_administration
from tests.e2e.cloud import REPO, Cloud
from tests.engine.files import facts

NODE = Path(sys.executable).with_name("node")
EXAMPLES = {
    "curl": ["bash", "examples/enhance.sh"],
    "Python": [sys.executable, "examples/enhance.py"],
    "Node": [str(NODE), "examples/enhance.mjs"],
}
SAMPLE = REPO / "samples" / "librivox-noisy.mp3"


@pytest.fixture
def environment(cloud: Cloud, administrator: None) -> dict[str, str]:
    """Return what the examples read: the base URL, and the key of a client that is allowed to have one."""
    administration = client_administration(cloud.outputs["TableName"])
    client, secret = administration.create("examples", takes_api_keys=True)
    known = {"CLEARTAKE_URL": cloud.credentials["base_url"], "CLEARTAKE_API_KEY": f"{client.id}.{secret}"}
    return {"PATH": os.environ["PATH"], **known}


def run(command: list[str], environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*command, *arguments], cwd=REPO, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("command", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_enhances_a_recording(command: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    target = tmp_path / "clean.mp3"
    done = run(command, environment, str(SAMPLE), "90", str(target))
    assert (done.returncode, done.stdout) == (0, f"{target}\n"), done.stderr
    assert facts(target).container == "mp3"
    assert abs(facts(target).duration_s - facts(SAMPLE).duration_s) <= 0.05
    assert target.read_bytes() != SAMPLE.read_bytes()


@pytest.mark.parametrize("command", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_that_is_refused_says_so(command: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    done = run(command, environment, str(SAMPLE), "900", str(tmp_path / "clean.mp3"))
    assert done.returncode != 0
    assert "422" in done.stdout + done.stderr
