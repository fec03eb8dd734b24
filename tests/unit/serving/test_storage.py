"""Streams from and to S3 against a plain byte string: pinned versions, holes, patched heads, trouble midway."""

import hashlib
import io
from typing import Any

import boto3
import moto.s3.models
import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_container.contract import ObjectRef
from gpu_container.serving import storage
from gpu_container.serving.storage import S3Sink, S3Source, StorageError, store, storing

from .conftest import BUCKET, client_error

PART = 64
REF = ObjectRef(bucket=BUCKET, key="out")
KEEP_FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)


def content(size_bytes: int) -> bytes:
    return bytes(7 * at % 256 for at in range(size_bytes))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PART_BYTES", PART)
    monkeypatch.setattr(storage, "PARTS_PER_SIZE", 3)
    monkeypatch.setattr(moto.s3.models, "S3_UPLOAD_PART_MIN_SIZE", 1)


@pytest.fixture
def s3(aws: None) -> Any:
    return boto3.client("s3")


def put(s3: Any, data: bytes) -> ObjectRef:
    return ObjectRef(bucket=BUCKET, key="in", version_id=s3.put_object(Bucket=BUCKET, Key="in", Body=data)["VersionId"])


@KEEP_FIXTURE
@given(
    data=st.integers(0, 6 * PART).map(content),
    spans=st.lists(st.tuples(st.integers(0, 7 * PART), st.integers(0, 200)), max_size=8),
)
def test_reads_are_those_of_the_bytes(s3: Any, data: bytes, spans: list[tuple[int, int]]) -> None:
    with S3Source(s3, put(s3, data)) as source:
        assert source.size_bytes == len(data)
        for offset, size_bytes in spans:
            assert source.read_at(offset, size_bytes) == data[offset : offset + size_bytes]


def test_the_pinned_version_is_read_whatever_comes_later(s3: Any) -> None:
    ref = put(s3, b"first" * 40)
    with S3Source(s3, ref) as source:
        put(s3, b"later" * 40)
        assert source.read_at(0, 1000) == b"first" * 40


@KEEP_FIXTURE
@given(
    pieces=st.lists(st.integers(0, 150).map(content), max_size=12),
    patch=st.tuples(st.integers(0, PART - 1), st.integers(0, 20).map(content)),
)
def test_what_is_written_is_what_is_stored(s3: Any, pieces: list[bytes], patch: tuple[int, bytes]) -> None:
    sink, model = S3Sink(s3, REF, "audio/wav", {"made-by": "test"}), bytearray()
    for piece in pieces:
        sink.write_at(len(model), piece)
        model += piece
    offset = min(patch[0], len(model))
    again = patch[1][: PART - offset]
    sink.write_at(offset, again)
    model[offset : offset + len(again)] = again
    stored = sink.finish()

    answer = s3.get_object(Bucket=BUCKET, Key="out", VersionId=stored.ref.version_id)
    assert answer["Body"].read() == bytes(model)
    assert (answer["ContentType"], answer["Metadata"]) == ("audio/wav", {"made-by": "test"})
    assert stored.size_bytes == len(model)
    if "-" not in stored.sha256:
        assert stored.sha256 == hashlib.sha256(model).hexdigest()
    assert not s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_a_hole_and_a_change_of_what_has_gone_are_refused(s3: Any) -> None:
    sink = S3Sink(s3, REF, "audio/wav")
    with pytest.raises(ValueError, match="hole"):
        sink.write_at(1, b"x")
    sink.write_at(0, bytes(5 * PART))
    with pytest.raises(ValueError, match="gone"):
        sink.write_at(PART, b"x")
    sink.abort()


def test_work_that_ends_badly_leaves_nothing(s3: Any) -> None:
    def work(sink: S3Sink) -> None:
        with storing(sink):
            sink.write_at(0, bytes(5 * PART))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work(S3Sink(s3, REF, "audio/wav"))
    assert not s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert not s3.list_objects_v2(Bucket=BUCKET, Prefix="out").get("Contents")


def written_once(s3: Any, size_bytes: int) -> S3Sink:
    sink = S3Sink(s3, REF, "audio/wav", is_once=True)
    sink.write_at(0, content(size_bytes))
    return sink


@pytest.fixture
def as_s3_does(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the end of an upload in parts to its condition: moto knows that of a plain PUT alone."""
    complete = s3.complete_multipart_upload

    def complete_unless(**arguments: Any) -> Any:
        condition = arguments.pop("IfNoneMatch", None)
        if condition == "*" and s3.list_objects_v2(Bucket=BUCKET, Prefix="out").get("Contents"):
            raise client_error("PreconditionFailed")
        return complete(**arguments)

    monkeypatch.setattr(s3, "complete_multipart_upload", complete_unless)


@pytest.mark.usefixtures("as_s3_does")
@pytest.mark.parametrize("sizes_bytes", [(10, 20), (10 * PART, 12 * PART), (10, 9 * PART)])
def test_the_second_run_of_an_order_leaves_the_firsts_result_the_current_one(
    s3: Any, sizes_bytes: tuple[int, int]
) -> None:
    first, second = (written_once(s3, size_bytes) for size_bytes in sizes_bytes)
    stored = first.finish()
    with pytest.raises(StorageError, match="PreconditionFailed") as told, storing(second):
        second.finish()
    assert told.value.retryable
    (version,) = s3.list_object_versions(Bucket=BUCKET, Prefix="out")["Versions"]
    assert (version["VersionId"], version["Size"]) == (stored.ref.version_id, sizes_bytes[0])
    assert not s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


@pytest.mark.parametrize("size_bytes", [10, 10 * PART], ids=["one put", "parts"])
@pytest.mark.parametrize("code", ["PreconditionFailed", "NoSuchUpload"])
def test_a_write_that_was_sent_twice_is_known_as_ones_own(
    s3: Any, monkeypatch: pytest.MonkeyPatch, size_bytes: int, code: str
) -> None:
    def losing_the_answer(operation: str) -> Any:
        send = getattr(s3, operation)

        def write(**arguments: Any) -> Any:
            send(**arguments)
            raise client_error(code)

        return write

    for operation in ("put_object", "complete_multipart_upload"):
        monkeypatch.setattr(s3, operation, losing_the_answer(operation))
    stored = written_once(s3, size_bytes).finish()
    (version,) = s3.list_object_versions(Bucket=BUCKET, Prefix="out")["Versions"]
    assert (stored.ref.version_id, stored.size_bytes) == (version["VersionId"], size_bytes)


@pytest.mark.parametrize("size_bytes", [10, 10 * PART], ids=["one put", "parts"])
def test_what_is_refused_where_there_is_nothing_may_be_retried(
    s3: Any, monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    def refuse(**_: Any) -> Any:
        raise client_error("ConditionalRequestConflict")

    for operation in ("put_object", "complete_multipart_upload"):
        monkeypatch.setattr(s3, operation, refuse)
    with pytest.raises(StorageError, match="ConditionalRequestConflict") as told:
        written_once(s3, size_bytes).finish()
    assert told.value.retryable


@pytest.mark.parametrize("size_bytes", [10, 10 * PART], ids=["one put", "parts"])
def test_trouble_on_the_way_out_may_be_retried(s3: Any, monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    def refuse(**_: Any) -> Any:
        raise client_error("SlowDown")

    for operation in ("put_object", "upload_part"):
        monkeypatch.setattr(s3, operation, refuse)
    with pytest.raises(StorageError, match="upload: SlowDown") as told:
        store(s3, bytes(size_bytes), REF, content_type="audio/wav")
    assert told.value.retryable


def test_trouble_on_the_way_in_is_told_and_the_next_read_tries_again(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Source(s3, put(s3, b"speech")) as source:
        with monkeypatch.context() as patched:
            patched.setattr(s3, "get_object", lambda **_: (_ for _ in ()).throw(client_error("SlowDown")))
            with pytest.raises(StorageError, match="download: SlowDown"):
                source.read_at(0, 6)
        assert source.read_at(0, 6) == b"speech"


class _BrokenOff:
    def read(self) -> bytes:
        raise ReadTimeoutError(endpoint_url="https://bucket")


@pytest.mark.parametrize(("broken", "is_helped"), [(2, True), (3, False)])
def test_an_answer_that_breaks_off_is_asked_for_again(
    s3: Any, monkeypatch: pytest.MonkeyPatch, broken: int, *, is_helped: bool
) -> None:
    answers = iter([_BrokenOff()] * broken + [io.BytesIO(b"speech")])
    with S3Source(s3, put(s3, b"speech")) as source:
        monkeypatch.setattr(s3, "get_object", lambda **_: {"Body": next(answers)})
        if is_helped:
            assert source.read_at(0, 6) == b"speech"
            return
        with pytest.raises(StorageError, match="download: ReadTimeoutError") as told:
            source.read_at(0, 6)
        assert told.value.retryable


def test_two_readers_in_different_places_do_not_fetch_twice(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = content(40 * PART)
    ranges: list[str] = []
    get = s3.get_object
    with S3Source(s3, put(s3, data)) as source:
        monkeypatch.setattr(s3, "get_object", lambda **asked: ranges.append(asked["Range"]) or get(**asked))
        for at in range(0, 15 * PART, PART // 4):
            for place in (0, 20 * PART):
                assert source.read_at(place + at, PART // 4) == data[place + at : place + at + PART // 4]

    assert len(ranges) == len(set(ranges))


@pytest.mark.parametrize("ref", [ObjectRef(bucket=BUCKET, key="absent"), ObjectRef(bucket="no-such-bucket", key="in")])
def test_what_is_not_there_cannot_be_helped(s3: Any, ref: ObjectRef) -> None:
    with pytest.raises(StorageError) as told:
        S3Source(s3, ref)
    assert not told.value.retryable
