"""Rates, pages, keys, progress: the core of what the native API adds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.adapters.memory.stores import MemoryRateCounter
from lambdas.adapters.memory.world import ManualClock, MemoryTokens
from lambdas.core.clients import Client
from lambdas.core.errors import DomainError, DomainErrorCode, TransientError
from lambdas.core.idempotency import IdempotencyKey, fingerprint
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.paging import from_cursor, order_of, to_cursor
from lambdas.core.rates import RateClass, RateExceededError
from lambdas.core.services.authentication import KeyAuthenticator
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.listing import JobFilter, eta_s
from lambdas.core.services.rates import RateLimiter
from tests.unit.world import World, an_upload

LIMIT = 5


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.client()[0]


@given(st.lists(st.floats(0, 40), max_size=60))
def test_no_minute_wherever_it_lies_has_more_calls_than_the_limit(pauses_s: list[float]) -> None:
    clock = ManualClock()
    limiter = RateLimiter(MemoryRateCounter(), clock)
    client = Client("c1", "acme", clock.now(), rate_limits={RateClass.NATIVE: LIMIT})
    accepted, waits_s = [], []
    for pause_s in pauses_s:
        clock.advance(pause_s)
        try:
            limiter.take(client, RateClass.NATIVE)
        except DomainError as refusal:
            waits_s.append(refusal.retry_after_s or 0)
        else:
            accepted.append(clock.now())
    assert all(1 <= wait_s <= 65 for wait_s in waits_s)
    for start in accepted:
        assert sum(start <= moment < start + timedelta(minutes=1) for moment in accepted) <= LIMIT


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 25)), max_size=60))
def test_nor_where_calls_are_counted_later_than_they_came(calls: list[tuple[float, float]]) -> None:
    """Each is counted after a pause, by a clock that is behind."""
    clock, counter = ManualClock(), MemoryRateCounter()
    client = Client("c1", "acme", clock.now(), rate_limits={RateClass.NATIVE: LIMIT})
    accepted = []
    for pause_s, behind_s in calls:
        clock.advance(pause_s)
        own = ManualClock(clock.now() - timedelta(seconds=behind_s))
        try:
            RateLimiter(counter, own).take(client, RateClass.NATIVE)
        except DomainError:
            continue
        accepted.append(own.now())
    for start in accepted:
        assert sum(start <= moment < start + timedelta(minutes=1) for moment in accepted) <= LIMIT


def test_who_comes_again_when_told_is_let_in() -> None:
    clock = ManualClock()
    limiter = RateLimiter(MemoryRateCounter(), clock)
    client = Client("c1", "acme", clock.now(), rate_limits={RateClass.NATIVE: 1})
    limiter.take(client, RateClass.NATIVE)
    for _ in range(3):  # hammering in between makes it no longer
        with pytest.raises(DomainError) as refusal:
            limiter.take(client, RateClass.NATIVE)
    clock.advance(refusal.value.retry_after_s or 0)
    assert limiter.take(client, RateClass.NATIVE) is not None


def test_a_counter_that_is_away_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    counter, clock = MemoryRateCounter(), ManualClock()

    def away(*_: object) -> None:
        raise TransientError("the table is away")

    monkeypatch.setattr(counter, "count", away)
    assert RateLimiter(counter, clock).take(Client("c1", "acme", clock.now()), RateClass.NATIVE) is None


def test_a_call_too_many_is_refused_also_where_it_stays_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counter, clock = MemoryRateCounter(), ManualClock()
    client = Client("c1", "acme", clock.now(), rate_limits={RateClass.NATIVE: 1})

    def away(*_: object) -> None:
        raise TransientError("the table is away")

    monkeypatch.setattr(counter, "discount", away)
    limiter = RateLimiter(counter, clock)
    assert limiter.take(client, RateClass.NATIVE) is not None
    with pytest.raises(RateExceededError):
        limiter.take(client, RateClass.NATIVE)


@given(st.text(max_size=40))
def test_a_cursor_is_read_back_and_anything_else_is_refused(text: str) -> None:
    place = order_of(ManualClock().now(), "00000000-0000-4000-8000-000000000001")
    assert from_cursor(to_cursor(place)) == place
    with pytest.raises(DomainError):
        from_cursor(text)


def test_pages_lose_and_repeat_nothing_while_jobs_change(world: World, client: Client) -> None:
    made = []
    for _ in range(7):
        made.append(world.waiting_job(client.id).id)
        world.clock.advance(1)
    seen, cursor = [], None
    while True:
        page = world.listing.page(client.id, JobFilter(), limit=3, cursor=cursor)
        seen += [job.id for job in page.items]
        world.cancelling.cancel(client.id, seen[-1])
        world.waiting_job(client.id)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == made[::-1]


def test_a_job_that_goes_on_while_a_list_is_read_is_in_it_once(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, read = world.queued_job(client.id), world.jobs.newest

    def newest(client_id: str, status: JobStatus, *, limit: int, before: str | None = None) -> Sequence[Job]:
        found = read(client_id, status, limit=limit, before=before)
        if status is JobStatus.QUEUED:
            assert world.admission.admit([client_id]) == 1
        return found

    monkeypatch.setattr(world.jobs, "newest", newest)
    (listed,) = world.listing.page(client.id, JobFilter(), limit=10).items
    assert (listed.id, listed.status) == (job.id, JobStatus.ADMITTED)


def test_lists_keep_to_their_times_and_recordings(world: World, client: Client) -> None:
    first = world.waiting_job(client.id)
    world.clock.advance(60)
    since = world.clock.now()
    second = world.waiting_job(client.id)
    world.clock.advance(60)
    world.waiting_job(client.id)
    between = JobFilter(created_after=since, created_before=since + timedelta(seconds=1))
    assert [job.id for job in world.listing.page(client.id, between, limit=9).items] == [second.id]
    own = JobFilter(asset_id=first.asset_id)
    assert [job.id for job in world.listing.page(client.id, own, limit=9).items] == [first.id]
    assert world.listing.page("another", JobFilter(), limit=9).items == []


def test_waiting_ends_with_the_job_or_with_patience(world: World, client: Client) -> None:
    job = world.waiting_job(client.id)
    naps: list[float] = []
    world.listing.wait(client.id, job.id, wait_s=3, sleep=naps.append)
    assert sum(naps) == pytest.approx(3)

    def ended_meanwhile(_: float) -> None:
        world.cancelling.cancel(client.id, job.id)

    seen = world.listing.wait(client.id, job.id, wait_s=20, sleep=ended_meanwhile)
    assert seen.job.status is JobStatus.CANCELLED


@pytest.mark.parametrize(("percent", "eta"), [(0.0, None), (2.0, None), (10.0, 90), (50.0, 10), (99.9, 1)])
def test_what_is_left_follows_from_what_was_done(world: World, percent: float, eta: int | None) -> None:
    now = world.clock.now()
    waited = now - timedelta(minutes=10)
    job = Job("j", "c", "a", 50, "dfn3", waited, now, status=JobStatus.RUNNING, progress=percent, admitted_at=waited)
    assert eta_s(replace(job, started_at=now), now + timedelta(seconds=10)) == eta
    assert eta_s(job, now + timedelta(seconds=10)) is None  # as an earlier version's worker has left it


@pytest.mark.parametrize(("percent", "eta"), [(50.0, None), (60.0, 40), (75.0, 10)])
def test_what_is_left_of_an_assembly_follows_from_its_own_pace(world: World, percent: float, eta: int | None) -> None:
    now = world.clock.now()
    job = Job("j", "c", "a", 50, "dfn3", now, now, status=JobStatus.RUNNING, progress=percent)
    assert eta_s(replace(job, started_at=now, started_percent=50.0), now + timedelta(seconds=10)) == eta


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_key_names_one_thing_for_one_client_and_operation(one: str, other: str) -> None:
    keys = [IdempotencyKey(client, "asset", key, "") for client in ("c1", "c2") for key in {one, other}]
    assert len({key.derived_id() for key in keys}) == len(keys)
    assert keys[0].derived_id("job") != keys[0].derived_id("asset")


def test_the_order_of_fields_makes_no_other_request() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})


def test_a_request_that_died_half_way_is_made_whole_by_its_repetition(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = Wish(strength=50, idempotency=IdempotencyKey(client.id, "enhancement", "k", "f"))

    def dies(*_: object) -> None:
        raise TransientError("the table is away")

    with monkeypatch.context() as patched:
        patched.setattr(world.jobs, "add", dies)
        with pytest.raises(TransientError):
            world.submissions.submit(client.id, an_upload(client.id), wish)
    made = world.submissions.submit(client.id, an_upload(client.id), wish)
    again = world.submissions.submit(client.id, an_upload(client.id), wish)
    assert made.asset is not None
    assert again.job == made.job
    assert made.job.id == made.asset.asset.waiting_job_id


def test_an_asset_goes_when_its_time_is_over(world: World, client: Client) -> None:
    ready = world.ready_asset(client.id)
    asset = world.asset_store.save(replace(ready, retain_until=world.clock.now() + timedelta(hours=2)))
    world.clock.advance(2 * 3600 - 1)
    assert world.housekeeping.tidy().retired == 0
    world.clock.advance(2)
    assert world.housekeeping.tidy().retired == 1
    with pytest.raises(DomainError):
        world.assets.show(client.id, asset.id)
    assert world.erase_queue.asked[0] == (client.id, asset.id)


class TestApiKeys:
    @pytest.fixture
    def authenticator(self, world: World) -> KeyAuthenticator:
        return KeyAuthenticator(world.clients, MemoryTokens(), world.clock)

    def test_a_rotated_secret_stops_at_once(self, world: World, authenticator: KeyAuthenticator) -> None:
        client, secret = world.administration.create("flow", takes_api_keys=True)
        key = f"{client.id}.{secret}"
        assert authenticator.authenticate(bearer=None, api_key=key).id == client.id
        for _ in range(2):
            world.administration.rotate(client.id)
        with pytest.raises(DomainError) as refusal:
            authenticator.authenticate(bearer=None, api_key=key)
        assert refusal.value.code is DomainErrorCode.API_KEY_UNKNOWN

    def test_a_disabled_client_is_out(self, world: World, authenticator: KeyAuthenticator) -> None:
        client, secret = world.administration.create("flow", takes_api_keys=True)
        authenticator.authenticate(bearer=None, api_key=f"{client.id}.{secret}")
        world.administration.set_disabled(client.id, disabled=True)
        with pytest.raises(DomainError):
            authenticator.authenticate(bearer=None, api_key=f"{client.id}.{secret}")

    @pytest.mark.parametrize("key", ["", ".", "x", "..", "x.", "." * 500, "C#c1.s"])
    def test_anything_else_is_no_key(self, authenticator: KeyAuthenticator, key: str) -> None:
        with pytest.raises(DomainError):
            authenticator.authenticate(bearer=None, api_key=key)
