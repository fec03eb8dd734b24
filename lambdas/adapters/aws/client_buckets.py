"""Objects in clients' own buckets, read under roles that the clients lend.

A role is taken on with the client's identifier as the external id: a role that trusts us for one client does so for no
other, whoever names it.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.adapters.aws.errors import NOT_PERMITTED, code_of
from lambdas.core.egress import Fetched, NoAnswerError, TooLargeError
from lambdas.core.sources import BucketObject, SourceErrorCode, SourceRefusedError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import GetObjectOutputTypeDef, GetObjectRequestTypeDef
    from types_boto3_sts.client import STSClient
    from types_boto3_sts.type_defs import CredentialsTypeDef

SESSION_S: Final = 900
"""The shortest that STS lends; longer than any fetching lasts."""
CHUNK_BYTES: Final = 1024 * 1024

_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NotFound", "404", "MethodNotAllowed"})
"""S3 answers the last one for the version that marks a deletion."""
_ARCHIVED = "InvalidObjectState"
_MAY_PASS = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded"})

Connect = Callable[["CredentialsTypeDef"], "S3Client"]


def connection(config: Config) -> Connect:
    """Return what makes S3 clients for lent keys."""

    def connect(keys: "CredentialsTypeDef") -> "S3Client":
        return boto3.client(
            "s3",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
            config=config,
        )

    return connect


@dataclass(frozen=True)
class ClientBuckets:
    """Takes on a role for each object and forgets its keys afterwards."""

    sts: "STSClient"
    connect: Connect

    @contextmanager
    def stream(
        self, source: BucketObject, *, client_id: str, asset_id: str, max_bytes: int, timeout_s: float
    ) -> Iterator[Fetched]:
        """Take on the role and GET the object."""
        deadline = time.monotonic() + timeout_s
        client = self.connect(self._keys(source, client_id, asset_id))
        with closing(client):
            found = _get(client, source)
            with closing(found["Body"]):
                if found["ContentLength"] > max_bytes:
                    raise TooLargeError(f"more than {max_bytes} bytes")
                headers = {"content-type": found.get("ContentType", "")}
                yield Fetched(source.url, 200, headers, _chunks(found, deadline))

    def _keys(self, source: BucketObject, client_id: str, asset_id: str) -> "CredentialsTypeDef":
        """Return keys that can read one bucket, whatever else the role may do."""
        try:
            answer = self.sts.assume_role(
                RoleArn=source.role_arn,
                RoleSessionName=f"cleartake-{asset_id}",
                ExternalId=client_id,
                DurationSeconds=SESSION_S,
                Policy=_reading(source),
            )
        except ClientError as error:
            if _may_pass(error):
                raise NoAnswerError("no answer from STS") from error
            message = "the role could not be taken on: see its trust policy"
            raise SourceRefusedError(SourceErrorCode.ROLE_REFUSED, message) from error
        except BotoCoreError as error:
            raise NoAnswerError("no answer from STS") from error
        return answer["Credentials"]


def _reading(source: BucketObject) -> str:
    """Return the session's policy. It names the bucket: a key may be longer than a session's policy."""
    partition = source.role_arn.split(":")[1]
    bucket = f"arn:{partition}:s3:::{source.bucket}"
    # Who may not list learns of a missing key only that it is denied.
    actions = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"]
    statements = [
        {"Effect": "Allow", "Action": actions, "Resource": [bucket, f"{bucket}/*"]},
        {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _get(client: "S3Client", source: BucketObject) -> "GetObjectOutputTypeDef":
    wanted: GetObjectRequestTypeDef = {"Bucket": source.bucket, "Key": source.key}
    if source.version_id:
        wanted["VersionId"] = source.version_id
    try:
        return client.get_object(**wanted)
    except ClientError as error:
        raise _refusal(error) from error
    except BotoCoreError as error:
        raise NoAnswerError("no answer from S3") from error


def _refusal(error: ClientError) -> Exception:
    code = code_of(error)
    if _may_pass(error):
        return NoAnswerError("no answer from S3")
    if code in _MISSING:
        return SourceRefusedError(SourceErrorCode.NOT_FOUND, "there is no such object")
    if code in NOT_PERMITTED:
        return SourceRefusedError(SourceErrorCode.ACCESS_DENIED, "the role may not read the object, or there is none")
    if code == _ARCHIVED:
        return SourceRefusedError(SourceErrorCode.REFUSED, "the object is archived: restore it first")
    return SourceRefusedError(SourceErrorCode.REFUSED, f"S3 answered {code}")


def _may_pass(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or code_of(error) in _MAY_PASS


def _chunks(found: "GetObjectOutputTypeDef", deadline: float) -> Iterator[bytes]:
    """Yield the body; S3 itself has said how long it is, and botocore holds it to that."""
    try:
        for chunk in found["Body"].iter_chunks(CHUNK_BYTES):
            if time.monotonic() > deadline:
                raise NoAnswerError("no answer in time")
            yield chunk
    except BotoCoreError as error:
        raise NoAnswerError("the answer broke off") from error
