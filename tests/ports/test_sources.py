"""What every implementation of the ports of fetching must do, whatever is behind it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import boto3
import pytest

from lambdas.adapters.aws import sources as on_aws
from lambdas.adapters.memory import sources as in_memory
from lambdas.core.egress import NoAnswerError
from lambdas.core.sources import FetchFailure, FetchRequest, ObjectSink, SourceErrorCode


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
    assert found == [asdict(request), asdict(failure) | {"code": "source_empty"}]
