"""The process that children are forked from: all libraries loaded, no secrets, one thread.

Started once per parent with an environment of its own, so that neither it nor its children ever held the parent's
credentials. A fork of it is ready in milliseconds, where a new interpreter takes a third of a second. (Android and
Chrome name such a process a zygote; ``multiprocessing``'s fork server would import the parent's main module into each
child and passes pickles.)

The parent sends two sockets per child: one for the child to talk over, and a leash. The leash tells the parent how
the child ended, and kills the child when the parent lets go of it; so does the end of the parent itself.
"""

import ctypes
import gc
import os
import pkgutil
import resource
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Never

ENDING: Final = struct.Struct("<i")
"""How a child ended, on its leash: its exit status, or minus the signal that killed it."""
JOB_FD: Final = 3
_PR_SET_PDEATHSIG: Final = 1
_BROKEN: Final = 70
"""Exit status of a child that failed in its own code (EX_SOFTWARE)."""

Entry = Callable[[int], None]


class Zygote:
    """Forks on request and looks after the children until they end."""

    def __init__(self, control: socket.socket, entry: Entry) -> None:
        self._control = control
        self._entry = entry
        self._leashes: dict[int, socket.socket | None] = {}
        """By process number; None once the parent has let go."""
        self._selector = selectors.DefaultSelector()
        self._woken, wake = socket.socketpair()
        os.set_blocking(wake.fileno(), False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno())
        self._wake = wake

    def serve(self) -> None:
        """Work until the parent is gone, then take the children along."""
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        while True:
            ready = [key for key, _ in self._selector.select()]
            if any(key.fileobj is self._woken for key in ready):
                self._reap()
            for key in ready:
                if key.fileobj is self._control:
                    if not self._accept():
                        self._end()
                        return
                elif self._leashes.get(key.data):
                    self._let_go(key.data)

    def _accept(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._control, 1, 2)
        if not message:
            return False
        job, leash = (socket.socket(fileno=fd) for fd in fds)
        with job:
            try:
                pid = self._fork(job.fileno())
            except OSError:  # no more processes: the parent sees that the leash has no end
                leash.close()
                return True
        self._leashes[pid] = leash
        self._selector.register(leash, selectors.EVENT_READ, pid)
        return True

    def _fork(self, job: int) -> int:
        zygote = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            _die_with(zygote)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(job, JOB_FD)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            # The other children's leashes and the way to the parent are none of its business.
            os.closerange(JOB_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            self._entry(JOB_FD)
        except BaseException:  # noqa: BLE001 - the exit status is all that may leave a child
            os._exit(_BROKEN)
        # No tidying up: a library whose memory was damaged must not get the chance to trip over it.
        os._exit(0)

    def _let_go(self, pid: int) -> None:
        """Kill a child that nobody waits for; not yet reaped, so the number is still its own."""
        self._drop(pid)
        self._leashes[pid] = None
        os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        self._woken.recv(4096)
        while self._leashes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            leash = self._leashes[pid]
            if leash:
                with suppress(OSError):  # the parent may just have let go
                    leash.send(ENDING.pack(os.waitstatus_to_exitcode(status)))
            self._drop(pid)
            del self._leashes[pid]

    def _drop(self, pid: int) -> None:
        leash = self._leashes[pid]
        if leash:
            self._selector.unregister(leash)
            leash.close()

    def _end(self) -> None:
        for pid in self._leashes:
            os.kill(pid, signal.SIGKILL)


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, however that ends."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(_BROKEN)


def main() -> Never:
    """Run ``python -m …zygote FD ENTRY``: the control socket, and ``module:function`` that a child runs."""
    # A terminal's Ctrl-C and a supervisor's SIGTERM reach the whole group: ending is the parent's decision.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    entry: Entry = pkgutil.resolve_name(sys.argv[2])
    # What is loaded now is shared by all children: keep the collector from touching, and so copying, its pages.
    gc.collect()
    gc.freeze()
    Zygote(control, entry).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
