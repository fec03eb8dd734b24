"""Recordings that we fetch ourselves, from a URL or a bucket of the client's."""

import mimetypes
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final, Protocol
from urllib.parse import quote, unquote, urlsplit

from lambdas.core.egress import Fetched
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.uploads import MAX_UPLOAD_BYTES

MAX_SOURCE_BYTES: Final = MAX_UPLOAD_BYTES
FETCH_TIMEOUT_S: Final = 780.0
"""Below Lambda's own limit, so that a source that is too slow is told so and not merely cut off."""
FETCH_DELAYS_S: Final = (10.0, 60.0, 300.0)
"""Between one attempt and the next where another one may help."""

FETCH_RECEIVES: Final = 8
"""So often a message may be received: more than the attempts of the schedule, for faults of ours."""

UNKNOWN_TYPE: Final = "application/octet-stream"
DEFAULT_NAME: Final = "recording"
MAX_NAME_LENGTH: Final = 255
_SOUND_OR_FILM: Final = re.compile(r"(audio|video)/[a-z0-9!#$&^_.+-]{1,100}")

SOURCE_ROLE_PREFIX: Final = "cleartake-source-"
"""What the name of every role begins with that a client lends us: whoever names another one is refused twice, here and
by the policy of the function that takes them on."""
SOURCE_ROLE_PATTERN: Final = (
    rf"^arn:aws(-[a-z]+)*:iam::[0-9]{{12}}:role/{SOURCE_ROLE_PREFIX}[A-Za-z0-9+=,.@_-]{{1,47}}$"
)
BUCKET_URI_PATTERN: Final = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00-\x1f\x7f]{1,1024}$"
"""A bucket's own name, no access point's: its host is one of S3's whatever it says."""


class SourceErrorCode(StrEnum):
    """Why an asset has no bytes; stored with it, append-only."""

    FORBIDDEN = "source_forbidden"
    UNREACHABLE = "source_unreachable"
    REFUSED = "source_refused"
    TOO_LARGE = "source_too_large"
    EMPTY = "source_empty"
    ROLE_REFUSED = "source_role_refused"
    ACCESS_DENIED = "source_access_denied"
    NOT_FOUND = "source_not_found"
    INTERNAL = "internal"
    """A fault of ours, as it is called wherever else a job fails of one."""


class SourceRefusedError(Exception):
    """A source that will not be read however often it is tried; the message names no key and quotes nobody."""

    def __init__(self, code: SourceErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class BucketObject:
    """An object in a bucket of the client's, and the role that the client lends for reading it.

    Attributes
    ----------
    version_id
        None for the version that is the current one when it is fetched.
    """

    bucket: str
    key: str
    role_arn: str
    version_id: str | None = None

    @property
    def url(self) -> str:
        """Its address as `name_of` reads it."""
        return f"s3://{self.bucket}/{quote(self.key)}"


@dataclass(frozen=True)
class FetchRequest:
    """What to fetch for which asset: an object where there is one, else a URL.

    The URL may hold a signature: it is kept in the queue alone. A file name is there where the client has given one.
    """

    client_id: str
    asset_id: str
    url: str = ""
    object: BucketObject | None = None
    filename: str | None = None


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


class BucketReader(Protocol):
    """Reads what clients lend, in their name."""

    def stream(
        self, source: BucketObject, *, client_id: str, asset_id: str, max_bytes: int, timeout_s: float
    ) -> AbstractContextManager[Fetched]:
        """Take on the role, for this client and no other, and GET the object.

        Raises
        ------
        SourceRefusedError
            ROLE_REFUSED, ACCESS_DENIED, NOT_FOUND or REFUSED.
        TooLargeError
            If it has more than ``max_bytes``.
        NoAnswerError
            If AWS does not answer within ``timeout_s``, also while the body is read.
        """
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


def bucket_object_of(uri: str, role_arn: str, version_id: str | None = None) -> BucketObject:
    """Take an address such as ``s3://bucket/key`` apart; raises `DomainError` PARAMETER_INVALID."""
    if not re.fullmatch(BUCKET_URI_PATTERN, uri):
        raise DomainError(DomainErrorCode.PARAMETER_INVALID, "not an address such as s3://bucket/key")
    if not re.fullmatch(SOURCE_ROLE_PATTERN, role_arn):
        message = f"not the ARN of a role whose name begins with {SOURCE_ROLE_PREFIX}"
        raise DomainError(DomainErrorCode.PARAMETER_INVALID, message)
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return BucketObject(bucket, key, role_arn, version_id)


def name_of(url: str) -> str:
    """Return the file's name in a URL, `DEFAULT_NAME` where it has none."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    printable = "".join(character for character in name if character.isprintable() and character not in '/\\"')
    return printable[-MAX_NAME_LENGTH:].strip() or DEFAULT_NAME


def content_type_of(header: str | None, *names: str) -> str:
    """Return the media type of an answer; where its server says nothing of sound or film, that of the first name."""
    said = (header or "").partition(";")[0].strip().lower()
    if _SOUND_OR_FILM.fullmatch(said):
        return said
    guesses = (mimetypes.guess_type(name, strict=False)[0] or "" for name in names)
    return next((guess for guess in guesses if guess.startswith(("audio/", "video/"))), UNKNOWN_TYPE)
