"""What a child and its parent say to each other: frames of one kind and some bytes, over a socket.

The child asks and tells, the parent answers: no frame ever waits for one that goes the other way. Nothing is pickled;
the parent reads numbers, JSON that it validates, and samples.
"""

import socket
import struct
import time
from contextlib import suppress
from enum import IntEnum
from typing import Final

MAX_FRAME_BYTES: Final = 64 * 2**20
"""More than a block of eight channels at the highest rate; a child that claims more lies."""
_HEADER: Final = struct.Struct("<BQ")


class Kind(IntEnum):
    """What a frame holds.

    From the parent: ``JOB`` (JSON), ``DATA`` (the bytes that a ``READ`` asked for), ``BLOCK`` (samples to encode) and
    ``END`` (no more of them). From the child: ``READ`` (`REQUEST`), ``WRITE`` (`OFFSET`, then the bytes), ``FORMAT``
    (JSON), ``BLOCK`` (decoded samples), ``NEXT`` (ready for a block), ``DONE`` (JSON) and ``REFUSED`` (JSON).
    """

    JOB = 1
    DATA = 2
    END = 3
    READ = 4
    WRITE = 5
    FORMAT = 6
    BLOCK = 7
    NEXT = 8
    DONE = 9
    REFUSED = 10


REQUEST: Final = struct.Struct("<QQ")
"""Offset and size in bytes."""
OFFSET: Final = struct.Struct("<Q")


class ClosedError(Exception):
    """The other side is gone."""


class Channel:
    """One end of the socket.

    Parameters
    ----------
    end
        A connected stream socket; the channel closes it.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, kind: Kind, *parts: bytes | memoryview, within_s: float | None = None) -> None:
        """Send one frame.

        Raises
        ------
        ClosedError, TimeoutError
        """
        self._socket.settimeout(within_s)
        try:
            self._socket.sendall(_HEADER.pack(kind, sum(len(part) for part in parts)))
            for part in parts:
                self._socket.sendall(part)
        except TimeoutError:
            raise
        except OSError as error:
            raise ClosedError from error

    def receive(self, within_s: float | None = None) -> tuple[Kind, memoryview]:
        """Return the next frame; ``within_s`` bounds the wait for the whole of it.

        Raises
        ------
        ClosedError, TimeoutError
        ValueError
            If it is no frame.
        """
        until_s = None if within_s is None else time.monotonic() + within_s
        kind, size_bytes = _HEADER.unpack(self._exactly(_HEADER.size, until_s))
        if size_bytes > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {size_bytes} bytes")
        return Kind(kind), self._exactly(size_bytes, until_s)

    def interrupt(self) -> None:
        """Wake up whoever waits at either end; nothing more comes through."""
        with suppress(OSError):  # the other side was quicker
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _exactly(self, size_bytes: int, until_s: float | None) -> memoryview:
        view = memoryview(bytearray(size_bytes))
        at = 0
        while at < size_bytes:
            if until_s is not None:
                self._socket.settimeout(max(0.001, until_s - time.monotonic()))
            try:
                received = self._socket.recv_into(view[at:])
            except TimeoutError:
                raise
            except OSError as error:
                raise ClosedError from error
            if not received:
                raise ClosedError
            at += received
        return view
