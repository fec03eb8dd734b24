"""Files of this machine on their way to the service."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cleartake_client.errors import CleartakeError
from cleartake_client.requests import UploadSource
from cleartake_client.storage import BLOCK_BYTES, Advance

MEDIA_TYPES = {
    ".3gp": "video/3gpp",
    ".aac": "audio/aac",
    ".aif": "audio/x-aiff",
    ".aiff": "audio/x-aiff",
    ".amr": "audio/amr",
    ".flac": "audio/flac",
    ".m4a": "audio/m4a",
    ".mka": "audio/x-matroska",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp3": "audio/mpeg",
    ".mp4": "audio/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".wav": "audio/wav",
    ".webm": "video/webm",
}

IN_PARTS_FROM_BYTES = 64 * 2**20
"""Where sending everything again begins to hurt."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


@dataclass(frozen=True)
class LocalFile:
    """A file as it was when it was looked at; ``mtime_ns`` tells whether it has been written to since."""

    path: Path
    size_bytes: int
    mtime_ns: int
    content_type: str

    @classmethod
    def of(cls, path: Path, content_type: str | None = None) -> "LocalFile":
        """Look at a file.

        Raises
        ------
        OSError
            Where it cannot be looked at.
        CleartakeError
            Where its name does not say what it is and ``content_type`` is not given.
        """
        absolute = path.absolute()
        found = absolute.stat()
        return cls(absolute, found.st_size, found.st_mtime_ns, content_type or media_type_of(path))

    @property
    def is_large(self) -> bool:
        """Whether it is better sent in parts."""
        return self.size_bytes >= IN_PARTS_FROM_BYTES

    def announced(self, advance: Advance, *, in_parts: bool) -> UploadSource:
        """Return what the service has to know before: storage checks a PUT's MD5, the service the parts' SHA-256."""
        digest = self._digest(hashlib.sha256() if in_parts else hashlib.md5(usedforsecurity=False), advance)
        return UploadSource(
            filename=self.path.name,
            size_bytes=self.size_bytes,
            content_type=self.content_type,
            checksum_md5=None if in_parts else digest,
            checksum_sha256=digest if in_parts else None,
            in_parts=in_parts,
        )

    def blocks(self, advance: Advance) -> Iterator[bytes]:
        """Yield the bytes."""
        with self.path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
                advance("upload", file.tell() / self.size_bytes)

    def part(self, start: int, size_bytes: int) -> bytes:
        """Return some of the bytes."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(size_bytes)

    def _digest(self, digest: _Hash, advance: Advance) -> str:
        with self.path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                advance("check", file.tell() / self.size_bytes)
        return base64.b64encode(digest.digest()).decode()


def media_type_of(path: Path) -> str:
    """Return the media type for a file's name; raises `CleartakeError` where it is not known."""
    try:
        return MEDIA_TYPES[path.suffix.lower()]
    except KeyError:
        known = " ".join(sorted(MEDIA_TYPES))
        raise CleartakeError(f"{path.name} is no audio file by its name; known: {known}") from None


def md5_base64(data: bytes) -> str:
    """Return the checksum as ``Content-MD5`` spells it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
