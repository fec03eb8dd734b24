"""Background processes: started in groups of their own, remembered on disk, stopped exactly."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.local.paths import HOST, REPO, LauncherError

POLL_S = 0.05

PORT_KEPT_S = 3.0
"""So long a dead process may keep its port: on a busy machine its last threads end after it."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process has started: only a parent can reap, and a child not reaped still looks alive."""


@dataclass(frozen=True)
class Process:
    """A started process. ``started`` tells it from a later process that was given the same number."""

    name: str
    pid: int
    started: str
    command: tuple[str, ...]
    port: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        child = _children.get(self.pid)
        if child is not None and child.poll() is not None:
            return False
        return started_at(self.pid) == self.started


def started_at(pid: int) -> str | None:
    """Return when ``pid`` started, as an opaque text; None if there is no such process (a zombie is none)."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    asked = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = asked.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def start(
    name: str,
    command: Sequence[str],
    *,
    port: int,
    run: Path,
    logs: Path,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start ``command`` in a process group of its own, its output in ``logs``, and record it in ``run``.

    ``port`` is where it will listen; it is only remembered here.
    """
    log = log_file(logs, name)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=REPO,
            env=dict(os.environ if environment is None else environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[child.pid] = child
    process = Process(name, child.pid, started_at(child.pid) or "", tuple(command), port)
    run.mkdir(parents=True, exist_ok=True)
    _record(run, name).write_text(json.dumps(asdict(process)))
    return process


def recorded(run: Path, name: str) -> Process | None:
    """Return the process last started as ``name``, alive or not."""
    try:
        known = json.loads(_record(run, name).read_text())
        return Process(known["name"], known["pid"], known["started"], tuple(known["command"]), known["port"])
    except (OSError, ValueError, KeyError):
        return None


def running(run: Path, name: str) -> Process | None:
    """Return the process started as ``name`` if it still runs."""
    process = recorded(run, name)
    return process if process and process.alive else None


def stop(run: Path, name: str, *, grace_s: float = 5.0) -> bool:
    """Stop what was started as ``name``, its children included; return whether it was running.

    SIGTERM goes to the leader alone, so that it can still use its children while it ends; what is left
    of its group after ``grace_s`` is killed.
    """
    process = recorded(run, name)
    if process is None:
        return False
    was_alive = process.alive
    if was_alive:
        _signal(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while process.alive and time.monotonic() < deadline:
            time.sleep(POLL_S)
    if process.alive or _is_free(process.pid):
        # No other group can have taken the number: it stays reserved while one of its members lives.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
            _wait_for_group(process.pid)
    _wait_until_dead(process)
    _children.pop(process.pid, None)
    _record(run, name).unlink(missing_ok=True)
    return was_alive


def log_file(logs: Path, name: str) -> Path:
    """Return where ``name`` writes."""
    logs.mkdir(parents=True, exist_ok=True)
    return logs / f"{name}.log"


def tail(path: Path, lines: int = 12) -> str:
    """Return the last ``lines`` of a log, or nothing."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def require_free_port(port: int, variable: str, what: str) -> None:
    """Raise with the remedy if ``port`` is taken, and not by one that was killed a moment ago."""
    deadline = time.monotonic() + PORT_KEPT_S
    while not _is_port_free(port) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    if not _is_port_free(port):
        # The neighbour must be free as well: the default of one port is the number after another's.
        free = next(other for other in range(port + 1, 65_535) if _is_port_free(other) and _is_port_free(other + 1))
        raise LauncherError(
            f"Port {port} ({what}) is taken by another program. Choose another one: {variable}={free} make up"
        )


def _is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def exclusive(lock: Path, *, wait_s: float = 600.0) -> Iterator[None]:
    """Hold ``lock`` so that two launchers never work on one home at once; the kernel frees it if we die."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    told = False
    with lock.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise LauncherError(f"Another `cleartake` command still works on {lock.parent.parent}.") from None
                if not told:
                    print("Another `cleartake` command is at work here; waiting for it.", flush=True)
                told = True
                time.sleep(POLL_S)
        yield


def _record(run: Path, name: str) -> Path:
    return run / f"{name}.json"


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_free(pid: int) -> bool:
    """Whether no process (other than an unreaped child of ours) has this number now."""
    return pid in _children or started_at(pid) is None


def _wait_for_group(leader: int, limit_s: float = 5.0) -> None:
    """Wait for the last member of a killed group: a busy machine takes a while over dozens of them."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        child = _children.get(leader)
        if child is not None:
            child.poll()  # reaps it: a zombie of ours would keep the group
        os.killpg(leader, 0)  # raises once nobody is left
        time.sleep(POLL_S)


def _wait_until_dead(process: Process, limit_s: float = 5.0) -> None:
    deadline = time.monotonic() + limit_s
    while process.alive and time.monotonic() < deadline:
        time.sleep(POLL_S)
