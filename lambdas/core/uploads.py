"""Uploads in parts: how a recording is cut, and what is still missing of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MIB: Final = 2**20

MAX_PUT_BYTES: Final = 5 * 2**30
"""S3's limit for one PUT."""

MAX_UPLOAD_BYTES: Final = 20 * 2**30
"""In parts. The probe may have to read all of it twice in its 15 minutes: for the checksum and for the sound."""

MIN_PART_BYTES: Final = 16 * MIB
PARTS_WANTED: Final = 1_000
"""One page of S3's list of parts; beyond it parts grow. S3 itself takes 10,000 parts of 5 MiB to 5 GiB."""


@dataclass(frozen=True)
class ArrivedPart:
    """A part that S3 has; a number that is sent again replaces the one before."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True)
class MultipartUpload:
    """An upload in parts that S3 has been told of; kept with its asset, so that it can be taken up again."""

    object_key: str
    upload_id: str
    part_size_bytes: int


@dataclass(frozen=True)
class PartPlan:
    """How ``size_bytes`` are cut: parts of ``part_size_bytes``, numbered from 1, the last one shorter."""

    size_bytes: int
    part_size_bytes: int

    @classmethod
    def of(cls, size_bytes: int) -> "PartPlan":
        """Cut a recording into parts small enough to be sent again and few enough to be listed at once."""
        wanted = -(-size_bytes // PARTS_WANTED)
        return cls(size_bytes, max(MIN_PART_BYTES, -(-wanted // MIB) * MIB))

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.size_bytes // self.part_size_bytes)

    def has(self, number: int) -> bool:
        """Tell whether there is such a part."""
        return 1 <= number <= self.count

    def size_of(self, number: int) -> int:
        """Return a part's size in bytes."""
        return min(self.part_size_bytes, self.size_bytes - (number - 1) * self.part_size_bytes)

    def missing(self, arrived: Iterable[ArrivedPart]) -> tuple[int, ...]:
        """Return the numbers of the parts that have not arrived whole, in order."""
        there = {part.number: part.size_bytes for part in arrived}
        return tuple(n for n in range(1, self.count + 1) if there.get(n) != self.size_of(n))
