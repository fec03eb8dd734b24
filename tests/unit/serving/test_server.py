"""The server as a process: its port, its logs, its end at SIGTERM."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

DRIVER = """
import sys, threading
from gpu_container.serving import server
from gpu_container.serving.models import ModelShelf
from gpu_container.serving.worker import Worker

def slow(source, sink, **hooks):
    raise NotImplementedError

def make_worker(settings):
    return Worker(settings, None, ModelShelf(lambda name: name), slow)

server.make_worker = make_worker
sys.exit(server.serve())
"""


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = os.environ | {"CLEARTAKE_SERVE_HOST": "127.0.0.1", "CLEARTAKE_SERVE_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-c", DRIVER], env=env, stdout=subprocess.PIPE, text=True)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def test_serves_until_sigterm_and_ends_well(server: tuple[subprocess.Popen[str], str]) -> None:
    process, url = server
    deadline = time.monotonic() + 120
    while True:
        try:
            if httpx.get(f"{url}/ping", trust_env=False).status_code == 200:
                break
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the server did not come up"
        time.sleep(0.05)

    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert "ready" in [line["message"] for line in lines]
