"""Fetched recordings in AWS: straight into S3 in parts, one part in memory at a time; the queues around it."""

import base64
import json
import logging
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from lambdas.adapters.aws.errors import domain_errors
from lambdas.core.errors import DomainError
from lambdas.core.sources import FetchFailure, FetchRequest

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef
    from types_boto3_sqs.client import SQSClient

logger = logging.getLogger(__name__)

PART_BYTES: Final = 16 * 2**20


@dataclass(frozen=True)
class S3ObjectSink:
    """Writes objects of one bucket."""

    bucket: str
    client: "S3Client"

    def put(self, key: str, content_type: str, chunks: Iterator[bytes]) -> int:
        """Write an object piece by piece; where ``chunks`` raises there is none."""
        with domain_errors():
            # Named: boto3 sends a checksum with each part, and S3 has refused such parts of uploads without one.
            started = self.client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ContentType=content_type, ChecksumAlgorithm="CRC32"
            )
        upload_id = started["UploadId"]
        try:
            size_bytes = 0
            parts: list[CompletedPartTypeDef] = []
            for number, piece in enumerate(_pieces(chunks, PART_BYTES), start=1):
                parts.append(self._part(key, upload_id, number, piece))
                size_bytes += len(piece)
            with domain_errors():
                self.client.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
                )
        except BaseException:
            self._abort(key, upload_id)
            raise
        return size_bytes

    def _part(self, key: str, upload_id: str, number: int, piece: bytes) -> "CompletedPartTypeDef":
        checksum = base64.b64encode(zlib.crc32(piece).to_bytes(4, "big")).decode("ascii")
        with domain_errors():
            answer = self.client.upload_part(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=piece,
                ChecksumCRC32=checksum,
            )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": checksum}

    def _abort(self, key: str, upload_id: str) -> None:
        """Drop the parts; what cannot be dropped now expires with the bucket's rule."""
        try:
            with domain_errors():
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
        except DomainError:
            logger.exception("an unfinished upload is left to expire")


@dataclass(frozen=True)
class SqsFetchQueue:
    """What is to be fetched; the client is the group, so that no client's slow sources keep another's waiting."""

    client: "SQSClient"
    queue_url: str

    def ask(self, request: FetchRequest) -> None:
        """Have it fetched."""
        document = {name: value for name, value in asdict(request).items() if value is not None}
        _send(self.client, self.queue_url, document, group=request.client_id)


@dataclass(frozen=True)
class SqsFetchFailureQueue:
    """What could not be fetched."""

    client: "SQSClient"
    queue_url: str

    def tell(self, failure: FetchFailure) -> None:
        """Send the failure."""
        _send(self.client, self.queue_url, asdict(failure), group=failure.client_id)


def _send(client: "SQSClient", queue_url: str, document: dict[str, Any], *, group: str) -> None:
    with domain_errors():
        client.send_message(QueueUrl=queue_url, MessageBody=json.dumps(document), MessageGroupId=group)


def _pieces(chunks: Iterator[bytes], size_bytes: int) -> Iterator[bytes]:
    """Yield the same bytes in pieces of ``size_bytes``, the last one shorter."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= size_bytes:
            yield bytes(held[:size_bytes])
            del held[:size_bytes]
    if held:
        yield bytes(held)
