"""What public generators make of the document, as it is served, compiles and works."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.generated_clients import NODE_HOME, PYTHON
from tests.e2e.cloud import REPO, Cloud


@pytest.mark.skipif(not (PYTHON.exists() and NODE_HOME.exists()), reason="needs the generators: make test")
def test_generated_clients_compile_and_work(cloud: Cloud, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.generated_clients", "--folder", str(tmp_path)]
    done = subprocess.run(
        command, cwd=REPO, env=cloud.environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("which is waiting_for_upload") == 2
