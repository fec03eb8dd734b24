"""What every implementation of the ports of fetching must do, whatever is behind it."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody
from botocore.stub import Stubber

from lambdas.adapters.aws import sources as on_aws
from lambdas.adapters.aws.client_buckets import ClientBuckets, connection
from lambdas.adapters.memory import sources as in_memory
from lambdas.core.egress import NoAnswerError, TooLargeError
from lambdas.core.sources import (
    BucketObject,
    BucketReader,
    FetchFailure,
    FetchRequest,
    ObjectSink,
    SourceErrorCode,
    SourceRefusedError,
    name_of,
)
from lambdas.entrypoints.fetch import REQUEST

ROLE = "arn:aws:iam::123456789012:role/cleartake-source-talks"


@dataclass
class Sink:
    port: ObjectSink
    read: Callable[[str], tuple[bytes, str] | None]


@pytest.fixture
def sink(port_kind: str) -> Sink:
    if port_kind == "memory":
        fake = in_memory.MemorySink()
        return Sink(fake, fake.objects.get)
    client = boto3.client("s3")
    client.create_bucket(Bucket="audio")

    def read(key: str) -> tuple[bytes, str] | None:
        if not client.list_objects_v2(Bucket="audio", Prefix=key).get("Contents"):
            assert not client.list_multipart_uploads(Bucket="audio").get("Uploads"), "parts are left"
            return None
        found = client.get_object(Bucket="audio", Key=key)
        return found["Body"].read(), found["ContentType"]

    return Sink(on_aws.S3ObjectSink("audio", client), read)


def test_an_object_is_written_piece_by_piece(sink: Sink) -> None:
    pieces = [b"x" * 1_000_003, b"y", b"z" * 20_000_000, b""]
    assert sink.port.put("in/c1/a1", "audio/wav", iter(pieces)) == 21_000_004
    assert sink.read("in/c1/a1") == (b"".join(pieces), "audio/wav")


def test_parts_are_checked_by_the_checksum_that_the_upload_names(aws: None) -> None:
    """S3 refuses a part with a checksum that its upload knows nothing of; moto and boto3 let it pass."""
    client, calls = boto3.client("s3"), dict[str, Any]()
    client.create_bucket(Bucket="audio")
    for operation in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"):
        client.meta.events.register(
            f"provide-client-params.s3.{operation}", lambda params, model, **_: calls.update({model.name: dict(params)})
        )
    on_aws.S3ObjectSink("audio", client).put("in/c1/a1", "audio/wav", iter([b"123456789"]))
    assert calls["CreateMultipartUpload"]["ChecksumAlgorithm"] == "CRC32"
    assert calls["UploadPart"]["ChecksumCRC32"] == "y/Q5Jg=="  # CRC-32's own check value, 0xCBF43926
    (part,) = calls["CompleteMultipartUpload"]["MultipartUpload"]["Parts"]
    assert part["ChecksumCRC32"] == "y/Q5Jg=="


def test_what_breaks_off_leaves_nothing(sink: Sink) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * 17 * 2**20
        raise NoAnswerError("the answer broke off")

    with pytest.raises(NoAnswerError):
        sink.port.put("in/c1/a1", "audio/wav", chunks())
    assert sink.read("in/c1/a1") is None


def test_the_queues_carry_what_they_are_given(port_kind: str) -> None:
    request = FetchRequest("c1", "a1", "https://files.example.com/a.wav?sig=1")
    failure = FetchFailure("c1", "a1", SourceErrorCode.EMPTY, "the source is empty")
    if port_kind == "memory":
        fake = in_memory.MemoryFetchQueue()
        fake.ask(request)
        fake.tell(failure)
        assert (fake.asked, fake.failed) == ([request], [failure])
        return
    client = boto3.client("sqs")
    urls = [client.create_queue(QueueName=name)["QueueUrl"] for name in ("fetch", "failures")]
    on_aws.SqsFetchQueue(client, urls[0]).ask(request)
    on_aws.SqsFetchFailureQueue(client, urls[1]).tell(failure)
    found: list[Any] = [json.loads(client.receive_message(QueueUrl=url)["Messages"][0]["Body"]) for url in urls]
    assert found[0] == {"client_id": "c1", "asset_id": "a1", "url": request.url}
    assert found[1] == asdict(failure) | {"code": "source_empty"}


def test_a_request_for_an_object_comes_out_of_the_queue_as_it_went_in(aws: None) -> None:
    request = FetchRequest("c1", "a1", object=BucketObject("lent", "a/ü b.wav", ROLE, "v1"))
    client = boto3.client("sqs")
    url = client.create_queue(QueueName="fetch")["QueueUrl"]
    on_aws.SqsFetchQueue(client, url).ask(request)
    body = client.receive_message(QueueUrl=url)["Messages"][0]["Body"]
    assert REQUEST.validate_json(body) == request
    on_aws.SqsFetchQueue(client, url).ask(replace(request, filename="Ü.wav"))
    assert REQUEST.validate_json(client.receive_message(QueueUrl=url)["Messages"][0]["Body"]).filename == "Ü.wav"
    assert REQUEST.validate_json('{"client_id": "c1", "asset_id": "a1", "url": "u"}') == FetchRequest("c1", "a1", "u")


@dataclass
class Lent:
    """A bucket of a client's with what is in it, behind the port."""

    port: BucketReader
    version_id: str | None

    def read(self, key: str = "a/ü b.wav", *, bucket: str = "lent", max_bytes: int = 99, **changes: Any) -> Any:
        source = BucketObject(bucket, key, ROLE, **changes)
        with self.port.stream(source, client_id="c1", asset_id="a1", max_bytes=max_bytes, timeout_s=9) as found:
            return found.status_code, found.url, found.headers["content-type"], b"".join(found.chunks)


@pytest.fixture
def lent(port_kind: str) -> Lent:
    known = BucketObject("lent", "a/ü b.wav", ROLE)
    if port_kind == "memory":
        objects = {
            (known.url, None): (b"later", "audio/wav"),
            (known.url, "v1"): (b"first", "audio/wav"),
            (BucketObject("lent", "empty", ROLE).url, None): (b"", "audio/wav"),
        }
        return Lent(in_memory.MemoryBuckets(objects, trusted={ROLE: "c1"}), "v1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="lent")
    client.put_bucket_versioning(Bucket="lent", VersioningConfiguration={"Status": "Enabled"})
    first, _ = (
        client.put_object(Bucket="lent", Key=known.key, Body=body, ContentType="audio/wav")["VersionId"]
        for body in (b"first", b"later")
    )
    client.put_object(Bucket="lent", Key="empty", ContentType="audio/wav")
    return Lent(ClientBuckets(boto3.client("sts"), connection(Config())), first)


class TestBuckets:
    def test_an_object_is_read_in_the_version_that_is_wanted(self, lent: Lent) -> None:
        url = "s3://lent/a/%C3%BC%20b.wav"
        assert lent.read() == (200, url, "audio/wav", b"later")
        assert lent.read(version_id=lent.version_id) == (200, url, "audio/wav", b"first")
        assert lent.read("empty")[3] == b""
        assert name_of(url) == "ü b.wav"

    def test_what_is_too_large_is_not_begun(self, lent: Lent) -> None:
        with pytest.raises(TooLargeError):
            lent.read(max_bytes=4)

    @pytest.mark.parametrize("asked", [{"key": "a/other"}, {"version_id": "never"}])
    def test_what_is_not_there_is_told_so(self, lent: Lent, asked: dict[str, str]) -> None:
        with pytest.raises(SourceRefusedError) as refusal:
            lent.read(**asked)
        assert refusal.value.code is SourceErrorCode.NOT_FOUND


def refusing(service: str, operation: str, code: str, status: int = 403) -> Any:
    client = boto3.client(service)  # type: ignore[call-overload]
    stubber = Stubber(client)
    stubber.add_client_error(operation, code, http_status_code=status)
    stubber.activate()
    return client


class TestLentRoles:
    def test_a_role_is_taken_on_for_one_client_for_a_quarter_of_an_hour_to_read_one_bucket(self, aws: None) -> None:
        client, calls = boto3.client("sts"), list[dict[str, Any]]()
        client.meta.events.register("provide-client-params.sts.AssumeRole", lambda params, **_: calls.append(params))
        boto3.client("s3").create_bucket(Bucket="lent")
        boto3.client("s3").put_object(Bucket="lent", Key="k", Body=b"x")
        Lent(ClientBuckets(client, connection(Config())), None).read("k")
        (call,) = calls
        assert (call["RoleArn"], call["ExternalId"], call["RoleSessionName"]) == (ROLE, "c1", "cleartake-a1")
        assert call["DurationSeconds"] == 900
        reading, opening = json.loads(call["Policy"])["Statement"]
        assert reading["Resource"] == ["arn:aws:s3:::lent", "arn:aws:s3:::lent/*"]
        assert {*reading["Action"], opening["Action"]} == {
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:ListBucket",
            "kms:Decrypt",
        }

    @pytest.mark.parametrize(
        ("code", "status", "expected"),
        [
            ("AccessDenied", 403, SourceErrorCode.ROLE_REFUSED),
            ("RegionDisabledException", 403, SourceErrorCode.ROLE_REFUSED),
            ("Throttling", 400, None),
            ("InternalFailure", 500, None),
        ],
    )
    def test_a_role_that_cannot_be_taken_on(
        self, aws: None, code: str, status: int, expected: SourceErrorCode | None
    ) -> None:
        sts = refusing("sts", "assume_role", code, status)
        self.check(Lent(ClientBuckets(sts, connection(Config())), None), expected)

    @pytest.mark.parametrize(
        ("code", "status", "expected"),
        [
            ("AccessDenied", 403, SourceErrorCode.ACCESS_DENIED),
            ("NoSuchBucket", 404, SourceErrorCode.NOT_FOUND),
            ("MethodNotAllowed", 405, SourceErrorCode.NOT_FOUND),
            ("InvalidObjectState", 403, SourceErrorCode.REFUSED),
            ("KeyTooLongError", 400, SourceErrorCode.REFUSED),
            ("SlowDown", 503, None),
        ],
    )
    def test_an_object_that_cannot_be_read(
        self, aws: None, code: str, status: int, expected: SourceErrorCode | None
    ) -> None:
        s3 = refusing("s3", "get_object", code, status)
        self.check(Lent(ClientBuckets(boto3.client("sts"), lambda _keys: s3), None), expected)

    def test_a_body_that_breaks_off(self, aws: None) -> None:
        s3 = boto3.client("s3")
        body = StreamingBody(io.BytesIO(b"short"), 99)
        stubber = Stubber(s3)
        stubber.add_response("get_object", {"Body": body, "ContentLength": 99, "ContentType": "audio/wav"})
        stubber.activate()
        self.check(Lent(ClientBuckets(boto3.client("sts"), lambda _keys: s3), None), None)

    def check(self, lent: Lent, expected: SourceErrorCode | None) -> None:
        """Have it refused for good, or, for None, so that another attempt may help."""
        with pytest.raises(SourceRefusedError if expected else NoAnswerError) as refusal:
            lent.read("secret-key")
        assert getattr(refusal.value, "code", None) is expected
        assert "secret-key" not in str(refusal.value)
        assert "123456789012" not in str(refusal.value)
