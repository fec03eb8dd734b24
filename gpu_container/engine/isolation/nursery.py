"""The parent's side: one zygote per process, and a handle on each child."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Final

from gpu_container.contract import ErrorCode
from gpu_container.engine.errors import EngineError
from gpu_container.engine.isolation.wire import Channel
from gpu_container.engine.isolation.zygote import ENDING

_KEPT_VARIABLES: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "PYTHONDONTWRITEBYTECODE")
_ENDING_WITHIN_S: Final = 5.0
"""How long the kernel may take to clear a dead child away before its end is called unknown."""
_ENTRY: Final = "gpu_container.engine.isolation.child:main"


class Child:
    """A process that works for us until it is done, dies, or is let go of.

    Attributes
    ----------
    channel
        The way to talk to it.
    """

    def __init__(self, channel: Channel, leash: socket.socket) -> None:
        self.channel = channel
        self._leash = leash

    def ending(self) -> int | None:
        """Return the exit status of a child that has ended, minus the signal where one killed it; None if unknown."""
        self._leash.settimeout(_ENDING_WITHIN_S)
        try:
            said = self._leash.recv(ENDING.size)
        except OSError:
            return None
        return int(ENDING.unpack(said)[0]) if len(said) == ENDING.size else None

    def let_go(self) -> None:
        """Kill the child if it still runs."""
        self.channel.close()
        self._leash.close()


class Nursery:
    """Starts children; safe to call from several threads.

    Parameters
    ----------
    entry
        ``module:function``, called in the child with the number of its socket.
    """

    def __init__(self, entry: str = _ENTRY) -> None:
        self._entry = entry
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._zygote: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def start(self) -> Child:
        """Start a child.

        Raises
        ------
        EngineError
            ENGINE_FAILED if no process can be started.
        """
        with ExitStack() as unused:
            try:
                ours, job = map(unused.enter_context, socket.socketpair())
                leash, its_end = map(unused.enter_context, socket.socketpair())
                with self._lock:
                    self._fork([job.fileno(), its_end.fileno()])
            except OSError as error:
                raise EngineError(ErrorCode.ENGINE_FAILED, "No process could be started.") from error
            unused.pop_all()
        job.close()
        its_end.close()
        return Child(Channel(ours), leash)

    def close(self) -> None:
        """End the zygote, and with it every child."""
        with self._lock:
            self._end()

    def _fork(self, fds: list[int]) -> None:
        # A process that was itself forked shares the control socket with its parent, and may not use it.
        if self._control and self._owner == os.getpid():
            try:
                socket.send_fds(self._control, [b"+"], fds)
            except OSError:
                self._end()  # the zygote is gone: an operator, or the kernel short of memory
            else:
                return
        socket.send_fds(self._begin(), [b"+"], fds)

    def _begin(self) -> socket.socket:
        ours, its_end = socket.socketpair()
        with ExitStack() as unused, its_end:
            unused.enter_context(ours)
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "gpu_container.engine.isolation.zygote", str(its_end.fileno()), self._entry],
                pass_fds=[its_end.fileno()],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            unused.pop_all()
        self._control, self._owner = ours, os.getpid()
        return ours

    def _end(self) -> None:
        if self._control:
            self._control.close()
        if self._zygote and self._owner == os.getpid():
            self._zygote.wait()
        self._control = self._zygote = None


def _environment() -> dict[str, str]:
    """Return what a child may know: nothing that is a secret."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # The parent's own search path: where Lambda or an editable install put the package, the child finds it too.
    kept["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    # Each thread of the linear algebra reserves 80 MB of addresses, and a process with threads must not fork.
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


NURSERY = Nursery()
"""This process' own; started on first use."""

atexit.register(NURSERY.close)

FILE_TO_BLAME: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGXCPU, signal.SIGSYS}
)
"""Signals that a decoder brings upon itself. SIGKILL is not one: it comes from outside, when the machine is short."""
