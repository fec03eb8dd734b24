"""Where a recording's bytes come from and go to, wherever that is: a file here, an object in S3 elsewhere."""

import os
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self


class ByteSource(Protocol):
    """Bytes that can be read anywhere; safe to call from several threads."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        ...

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return ``size_bytes`` bytes from ``offset``, fewer at the end, none beyond it."""
        ...


class ByteSink(Protocol):
    """Bytes on their way out.

    Writers append, and come back to the head alone: every container that we write patches only its first bytes when
    it is closed. A sink may therefore keep the head and send the rest at once.
    """

    def write_at(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``; never leaves a hole."""
        ...


class FileSource:
    """A file on this machine."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self.size_bytes = os.fstat(self._fd).st_size

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return ``size_bytes`` bytes from ``offset``, fewer at the end."""
        return os.pread(self._fd, size_bytes, offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FileSink:
    """A new file on this machine."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)

    def write_at(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
