"""Audio from S3 and back as streams: pinned versions in by ranges, checksummed objects out by parts.

Nothing is ever whole in memory or on a disk: a ten-hour recording passes through a few parts of 8 MiB.
"""

import base64
import hashlib
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypedDict

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from gpu_container.contract import ObjectRef

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES: Final = 8 * 2**20
"""Of every read and, at first, every part written; an object smaller than this is one PUT."""
PARTS_PER_SIZE: Final = 2_000
"""S3 takes 10,000 parts: after this many their size doubles, so that even the longest recording fits."""
_BLOCKS_KEPT: Final = 5
"""Two readers, of the sound and of the pictures, in places far apart, with a block ahead each."""
_READS: Final = 3
_BROKEN_OFF: Final = (ResponseStreamingError, IncompleteReadError, ReadTimeoutError)
"""What happens in the middle of an answer; boto3 asks again only where there was none."""
_REFUSED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchUpload"})
"""Somebody has written the object; or we ourselves, and boto3 sent it again because the answer was lost."""
_RUN: Final = "run"
"""Metadata of what is written once: whose it is."""
_GONE: Final = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NoSuchVersion", "403", "AccessDenied"})
"""To who may not list a bucket S3 says of what is missing that it is forbidden."""


class StorageError(Exception):
    """S3 did not do as asked; ``retryable`` is false where the object is not there, or not for us."""

    def __init__(self, action: str, reason: str, *, retryable: bool) -> None:
        super().__init__(f"{action}: {reason}")
        self.retryable = retryable


@dataclass(frozen=True)
class StoredObject:
    """An object as it was written.

    Attributes
    ----------
    sha256
        In hexadecimal, as S3 checked it: of the whole object, or, where it went in parts, of the parts' digests one
        after the other, with ``-`` and the number of parts behind it (S3's composite checksum).
    """

    ref: ObjectRef
    size_bytes: int
    sha256: str


class _Version(TypedDict, total=False):
    VersionId: str


class _Unless(TypedDict, total=False):
    IfNoneMatch: str


@contextmanager
def _told_as(action: str) -> Iterator[None]:
    """Turn what boto3 raises into `StorageError`."""
    try:
        yield
    except (BotoCoreError, Boto3Error, ClientError, HTTPClientError) as error:
        raise _storage_error(action, error) from error


class S3Source:
    """A `ByteSource` over exactly the version that ``ref`` pins; reads ahead while it is read in order.

    Raises
    ------
    StorageError
        From the constructor and from every read.
    """

    def __init__(self, s3: "S3Client", ref: ObjectRef) -> None:
        self._s3, self._ref = s3, ref
        self._version: _Version = {"VersionId": ref.version_id} if ref.version_id else {}
        with _told_as("download"):
            head = s3.head_object(Bucket=ref.bucket, Key=ref.key, **self._version)
        self.size_bytes = head["ContentLength"]
        self.metadata = dict(head.get("Metadata", {}))
        self.etag = head["ETag"]
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._fetching = ThreadPoolExecutor(2, thread_name_prefix="s3-read")

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return ``size_bytes`` bytes from ``offset``, fewer at the end."""
        end = min(offset + size_bytes, self.size_bytes)
        pieces = []
        while offset < end:
            index, start = divmod(offset, PART_BYTES)
            piece = self._block(index)[start : start + end - offset]
            if not piece:
                raise StorageError("download", "the object is shorter than it said", retryable=True)
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Forget what was read."""
        self._fetching.shutdown(wait=False, cancel_futures=True)
        self._blocks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _block(self, index: int) -> bytes:
        with self._lock:
            in_order = index - 1 in self._blocks
            wanted = self._fetch_later(index)
            if in_order and (index + 1) * PART_BYTES < self.size_bytes:
                self._fetch_later(index + 1)
            while len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return wanted.result()

    def _fetch_later(self, index: int) -> "Future[bytes]":
        found = self._blocks.get(index)
        if found is None or (found.done() and found.exception()):
            found = self._blocks[index] = self._fetching.submit(self._fetch, index)
        self._blocks.move_to_end(index)
        return found

    def _fetch(self, index: int) -> bytes:
        first = index * PART_BYTES
        last = min(first + PART_BYTES, self.size_bytes) - 1
        with _told_as("download"):
            for _ in range(_READS - 1):
                with suppress(*_BROKEN_OFF):
                    return self._get(first, last)
            return self._get(first, last)

    def _get(self, first: int, last: int) -> bytes:
        answer = self._s3.get_object(
            Bucket=self._ref.bucket,
            Key=self._ref.key,
            Range=f"bytes={first}-{last}",
            # An unversioned object that is replaced midway must not be mixed with its successor.
            IfMatch=self.etag,
            **self._version,
        )
        return answer["Body"].read()


@dataclass
class S3Sink:
    """A `ByteSink` that becomes an object when `finish` is called, and leaves nothing behind if it is not.

    The head stays here until the end, because containers patch their first bytes when they close; the rest goes in
    parts as it comes. S3 takes parts in any order and checks each by its SHA-256.

    Attributes
    ----------
    is_once
        Whether S3 is to refuse it where there is an object already. Two runs of one order would else overwrite one
        another's result, and the version that the job names would be no current one and expire.

    Raises
    ------
    StorageError
        From writes and from `finish`.
    """

    s3: "S3Client"
    ref: ObjectRef
    content_type: str
    metadata: dict[str, str] = field(default_factory=dict)
    is_once: bool = False
    _run: str = field(default_factory=lambda: uuid.uuid4().hex, init=False)
    _head: bytearray = field(default_factory=bytearray, init=False)
    _tail: bytearray = field(default_factory=bytearray, init=False)
    _sent_bytes: int = field(default_factory=lambda: PART_BYTES, init=False)
    """Where the tail begins: behind the head and the parts that went."""
    _upload_id: str | None = field(default=None, init=False)
    _parts: "dict[int, tuple[CompletedPartTypeDef, bytes]]" = field(default_factory=dict, init=False)

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return len(self._head) if len(self._head) < PART_BYTES else self._sent_bytes + len(self._tail)

    def write_at(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``: behind what is there, or into what has not gone yet."""
        if offset > self.size_bytes:
            raise ValueError(f"a hole before byte {offset}")
        into_head = data[: max(0, PART_BYTES - offset)]
        self._head[offset : offset + len(into_head)] = into_head
        rest, offset = data[len(into_head) :], max(offset, PART_BYTES)
        if not rest:
            return
        if offset < self._sent_bytes:
            raise ValueError(f"byte {offset} has gone already")
        start = offset - self._sent_bytes
        self._tail[start : start + len(rest)] = rest
        while len(self._tail) >= (size := self._part_bytes()):
            self._send(len(self._parts) + 2, bytes(self._tail[:size]))
            del self._tail[:size]
            self._sent_bytes += size

    def finish(self) -> StoredObject:
        """Make it an object."""
        if not self._parts and not self._tail:
            return self._put()
        if self._tail:
            self._send(len(self._parts) + 2, bytes(self._tail))
        self._send(1, bytes(self._head))
        return self._complete()

    def abort(self) -> None:
        """Take back what has gone; what cannot be taken back expires with the bucket's unfinished uploads."""
        if self._upload_id is None:
            return
        upload_id, self._upload_id = self._upload_id, None
        with _told_as("upload"):
            self.s3.abort_multipart_upload(Bucket=self.ref.bucket, Key=self.ref.key, UploadId=upload_id)

    def _part_bytes(self) -> int:
        return int(PART_BYTES * 2 ** (len(self._parts) // PARTS_PER_SIZE))

    def _put(self) -> StoredObject:
        digest = hashlib.sha256(self._head).digest()
        version_id: str | None
        with _told_as("upload"):
            try:
                version_id = self.s3.put_object(
                    Bucket=self.ref.bucket,
                    Key=self.ref.key,
                    Body=bytes(self._head),
                    ContentType=self.content_type,
                    Metadata=self._metadata(),
                    ChecksumSHA256=_base64(digest),
                    **self._unless(),
                ).get("VersionId")
            except ClientError as error:
                version_id = self._own_version(error)
        return self._stored(version_id, digest.hex())

    def _send(self, number: int, data: bytes) -> None:
        digest = hashlib.sha256(data).digest()
        with _told_as("upload"):
            answer = self.s3.upload_part(
                Bucket=self.ref.bucket,
                Key=self.ref.key,
                UploadId=self._started(),
                PartNumber=number,
                Body=data,
                ChecksumSHA256=_base64(digest),
            )
        part: CompletedPartTypeDef = {
            "PartNumber": number,
            "ETag": answer["ETag"],
            "ChecksumSHA256": _base64(digest),
        }
        self._parts[number] = (part, digest)

    def _started(self) -> str:
        if self._upload_id is None:
            answer = self.s3.create_multipart_upload(
                Bucket=self.ref.bucket,
                Key=self.ref.key,
                ContentType=self.content_type,
                Metadata=self._metadata(),
                ChecksumAlgorithm="SHA256",
            )
            self._upload_id = answer["UploadId"]
        return self._upload_id

    def _complete(self) -> StoredObject:
        parts = [self._parts[number] for number in sorted(self._parts)]
        with _told_as("upload"):
            try:
                answer = self.s3.complete_multipart_upload(
                    Bucket=self.ref.bucket,
                    Key=self.ref.key,
                    UploadId=self._started(),
                    MultipartUpload={"Parts": [part for part, _ in parts]},
                    **self._unless(),
                )
                version_id = answer.get("VersionId") or self._head_version()
            except ClientError as error:
                version_id = self._own_version(error)
        self._upload_id = None
        whole = hashlib.sha256(b"".join(digest for _, digest in parts)).hexdigest()
        return self._stored(version_id, f"{whole}-{len(parts)}")

    def _unless(self) -> _Unless:
        return {"IfNoneMatch": "*"} if self.is_once else {}

    def _metadata(self) -> dict[str, str]:
        return {**self.metadata, _RUN: self._run} if self.is_once else self.metadata

    def _own_version(self, refusal: ClientError) -> str | None:
        """Return the version that we have written all the same; raises ``refusal`` again where it is another's."""
        if not self.is_once or refusal.response["Error"]["Code"] not in _REFUSED:
            raise refusal
        try:
            head = self.s3.head_object(Bucket=self.ref.bucket, Key=self.ref.key)
        except ClientError:
            raise refusal from None
        if head["Metadata"].get(_RUN) != self._run:
            raise refusal
        return head.get("VersionId")

    def _head_version(self) -> str | None:
        return self.s3.head_object(Bucket=self.ref.bucket, Key=self.ref.key).get("VersionId")

    def _stored(self, version_id: str | None, sha256: str) -> StoredObject:
        return StoredObject(self.ref.model_copy(update={"version_id": version_id}), self.size_bytes, sha256)


@contextmanager
def storing(sink: S3Sink) -> Iterator[S3Sink]:
    """Take back what a sink has sent, where the work inside ends badly."""
    try:
        yield sink
    except BaseException:
        # The first trouble is the one to tell.
        with suppress(StorageError):
            sink.abort()
        raise


def store(s3: "S3Client", data: bytes, ref: ObjectRef, *, content_type: str) -> StoredObject:
    """Write a small object whole.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    sink = S3Sink(s3, ref, content_type)
    sink.write_at(0, data)
    return sink.finish()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _storage_error(action: str, error: Exception) -> StorageError:
    cause: BaseException | None = error if isinstance(error, ClientError) else error.__context__
    if not isinstance(cause, ClientError):
        # The class alone: botocore's messages may hold URLs.
        return StorageError(action, type(error).__name__, retryable=True)
    code = str(cause.response.get("Error", {}).get("Code", "unknown"))
    return StorageError(action, code, retryable=code not in _GONE)
