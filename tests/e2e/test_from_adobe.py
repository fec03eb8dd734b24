"""The programs of docs/from-adobe.md, with two lines changed as the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cloud import REPO, Cloud
from tests.engine.files import facts

PROGRAMS = re.findall(r"```python\n(.+?)```", (REPO / "docs" / "from-adobe.md").read_text(encoding="utf-8"), re.DOTALL)
SAMPLE = REPO / "samples" / "librivox-noisy.mp3"


@pytest.mark.parametrize("program", PROGRAMS, ids=["version 1", "version 2"])
def test_a_program_of_adobes_works_with_two_other_addresses(cloud: Cloud, program: str, tmp_path: Path) -> None:
    known = cloud.credentials
    program, changed = re.subn('^(API|IMS) = ".+"$', rf'\1 = "{known["base_url"]}"', program, flags=re.MULTILINE)
    assert changed == 2
    (tmp_path / "talk.mp3").write_bytes(SAMPLE.read_bytes())
    environment = {
        "PATH": os.environ["PATH"],
        "CLIENT_ID": known["client_id"],
        "CLIENT_SECRET": known["client_secret"],
    }
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert abs(facts(tmp_path / "clean.mp3").duration_s - facts(SAMPLE).duration_s) <= 0.05
    assert (tmp_path / "clean.mp3").read_bytes() != SAMPLE.read_bytes()
