"""Files from S3 and back: pinned versions in, checksummed objects out."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from gpu_container.contract import ObjectRef

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

SINGLE_PUT_BYTES: Final = 256 * 2**20
"""Up to here one PUT, whose answer names the version; above, a multipart upload and a HEAD."""
_READ_BYTES: Final = 2**20
_GONE: Final = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NoSuchVersion"})


class StorageError(Exception):
    """S3 did not do as asked; ``retryable`` is false where the object is not there."""

    def __init__(self, action: str, reason: str, *, retryable: bool) -> None:
        super().__init__(f"{action}: {reason}")
        self.retryable = retryable


@dataclass(frozen=True)
class StoredObject:
    """An object as it was written."""

    ref: ObjectRef
    size_bytes: int
    sha256: str


def download(s3: "S3Client", ref: ObjectRef, target: Path) -> None:
    """Fetch exactly the version that ``ref`` pins, or the current one if it pins none.

    Raises
    ------
    StorageError
        If the object cannot be read.
    """
    extra = {"VersionId": ref.version_id} if ref.version_id else None
    try:
        s3.download_file(ref.bucket, ref.key, str(target), ExtraArgs=extra)
    except (BotoCoreError, Boto3Error, ClientError) as error:
        raise _storage_error("download", error) from error


def upload(s3: "S3Client", source: Path, ref: ObjectRef, *, content_type: str) -> StoredObject:
    """Write a file; S3 itself verifies the checksum of what it received.

    Raises
    ------
    StorageError
        If the object cannot be written.
    """
    size_bytes = source.stat().st_size
    sha256 = _sha256(source)
    try:
        if size_bytes <= SINGLE_PUT_BYTES:
            version_id = _put(s3, source, ref, content_type=content_type, sha256=sha256)
        else:
            version_id = _put_in_parts(s3, source, ref, content_type=content_type)
    except (BotoCoreError, Boto3Error, ClientError) as error:
        raise _storage_error("upload", error) from error
    return StoredObject(ref.model_copy(update={"version_id": version_id}), size_bytes, sha256.hex())


def _put(s3: "S3Client", source: Path, ref: ObjectRef, *, content_type: str, sha256: bytes) -> str | None:
    checksum = base64.b64encode(sha256).decode("ascii")
    with source.open("rb") as body:
        answer = s3.put_object(
            Bucket=ref.bucket, Key=ref.key, Body=body, ContentType=content_type, ChecksumSHA256=checksum
        )
    return answer.get("VersionId")


def _put_in_parts(s3: "S3Client", source: Path, ref: ObjectRef, *, content_type: str) -> str | None:
    extra = {"ContentType": content_type, "ChecksumAlgorithm": "SHA256"}
    s3.upload_file(str(source), ref.bucket, ref.key, ExtraArgs=extra)
    return s3.head_object(Bucket=ref.bucket, Key=ref.key).get("VersionId")


def _sha256(source: Path) -> bytes:
    digest = hashlib.sha256()
    with source.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.digest()


def _storage_error(action: str, error: Exception) -> StorageError:
    cause: BaseException | None = error if isinstance(error, ClientError) else error.__context__
    if not isinstance(cause, ClientError):
        # The class alone: botocore's messages may hold URLs.
        return StorageError(action, type(error).__name__, retryable=True)
    code = str(cause.response.get("Error", {}).get("Code", "unknown"))
    return StorageError(action, code, retryable=code not in _GONE)
