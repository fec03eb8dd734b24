"""Fetching in memory: for unit tests, held to the same contract as AWS's (``tests/ports``)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lambdas.core.egress import Fetched
from lambdas.core.sources import FetchFailure, FetchRequest


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
