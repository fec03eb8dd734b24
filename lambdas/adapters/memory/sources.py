"""Fetching in memory: for unit tests, held to the same contract as AWS's (``tests/ports``)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lambdas.core.egress import Fetched, TooLargeError
from lambdas.core.sources import BucketObject, FetchFailure, FetchRequest, SourceErrorCode, SourceRefusedError


@dataclass
class MemorySink:
    """Objects and their media types by key."""

    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def put(self, key: str, content_type: str, chunks: Iterator[bytes]) -> int:
        """Write an object, or none where ``chunks`` raises."""
        data = b"".join(chunks)
        self.objects[key] = (data, content_type)
        return len(data)


@dataclass
class MemoryFetchQueue:
    """Remembers what was asked for, and what failed."""

    asked: list[FetchRequest] = field(default_factory=list)
    failed: list[FetchFailure] = field(default_factory=list)

    def ask(self, request: FetchRequest) -> None:
        """Remember."""
        self.asked.append(request)

    def tell(self, failure: FetchFailure) -> None:
        """Remember."""
        self.failed.append(failure)


@dataclass
class MemoryBuckets:
    """Objects by address and version, and for which client each role may be taken on.

    Attributes
    ----------
    unreadable
        Addresses of objects that no role may read.
    """

    objects: dict[tuple[str, str | None], tuple[bytes, str]] = field(default_factory=dict)
    trusted: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)

    @contextmanager
    def stream(
        self, source: BucketObject, *, client_id: str, asset_id: str, max_bytes: int, timeout_s: float
    ) -> Iterator[Fetched]:
        """Hand the object over, to whom its role trusts."""
        del asset_id, timeout_s
        if self.trusted.get(source.role_arn) != client_id:
            raise SourceRefusedError(SourceErrorCode.ROLE_REFUSED, "not trusted")
        if source.url in self.unreadable:
            raise SourceRefusedError(SourceErrorCode.ACCESS_DENIED, "not readable")
        found = self.objects.get((source.url, source.version_id))
        if found is None:
            raise SourceRefusedError(SourceErrorCode.NOT_FOUND, "not there")
        data, content_type = found
        if len(data) > max_bytes:
            raise TooLargeError("too large")
        yield Fetched(source.url, 200, {"content-type": content_type}, iter([data] if data else []))


@dataclass
class MemorySource:
    """Answers as it is told: a status with a body, or an error to raise."""

    answers: list[Fetched | Exception] = field(default_factory=list)

    @contextmanager
    def stream(self, url: str, *, max_bytes: int, timeout_s: float) -> Iterator[Fetched]:
        """Answer the next answer."""
        del url, max_bytes, timeout_s
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield answer
