"""Recordings that we fetch ourselves, from a URL of the client's."""

import mimetypes
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from lambdas.core.egress import Fetched
from lambdas.core.uploads import MAX_UPLOAD_BYTES

MAX_SOURCE_BYTES: Final = MAX_UPLOAD_BYTES
FETCH_TIMEOUT_S: Final = 780.0
"""Below Lambda's own limit, so that a source that is too slow is told so and not merely cut off."""
FETCH_DELAYS_S: Final = (10.0, 60.0, 300.0)
"""Between one attempt and the next where another one may help."""

UNKNOWN_TYPE: Final = "application/octet-stream"
DEFAULT_NAME: Final = "recording"
MAX_NAME_LENGTH: Final = 255


class SourceErrorCode(StrEnum):
    """Why an asset has no bytes; stored with it, append-only."""

    FORBIDDEN = "source_forbidden"
    UNREACHABLE = "source_unreachable"
    REFUSED = "source_refused"
    TOO_LARGE = "source_too_large"
    EMPTY = "source_empty"


@dataclass(frozen=True)
class FetchRequest:
    """What to fetch for which asset. The URL may hold a signature: it is kept in the queue alone."""

    client_id: str
    asset_id: str
    url: str


@dataclass(frozen=True)
class FetchFailure:
    """Says that an asset will never get its bytes, and why."""

    client_id: str
    asset_id: str
    code: SourceErrorCode
    message: str


class SourceReader(Protocol):
    """Reads from where a client says, and from nowhere that the egress policy forbids."""

    def stream(self, url: str, *, max_bytes: int, timeout_s: float) -> AbstractContextManager[Fetched]:
        """GET; raises `ForbiddenUrlError` or `NoAnswerError`, also while the body is read."""
        ...


class ObjectSink(Protocol):
    """Writes recordings; it can neither read nor delete one."""

    def put(self, key: str, content_type: str, chunks: Iterator[bytes]) -> int:
        """Write an object piece by piece; where ``chunks`` raises there is none. Returns its size in bytes."""
        ...


class FetchQueue(Protocol):
    """Asks for fetching."""

    def ask(self, request: FetchRequest) -> None:
        """Have it fetched; the same may be asked for more than once."""
        ...


class FetchFailureQueue(Protocol):
    """Where fetching that failed for good is told: whoever fetches may not write of assets."""

    def tell(self, failure: FetchFailure) -> None:
        """Send; the same failure may be sent more than once."""
        ...


def name_of(url: str) -> str:
    """Return the file's name in a URL, `DEFAULT_NAME` where it has none."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    printable = "".join(character for character in name if character.isprintable() and character not in '/\\"')
    return printable[-MAX_NAME_LENGTH:].strip() or DEFAULT_NAME


def content_type_of(header: str | None, name: str) -> str:
    """Return the media type of an answer; where its server says nothing of sound or film, that of the name."""
    said = (header or "").partition(";")[0].strip().lower()
    if said.startswith(("audio/", "video/")) and said.isascii() and said.isprintable():
        return said
    guessed, _ = mimetypes.guess_type(name, strict=False)
    return guessed if guessed and guessed.startswith(("audio/", "video/")) else UNKNOWN_TYPE
