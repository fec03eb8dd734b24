"""Recordings by URL: registered at once, fetched where an upload would lie, given up with a clear reason."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_container.contract import ProbeResult
from lambdas.adapters.memory.sources import MemoryBuckets, MemoryFetchQueue, MemorySink, MemorySource
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.egress import EgressPolicy, Fetched, ForbiddenUrlError, NoAnswerError, TooLargeError
from lambdas.core.errors import DomainError, DomainErrorCode, TransientError
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.jobs import JobStatus
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.intake import ATTEMPT_LIVES
from lambdas.core.services.sources import CreateFromBucket, CreateFromUrl, FetchService, SourceService
from lambdas.core.sources import (
    FETCH_DELAYS_S,
    FETCH_RECEIVES,
    FETCH_TIMEOUT_S,
    MAX_NAME_LENGTH,
    UNKNOWN_TYPE,
    FetchFailure,
    FetchRequest,
    SourceErrorCode,
    bucket_object_of,
    content_type_of,
    name_of,
)
from lambdas.core.telemetry import is_our_fault
from tests.unit.world import FACTS, World

URL = "https://files.example.com/a/talk%20one.mp3?sig=secret"
BODY = b"ID3 some bytes"


class House(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.fetch_queue, self.source, self.sink = MemoryFetchQueue(), MemorySource(), MemorySink()
        self.buckets = MemoryBuckets()
        self.sources = SourceService(self.asset_store, self.fetch_queue, EgressPolicy(), self.clock, self.ids)
        self.submissions = replace(self.submissions, sources=self.sources)
        self.fetching = FetchService(self.source, self.buckets, self.sink, self.fetch_queue)

    def fetched(self, request: FetchRequest, *, tries: int = 1) -> float | None:
        return self.fetching.fetch(request, tries=tries)

    def stored(self, asset: Asset) -> Asset:
        found = self.asset_store.get(asset.client_id, asset.id)
        assert found is not None
        return found


def refuse(_request: FetchRequest) -> None:
    raise TransientError("no queue")


@pytest.fixture
def house() -> House:
    return House()


def answer(status: int = 200, *chunks: bytes, content_type: str = "audio/mpeg; charset=x") -> Fetched:
    return Fetched(URL, status, {"content-type": content_type}, iter(chunks))


def breaking() -> Iterator[bytes]:
    yield BODY
    raise NoAnswerError("the answer broke off")


def test_what_is_fetched_is_taken_in_like_an_upload(house: House) -> None:
    client, _ = house.client()
    made = house.submissions.submit(client.id, CreateFromUrl(client.id, URL), Wish(strength=50))
    assert made.asset is not None
    asset = made.asset.asset
    assert (asset.filename, asset.status) == ("talk one.mp3", AssetStatus.WAITING_FOR_UPLOAD)
    assert house.assets.show(client.id, asset.id).upload_url is None
    (request,) = house.fetch_queue.asked
    house.source.answers.append(answer(200, BODY[:3], BODY[3:]))
    assert house.fetched(request) is None
    assert house.sink.objects == {asset.object_key: (BODY, "audio/mpeg")}

    house.storage.put(asset.object_key, size_bytes=len(BODY), content_type="audio/mpeg")
    located = house.intake.locate(asset.object_key)
    assert located is not None
    assert house.intake.locate(asset.object_key) == located
    house.intake.mark_ready(located, ProbeResult(facts=FACTS))
    ready = house.stored(asset)
    assert (ready.status, ready.size_bytes, ready.content_type) == (AssetStatus.READY, len(BODY), "audio/mpeg")
    assert house.intake.enqueue(located) == made.job.id


def test_the_url_is_kept_nowhere_but_in_the_queue(house: House) -> None:
    client, _ = house.client()
    asset = house.sources.create(CreateFromUrl(client.id, URL, filename="mine.mp3"))
    assert "secret" not in repr(house.stored(asset))
    assert asset.filename == "mine.mp3"


def test_the_given_name_says_what_it_is_where_its_server_does_not(house: House) -> None:
    asset = house.sources.create(CreateFromUrl("c1", "https://files.example.com/dl?id=3", filename="talk.mp3"))
    house.source.answers.append(answer(200, BODY, content_type=UNKNOWN_TYPE))
    assert house.fetched(house.fetch_queue.asked[0]) is None
    assert house.sink.objects == {asset.object_key: (BODY, "audio/mpeg")}


def test_a_forbidden_url_is_refused_at_once(house: House) -> None:
    with pytest.raises(ForbiddenUrlError):
        house.sources.create(CreateFromUrl("c1", "https://169.254.169.254/latest"))
    assert house.fetch_queue.asked == []


def test_an_asset_that_cannot_be_asked_for_is_not_left_behind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.fetch_queue, "ask", refuse)
    with pytest.raises(DomainError) as raised:
        house.sources.create(CreateFromUrl("c1", URL))
    assert raised.value.code is DomainErrorCode.UNAVAILABLE
    assert house.asset_store.newest("c1", limit=9) == []


def test_an_enhancement_that_cannot_be_asked_for_is_not_left_behind(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = house.client()
    monkeypatch.setattr(house.fetch_queue, "ask", refuse)
    with pytest.raises(TransientError):
        house.submissions.submit(client.id, CreateFromUrl(client.id, URL), Wish(strength=50))
    assert house.asset_store.newest(client.id, limit=9) == []
    assert house.jobs.expecting(before=house.clock.now() + timedelta(hours=1)) == []


def test_a_request_with_a_key_is_taken_up_where_it_died(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = house.client()
    wish = Wish(strength=50, idempotency=IdempotencyKey(client.id, "enhancement", "k", "sha"))
    with monkeypatch.context() as patch:
        patch.setattr(house.fetch_queue, "ask", refuse)
        with pytest.raises(TransientError):
            house.submissions.submit(client.id, CreateFromUrl(client.id, URL), wish)
    made = house.submissions.submit(client.id, CreateFromUrl(client.id, URL), wish)
    assert made.asset is not None
    assert [request.asset_id for request in house.fetch_queue.asked] == [made.asset.asset.id]
    assert [job.id for job in house.jobs.of_asset(client.id, made.asset.asset.id)] == [made.job.id]


def test_a_repeated_request_starts_no_second_fetch(house: House) -> None:
    client, _ = house.client()
    wish = Wish(strength=50, idempotency=IdempotencyKey(client.id, "enhancement", "k", "sha"))
    for _ in range(2):
        made = house.submissions.submit(client.id, CreateFromUrl(client.id, URL), wish)
        assert made.asset is not None
        assert house.stored(made.asset.asset).fetch_asked_at == house.clock.now()
    assert len(house.fetch_queue.asked) == 1


def test_a_failure_says_nothing_of_an_attempt_that_goes_on(house: House) -> None:
    client, _ = house.client()
    made = house.submissions.submit(client.id, CreateFromUrl(client.id, URL), Wish(strength=50))
    assert made.asset is not None
    asset = made.asset.asset
    failure = FetchFailure(client.id, asset.id, SourceErrorCode.REFUSED, "the source answered 403")
    house.storage.arriving[asset.object_key] = house.clock.now()
    house.clock.advance(FETCH_TIMEOUT_S)
    with pytest.raises(TransientError):
        house.intake.mark_unfetched(failure)
    house.storage.put(asset.object_key, size_bytes=len(BODY))
    house.intake.mark_unfetched(failure)
    assert house.stored(asset).is_waiting
    assert house.intake.locate(asset.object_key) is not None


def test_what_an_attempt_has_left_behind_holds_nothing_up(house: House) -> None:
    client, _ = house.client()
    asset = house.sources.create(CreateFromUrl(client.id, URL))
    house.storage.arriving[asset.object_key] = house.clock.now()
    house.clock.advance(ATTEMPT_LIVES.total_seconds())
    house.intake.mark_unfetched(FetchFailure(client.id, asset.id, SourceErrorCode.REFUSED, "403"))
    assert house.stored(asset).status is AssetStatus.INVALID


def test_a_refusal_that_is_faster_than_the_answer_finds_the_job(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = house.client()

    def ask(request: FetchRequest) -> None:
        failure = FetchFailure(request.client_id, request.asset_id, SourceErrorCode.FORBIDDEN, "not a public one")
        house.intake.mark_unfetched(failure)
        house.intake.refuse(request.client_id, request.asset_id)

    monkeypatch.setattr(house.fetch_queue, "ask", ask)
    made = house.submissions.submit(client.id, CreateFromUrl(client.id, URL), Wish(strength=50))
    assert (house.job(made.job).status, house.job(made.job).error_code) == (JobStatus.FAILED, "source_forbidden")
    assert [outcome.job_id for outcome in house.outcome_queue.told] == [made.job.id]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (ForbiddenUrlError("the address is not a public one"), SourceErrorCode.FORBIDDEN),
        (TooLargeError("more than 7 bytes"), SourceErrorCode.TOO_LARGE),
        (answer(404), SourceErrorCode.REFUSED),
        (answer(401, b"who are you"), SourceErrorCode.REFUSED),
        (answer(304), SourceErrorCode.REFUSED),
        (answer(200), SourceErrorCode.EMPTY),
    ],
)
def test_what_will_never_come_is_given_up_at_once(
    house: House, found: Fetched | Exception, code: SourceErrorCode
) -> None:
    client, _ = house.client()
    asset = house.sources.create(CreateFromUrl(client.id, URL))
    house.source.answers.append(found)
    assert house.fetched(house.fetch_queue.asked[0]) is None
    assert house.sink.objects == {}
    (failure,) = house.fetch_queue.failed
    assert failure.code is code
    for _ in range(2):
        house.intake.mark_unfetched(failure)
    given_up = house.stored(asset)
    assert (given_up.status, given_up.error_code) == (AssetStatus.INVALID, code.value)
    assert "secret" not in (given_up.error_message or "")


@pytest.mark.parametrize(
    "make",
    [
        lambda: NoAnswerError("no answer in time"),
        lambda: answer(503),
        lambda: answer(429),
        lambda: Fetched(URL, 200, {}, breaking()),
    ],
)
def test_what_may_pass_is_tried_again_and_then_given_up(house: House, make: object) -> None:
    assert callable(make)
    request, waits = FetchRequest("c1", "a1", URL), []
    for tries in range(1, len(FETCH_DELAYS_S) + 2):
        house.source.answers.append(make())
        waits.append(house.fetched(request, tries=tries))
    assert waits == [*FETCH_DELAYS_S, None]
    assert [failure.asset_id for failure in house.fetch_queue.failed] == ["a1"]
    assert house.sink.objects == {}


class Broken(MemorySink):
    def put(self, key: str, content_type: str, chunks: Iterator[bytes]) -> int:
        raise KeyError(URL)


def test_a_fault_of_ours_is_tried_for_long_and_then_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    client, _ = house.client()
    made = house.submissions.submit(client.id, CreateFromUrl(client.id, URL), Wish(strength=50))
    house.fetching = replace(house.fetching, sink=Broken())
    waits = []
    for tries in range(1, FETCH_RECEIVES + 1):
        house.source.answers.append(answer(200, BODY))
        waits.append(house.fetched(house.fetch_queue.asked[0], tries=tries))
    assert waits == [*FETCH_DELAYS_S, *[FETCH_DELAYS_S[-1]] * 4, None]
    (failure,) = house.fetch_queue.failed
    house.intake.mark_unfetched(failure)
    house.intake.refuse(failure.client_id, failure.asset_id)
    assert house.job(made.job).error_code == "internal"
    assert is_our_fault(house.job(made.job))
    assert "KeyError" in str([record.__dict__ for record in caplog.records])
    assert "secret" not in str([record.__dict__ for record in caplog.records])


def test_what_a_source_is_to_blame_for_wakes_nobody(house: House) -> None:
    client, _ = house.client()
    made = house.submissions.submit(client.id, CreateFromUrl(client.id, URL), Wish(strength=50))
    failure = FetchFailure(client.id, made.job.asset_id, SourceErrorCode.REFUSED, "the source answered 404")
    house.intake.mark_unfetched(failure)
    house.intake.refuse(failure.client_id, failure.asset_id)
    assert house.job(made.job).error_code == "source_refused"
    assert not is_our_fault(house.job(made.job))


LENT = bucket_object_of("s3://talks/2026/keynote one.mp3", "arn:aws:iam::123456789012:role/cleartake-source-talks")


def lend(house: House, client_id: str) -> Asset:
    house.buckets.trusted[LENT.role_arn] = client_id
    house.buckets.objects[LENT.url, None] = (BODY, "audio/mpeg")
    return house.sources.create(CreateFromBucket(client_id, LENT))


def test_an_object_of_the_clients_is_read_like_a_file_by_url(house: House) -> None:
    asset = lend(house, "c1")
    assert (asset.filename, asset.is_fetched) == ("keynote one.mp3", True)
    assert house.fetched(house.fetch_queue.asked[0]) is None
    assert house.sink.objects == {asset.object_key: (BODY, "audio/mpeg")}


def test_a_role_lent_to_one_client_is_of_no_use_to_another(house: House) -> None:
    lend(house, "c1")
    house.sources.create(CreateFromBucket("c2", LENT))
    assert house.fetched(house.fetch_queue.asked[1]) is None
    assert [(failure.client_id, failure.code) for failure in house.fetch_queue.failed] == [
        ("c2", SourceErrorCode.ROLE_REFUSED)
    ]
    assert house.sink.objects == {}


@pytest.mark.parametrize("unreadable", [False, True])
def test_an_object_that_cannot_be_read_is_given_up_at_once(house: House, unreadable: bool) -> None:
    lend(house, "c1")
    if unreadable:
        house.buckets.unreadable.add(LENT.url)
    else:
        house.buckets.objects.clear()
    assert house.fetched(house.fetch_queue.asked[0]) is None
    expected = SourceErrorCode.ACCESS_DENIED if unreadable else SourceErrorCode.NOT_FOUND
    assert [failure.code for failure in house.fetch_queue.failed] == [expected]


@pytest.mark.parametrize(
    "uri",
    [
        "s3://talks",
        "s3://talks/",
        "s3://Talks/a",
        "https://talks/a",
        "s3:///a",
        "s3://../a",
        "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/x/a",
        "s3://talks@evil/a",
        "s3://talks/a\nb",
        " s3://talks/a",
    ],
)
def test_an_address_that_is_none_is_refused_at_once(uri: str) -> None:
    with pytest.raises(DomainError) as refusal:
        bucket_object_of(uri, LENT.role_arn)
    assert refusal.value.code is DomainErrorCode.PARAMETER_INVALID


@pytest.mark.parametrize(
    "role_arn",
    [
        "arn:aws:iam::123456789012:role/administrator",
        "arn:aws:iam::123456789012:role/cleartake-source-",
        "arn:aws:iam::123456789012:role/path/cleartake-source-talks",
        "arn:aws:iam::123456789012:user/cleartake-source-talks",
        "arn:aws:iam::*:role/cleartake-source-talks",
        "arn:aws:iam::123456789012:role/cleartake-source-*",
        "arn:aws:sts::123456789012:assumed-role/cleartake-source-talks/x",
        "cleartake-source-talks",
        f"arn:aws:iam::123456789012:role/cleartake-source-{'x' * 48}",
        "arn:aws:iam::123456789012:role/cleartake-source-talks\n",
    ],
)
def test_a_role_that_nobody_lent_is_refused_at_once(role_arn: str) -> None:
    with pytest.raises(DomainError) as refusal:
        bucket_object_of("s3://talks/a", role_arn)
    assert refusal.value.code is DomainErrorCode.PARAMETER_INVALID


def test_a_failure_that_comes_late_changes_nothing(house: House) -> None:
    client, _ = house.client()
    ready = house.ready_asset(client.id)
    house.intake.mark_unfetched(FetchFailure(client.id, ready.id, SourceErrorCode.EMPTY, "late"))
    house.intake.mark_unfetched(FetchFailure(client.id, "unknown", SourceErrorCode.EMPTY, "late"))
    assert house.stored(ready) == ready


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://e.example/a/b.wav", "b.wav"),
        ("https://e.example/", "recording"),
        ("https://e.example", "recording"),
        ("https://e.example/a/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("https://e.example/%E6%97%A5%E6%9C%AC.flac?x=/y.wav", "日本.flac"),
        ("https://e.example/a%00%0A%22b.wav", "ab.wav"),
    ],
)
def test_the_name_in_a_url(url: str, name: str) -> None:
    assert name_of(url) == name


@given(st.text(max_size=400))
def test_a_name_is_always_fit_to_be_one(path: str) -> None:
    try:
        name = name_of(f"https://e.example/{path}")
    except ValueError:
        return
    assert 0 < len(name) <= MAX_NAME_LENGTH
    assert name.isprintable()
    assert not set('/\\"') & set(name)


@pytest.mark.parametrize(
    ("header", "name", "expected"),
    [
        ("audio/WAV; x=y", "a.mp3", "audio/wav"),
        ("application/octet-stream", "a.mp3", "audio/mpeg"),
        ("text/html", "a.bin", UNKNOWN_TYPE),
        (None, "a.mp4", "video/mp4"),
        (None, "recording", UNKNOWN_TYPE),
        ("audio/\x00x", "a", UNKNOWN_TYPE),
        (f"audio/{'x' * 2000}", "a.wav", "audio/x-wav"),
        ("audio/", "a", UNKNOWN_TYPE),
    ],
)
def test_the_media_type_of_an_answer(header: str | None, name: str, expected: str) -> None:
    assert content_type_of(header, name) == expected
