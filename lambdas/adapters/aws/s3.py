"""The audio bucket: presigned links, uploads in parts, HEADs; what workers leave behind; the erasing of all of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypedDict
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.core.assets import Asset
from lambdas.core.ports import Clock, StoredObject
from lambdas.core.uploads import ArrivedPart, MultipartUpload

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef
    from types_boto3_sts.client import STSClient

Addressing = Literal["virtual", "path"]

PRESIGN_SESSION_S = 3600
PRESIGN_REFRESH_S = 1200
"""A link dies with the credentials that signed it: they are renewed while longer than any link lives."""

PRESIGN_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 3},
    connect_timeout=3,
    read_timeout=15,
)
"""Of the calls that an upload in parts makes while a client waits."""

MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})
NO_UPLOAD = "NoSuchUpload"


class _UploadNames(TypedDict):
    Bucket: str
    Key: str
    UploadId: str


def s3_config(addressing: Addressing) -> Config:
    """Return the client configuration: SigV4, because only it can sign the Content-MD5 header."""
    return Config(signature_version="s3v4", s3={"addressing_style": addressing})


@dataclass
class PresignClient:
    """An S3 client that signs with the presign role, assumed once per function container."""

    sts: "STSClient"
    role_arn: str
    clock: Clock
    addressing: Addressing
    endpoint_url: str | None
    _client: "S3Client | None" = field(default=None, init=False)
    _expires_at: datetime | None = field(default=None, init=False)

    def get(self) -> "S3Client":
        """Return the client, with credentials that outlive any link made now."""
        now = self.clock.now()
        if (
            self._client is None
            or self._expires_at is None
            or self._expires_at - now < timedelta(seconds=PRESIGN_REFRESH_S)
        ):
            self._client, self._expires_at = self._assume(), now + timedelta(seconds=PRESIGN_SESSION_S)
        return self._client

    def _assume(self) -> "S3Client":
        with domain_errors():
            answer = self.sts.assume_role(
                RoleArn=self.role_arn, RoleSessionName="presign", DurationSeconds=PRESIGN_SESSION_S
            )
        credentials = answer["Credentials"]
        return boto3.client(
            "s3",
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            endpoint_url=self.endpoint_url,
            config=s3_config(self.addressing).merge(PRESIGN_CONFIG),
        )


@dataclass(frozen=True)
class S3AudioLinks:
    """Presigned links only: what the API may do with audio."""

    bucket: str
    presigner: PresignClient
    upload_ttl_s: int
    download_ttl_s: int

    def upload_url(self, asset: Asset) -> str:
        """Sign a PUT of exactly the declared length, type and, where declared, checksums."""
        declared = {"ContentMD5": asset.checksum_md5, "ChecksumSHA256": asset.checksum_sha256}
        return self.presigner.get().generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self.bucket,
                "Key": asset.object_key,
                "ContentType": asset.content_type,
                "ContentLength": asset.size_bytes,
                **{name: value for name, value in declared.items() if value},
            },
            ExpiresIn=self.upload_ttl_s,
        )

    def download_url(self, key: str, version_id: str | None, *, filename: str, content_type: str) -> str:
        """Sign a GET whose answer carries the file's name and type."""
        pinned = {"VersionId": version_id} if version_id else {}
        return self.presigner.get().generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": key,
                "ResponseContentDisposition": content_disposition(filename),
                "ResponseContentType": content_type,
                **pinned,
            },
            ExpiresIn=self.download_ttl_s,
        )


@dataclass(frozen=True)
class S3MultipartUploads:
    """Uploads in parts, under the role that signs links: the function itself may still touch no audio."""

    bucket: str
    presigner: PresignClient
    upload_ttl_s: int

    def start(self, object_key: str, content_type: str) -> str:
        """Start an upload; the bucket encrypts it.

        No checksum algorithm is named: each part would then have to carry a header that plain PUTs do not send.
        """
        with domain_errors():
            answer = self.presigner.get().create_multipart_upload(
                Bucket=self.bucket, Key=object_key, ContentType=content_type
            )
        return answer["UploadId"]

    def part_url(self, upload: MultipartUpload, number: int, *, size_bytes: int, md5: str | None) -> str:
        """Sign a PUT of exactly this length and, where given, MD5."""
        declared = {"ContentMD5": md5} if md5 else {}
        return self.presigner.get().generate_presigned_url(
            "upload_part",
            Params={**self._names(upload), "PartNumber": number, "ContentLength": size_bytes, **declared},
            ExpiresIn=self.upload_ttl_s,
        )

    def arrived(self, upload: MultipartUpload) -> list[ArrivedPart] | None:
        """Return the parts that are there, by number, or None."""
        with domain_errors():
            try:
                pages = self.presigner.get().get_paginator("list_parts").paginate(**self._names(upload))
                found = [part for page in pages for part in page.get("Parts", [])]
            except ClientError as error:
                if code_of(error) == NO_UPLOAD:
                    return None
                raise
        return [ArrivedPart(part["PartNumber"], part["Size"], part["ETag"]) for part in found]

    def complete(self, upload: MultipartUpload, parts: Sequence[ArrivedPart]) -> bool:
        """Make the parts an object; False where there is no such upload any more."""
        named: list[CompletedPartTypeDef] = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with domain_errors():
            try:
                self.presigner.get().complete_multipart_upload(**self._names(upload), MultipartUpload={"Parts": named})
            except ClientError as error:
                if code_of(error) == NO_UPLOAD:
                    return False
                raise
        return True

    def is_complete(self, upload: MultipartUpload) -> bool:
        """Look for the key in a list: a HEAD would need the permission to read the recording."""
        with domain_errors():
            page = self.presigner.get().list_objects_v2(Bucket=self.bucket, Prefix=upload.object_key, MaxKeys=1)
        return any(found["Key"] == upload.object_key for found in page.get("Contents", []))

    def _names(self, upload: MultipartUpload) -> "_UploadNames":
        return {"Bucket": self.bucket, "Key": upload.object_key, "UploadId": upload.upload_id}


@dataclass(frozen=True)
class S3AudioObjects:
    """HEADs and lists only: what the workflow's steps may do with audio."""

    bucket: str
    client: "S3Client"

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        """Return what is stored there, or None."""
        with domain_errors():
            try:
                if version_id:
                    answer = self.client.head_object(Bucket=self.bucket, Key=key, VersionId=version_id)
                else:
                    answer = self.client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if code_of(error) in MISSING:
                    return None
                raise
        return StoredObject(
            size_bytes=answer["ContentLength"],
            content_type=answer["ContentType"],
            version_id=answer.get("VersionId"),
        )

    def is_arriving(self, key: str, *, since: datetime) -> bool:
        """Look for an unfinished upload of that key; no other key of ours begins with it."""
        with domain_errors():
            found = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=key).get("Uploads", [])
        return any(upload["Key"] == key and upload["Initiated"] > since for upload in found)


@dataclass(frozen=True)
class S3Answers:
    """Reads documents by their ``s3://`` location, from one bucket only."""

    bucket: str
    client: "S3Client"

    def read(self, location: str) -> bytes | None:
        """Return the document, or None where there is none (yet) or it lies elsewhere."""
        prefix = f"s3://{self.bucket}/"
        if not location.startswith(prefix):
            return None
        with domain_errors():
            try:
                return self.client.get_object(Bucket=self.bucket, Key=location.removeprefix(prefix))["Body"].read()
            except ClientError as error:
                if code_of(error) in MISSING:
                    return None
                raise


@dataclass(frozen=True)
class S3Eraser:
    """Deletes for good, in versioned buckets and in plain ones."""

    bucket: str
    client: "S3Client"

    def erase(self, prefix: str) -> int:
        """Delete every version, and every mark of a deletion, of every key that begins with ``prefix``."""
        erased = 0
        with domain_errors():
            pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
            for page in pages:
                found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                self._delete([(one["Key"], one["VersionId"]) for one in found])
                erased += len(found)
        return erased

    def erase_others(self, key: str, *, version_id: str) -> int:
        """Delete every version of the key but one, which thereby becomes the current one again."""
        with domain_errors():
            pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=key)
            found = [one["VersionId"] for page in pages for one in page.get("Versions", []) if one["Key"] == key]
            if version_id not in found:
                return 0
            others = [(key, version) for version in found if version != version_id]
            self._delete(others)
        return len(others)

    def abort(self, upload: MultipartUpload) -> None:
        """Drop the parts of an upload, if it is not finished or gone."""
        with domain_errors():
            try:
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=upload.object_key, UploadId=upload.upload_id)
            except ClientError as error:
                if code_of(error) != NO_UPLOAD:
                    raise

    def _delete(self, versions: list[tuple[str, str]]) -> None:
        if not versions:
            return
        answer = self.client.delete_objects(
            Bucket=self.bucket,
            Delete={"Objects": [{"Key": key, "VersionId": version} for key, version in versions], "Quiet": True},
        )
        for refused in answer.get("Errors", []):
            code = str(refused.get("Code", ""))
            raise ClientError({"Error": {"Code": code, "Message": refused.get("Message", "")}}, "DeleteObjects")


def content_disposition(filename: str) -> str:
    """Return an attachment's header value with both forms of the name (RFC 6266)."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
