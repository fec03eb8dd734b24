"""Background processes are started, recognised and stopped exactly."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local import processes
from scripts.local.paths import Cloud, LauncherError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(child.pid, flush=True)
time.sleep(60)
"""
WITH_CHILD = [sys.executable, "-c", PARENT]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(home=tmp_path)
    yield cloud
    for record in cloud.run.glob("*.json"):
        processes.stop(cloud.run, record.stem, grace_s=0.1)


def start(cloud: Cloud, name: str, command: list[str]) -> processes.Process:
    return processes.start(name, command, port=1234, run=cloud.run, logs=cloud.logs)


def first_line(cloud: Cloud, name: str) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        text = processes.log_file(cloud.logs, name).read_text()
        if "\n" in text:
            return text.splitlines()[0]
        time.sleep(0.02)
    raise AssertionError(f"{name} said nothing")


def test_a_started_process_is_known_until_it_is_stopped(cloud: Cloud) -> None:
    started = start(cloud, "one", SLEEP)
    assert processes.running(cloud.run, "one") == started
    assert processes.stop(cloud.run, "one") is True
    assert processes.started_at(started.pid) is None
    assert processes.running(cloud.run, "one") is None
    assert processes.stop(cloud.run, "one") is False


def test_stop_leaves_other_processes_alone(cloud: Cloud) -> None:
    start(cloud, "one", SLEEP)
    other = start(cloud, "two", SLEEP)
    processes.stop(cloud.run, "one")
    assert other.alive


def test_stop_takes_the_children_too(cloud: Cloud) -> None:
    start(cloud, "parent", WITH_CHILD)
    child = int(first_line(cloud, "parent"))
    assert processes.started_at(child) is not None
    processes.stop(cloud.run, "parent")
    assert gone(child)


def test_children_of_a_leader_that_died_by_itself_are_stopped(cloud: Cloud) -> None:
    leader = start(cloud, "parent", WITH_CHILD)
    child = int(first_line(cloud, "parent"))
    os.kill(leader.pid, 9)
    while leader.alive:
        time.sleep(0.02)
    processes.stop(cloud.run, "parent")
    assert gone(child)


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(cloud: Cloud) -> None:
    process = start(cloud, "deaf", STUBBORN)
    first_line(cloud, "deaf")
    began = time.monotonic()
    processes.stop(cloud.run, "deaf", grace_s=0.3)
    assert not process.alive
    assert time.monotonic() - began < 5


def test_a_reused_process_number_is_not_ours(cloud: Cloud) -> None:
    """A stale record must not stop whatever got its number since: here a process outside the launcher."""
    stranger = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        cloud.run.mkdir(parents=True)
        stale = {"name": "one", "pid": stranger.pid, "started": "long ago", "command": SLEEP, "port": 1}
        (cloud.run / "one.json").write_text(json.dumps(stale))
        assert processes.running(cloud.run, "one") is None
        assert processes.stop(cloud.run, "one") is False
        assert stranger.poll() is None
        assert not (cloud.run / "one.json").exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_a_damaged_record_counts_as_none(cloud: Cloud) -> None:
    cloud.run.mkdir(parents=True)
    (cloud.run / "one.json").write_text("{")
    assert processes.running(cloud.run, "one") is None


def test_the_log_of_the_start_before_is_kept_once(cloud: Cloud) -> None:
    for _ in range(3):
        start(cloud, "one", [sys.executable, "-c", "print('hello')"])
        first_line(cloud, "one")
    assert sorted(path.name for path in cloud.logs.iterdir()) == ["one.log", "one.log.1"]
    assert processes.tail(cloud.logs / "one.log") == "hello"


def test_a_port_that_a_killed_process_still_keeps_is_waited_for() -> None:
    kept = socket.create_server(("127.0.0.1", 0))
    port = kept.getsockname()[1]
    threading.Timer(0.2, kept.close).start()
    processes.require_free_port(port, "CLEARTAKE_PORT", "edge")


def test_a_taken_port_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PORT_KEPT_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LauncherError, match=rf"Port {port} \(edge\) is taken.*CLEARTAKE_PORT=\d+ make up"):
            processes.require_free_port(port, "CLEARTAKE_PORT", "edge")
    processes.require_free_port(port, "CLEARTAKE_PORT", "edge")


def test_two_launchers_take_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock, order, told = tmp_path / "run" / "lock", [], ""

    def second() -> None:
        with processes.exclusive(lock):
            order.append("second")

    with processes.exclusive(lock):
        thread = threading.Thread(target=second)
        thread.start()
        deadline = time.monotonic() + 30
        while not told:
            assert time.monotonic() < deadline, "the second never came to the lock"
            time.sleep(0.02)
            told += capsys.readouterr().out
        time.sleep(0.2)  # in which it would say so again
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
    assert (told + capsys.readouterr().out).count("Another `cleartake` command") == 1


def test_a_lock_held_too_long_is_reported(tmp_path: Path) -> None:
    lock = tmp_path / "run" / "lock"
    with (
        processes.exclusive(lock),
        pytest.raises(LauncherError, match="still works"),
        processes.exclusive(lock, wait_s=0.1),
    ):
        pass


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while processes.started_at(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes.started_at(pid) is None
