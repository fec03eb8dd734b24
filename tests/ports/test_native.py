"""What the stores do for lists, uploads to come, batches, usage and rates: both ways of each."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gpu_container.contract import Dereverb, OutputFormat
from lambdas.core.assets import AssetStatus
from lambdas.core.batches import Batch, BatchItem
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.operations import Options
from lambdas.core.paging import order_of
from lambdas.core.ports import BatchStore, RateCounter, UsageStore
from lambdas.core.rates import BUCKET_S, BUCKETS, RateClass, judge
from lambdas.core.usage import UsageDay
from tests.ports.conftest import Stores
from tests.ports.test_contract import NOW, a_job, admitted, an_asset, the_client, with_client  # noqa: F401


def a_waiting_job(job_id: str = "w1") -> Job:
    return replace(a_job(job_id), status=JobStatus.WAITING_FOR_UPLOAD, asset_id="a2", is_unique=False)


class TestWaitingJobs:
    def test_what_was_asked_for_comes_back(self, with_client: Stores) -> None:  # noqa: F811
        options = Options(Dereverb.ON, OutputFormat.FLAC, -16.0, -1.5, None)
        job = replace(
            a_waiting_job(),
            options=options,
            batch_id="b1",
            reference="Folge 7 日本",
            audio_s=12.345,
            artifacts={"report": "out/x.report.json"},
            request_sha256="0" * 64,
        )
        with_client.jobs.add(job)
        assert with_client.jobs.get("c1", "w1") == job
        assert the_client(with_client).queued == 0

    def test_it_is_queued_when_its_upload_has_come(self, with_client: Stores) -> None:  # noqa: F811
        with_client.jobs.add(a_waiting_job())
        with pytest.raises(DomainError) as missing:
            with_client.jobs.enqueue(a_waiting_job().queued(NOW, audio_s=7))
        assert missing.value.code is DomainErrorCode.NOT_FOUND
        with_client.assets.add(an_asset("a2", status=AssetStatus.READY))
        queued = with_client.jobs.enqueue(a_waiting_job().queued(NOW, audio_s=7))
        assert with_client.jobs.oldest_queued("c1") == queued
        assert the_client(with_client).queued == 1
        with pytest.raises(VersionConflictError):
            with_client.jobs.enqueue(a_waiting_job().queued(NOW, audio_s=7))

    def test_a_full_queue_keeps_it_waiting(self, with_client: Stores) -> None:  # noqa: F811
        with_client.assets.add(an_asset("a2", status=AssetStatus.READY))
        with_client.jobs.add(a_waiting_job())
        for strength in (1, 2, 3):
            with_client.jobs.add(a_job(f"j{strength}", strength=strength))
        with pytest.raises(DomainError) as full:
            with_client.jobs.enqueue(a_waiting_job().queued(NOW, audio_s=7))
        assert full.value.code is DomainErrorCode.QUEUE_FULL
        assert with_client.jobs.get("c1", "w1") == a_waiting_job()

    def test_cancelled_before_it_was_queued_it_leaves_the_queues_length_alone(
        self,
        with_client: Stores,  # noqa: F811
    ) -> None:
        with_client.jobs.add(a_waiting_job())
        with_client.jobs.withdraw(a_waiting_job().cancelled(NOW), was=JobStatus.WAITING_FOR_UPLOAD)
        assert the_client(with_client).queued == 0

    def test_what_is_not_unique_may_be_asked_for_twice_but_an_id_is_taken_once(
        self,
        with_client: Stores,  # noqa: F811
    ) -> None:
        with_client.jobs.add(replace(a_job("j1"), is_unique=False))
        with_client.jobs.add(replace(a_job("j2"), is_unique=False))
        with pytest.raises(DomainError) as taken:
            with_client.jobs.add(replace(a_job("j2"), is_unique=False))
        assert taken.value.code is DomainErrorCode.ENHANCEMENT_EXISTS
        assert the_client(with_client).queued == 2


class TestLists:
    def test_assets_newest_first_in_pages_without_the_deleted(self, stores_: Stores) -> None:
        for number in range(4):
            stores_.assets.add(an_asset(f"a{number}", created_at=NOW + timedelta(seconds=number)))
        stores_.assets.add(an_asset("x", client_id="c2"))
        gone = stores_.assets.get("c1", "a2")
        assert gone is not None
        stores_.assets.save(gone.deleted(NOW, erase_again_at=NOW))
        first = stores_.assets.newest("c1", limit=2)
        assert [asset.id for asset in first] == ["a3", "a1"]
        rest = stores_.assets.newest("c1", limit=2, before=order_of(first[-1].created_at, first[-1].id))
        assert [asset.id for asset in rest] == ["a0"]

    def test_jobs_of_a_status_before_a_place(self, with_client: Stores) -> None:  # noqa: F811
        jobs = [a_job(f"j{number}", strength=number, after_s=number) for number in (1, 2, 3)]
        for job in jobs:
            with_client.jobs.add(job)
        place = order_of(jobs[2].requested_at, jobs[2].id)
        found = with_client.jobs.newest("c1", JobStatus.QUEUED, limit=5, before=place)
        assert [job.id for job in found] == ["j2", "j1"]

    def test_many_by_id_are_the_clients_own(self, with_client: Stores) -> None:  # noqa: F811
        with_client.jobs.add(a_job("j1", strength=1))
        with_client.jobs.add(a_job("j2", strength=2))
        assert set(with_client.jobs.many("c1", ["j1", "j2", "j1", "none"])) == {"j1", "j2"}
        assert with_client.jobs.many("c2", ["j1"]) == {}
        assert with_client.jobs.many("c1", []) == {}

    def test_assets_are_found_when_their_time_is_over(self, stores_: Stores) -> None:
        stores_.assets.add(an_asset("a1", status=AssetStatus.READY, retain_until=NOW + timedelta(hours=1)))
        stores_.assets.add(an_asset("a2"))
        assert list(stores_.assets.retained_until(NOW)) == []
        due = list(stores_.assets.retained_until(NOW + timedelta(hours=2)))
        assert [asset.id for asset in due] == ["a1"]
        stores_.assets.save(due[0].deleted(NOW, erase_again_at=NOW))
        assert list(stores_.assets.retained_until(NOW + timedelta(hours=2))) == []


class TestUsage:
    def test_ends_are_counted_on_their_day(self, with_client: Stores, usage: UsageStore) -> None:  # noqa: F811
        ends = []
        for number, day in ((1, 0), (2, 0), (3, 1)):
            job = replace(a_job(f"j{number}", strength=number), audio_s=1.5)
            with_client.jobs.add(job)
            ends.append((job, NOW + timedelta(days=day)))
        done = with_client.jobs.save(admitted(with_client, ends[0][0]).dispatched(NOW))
        with_client.jobs.release(done.succeeded(key="k", version_id=None, size_bytes=1, now=NOW))
        for job, moment in ends[1:]:
            with_client.jobs.withdraw(job.cancelled(moment), was=JobStatus.QUEUED)
        today, tomorrow = NOW.date(), (NOW + timedelta(days=1)).date()
        assert list(usage.days("c1", today, tomorrow)) == [
            UsageDay(today, succeeded=1, cancelled=1, audio_s=1.5),
            UsageDay(tomorrow, cancelled=1),
        ]
        assert list(usage.days("c1", tomorrow, tomorrow)) == [UsageDay(tomorrow, cancelled=1)]
        assert list(usage.days("c2", today, tomorrow)) == []

    def test_an_attempt_that_is_queued_again_is_no_end(self, with_client: Stores, usage: UsageStore) -> None:  # noqa: F811
        with_client.jobs.add(a_job())
        job = with_client.jobs.save(admitted(with_client, a_job()).dispatched(NOW))
        with_client.jobs.release(job.requeued(NOW))
        assert list(usage.days("c1", NOW.date(), NOW.date())) == []


class TestBatches:
    def test_what_is_stored_comes_back_to_its_client(self, batches: BatchStore) -> None:
        items = (BatchItem(job_id="j1"), BatchItem(None, "not_found", "there is no such asset"))
        batch = Batch("b1", "c1", NOW, items, reference="Staffel 2", request_sha256="0" * 64)
        batches.add(batch)
        assert batches.get("c1", "b1") == batch
        assert batches.get("c2", "b1") is None
        with pytest.raises(VersionConflictError):
            batches.add(batch)


class TestRates:
    def test_calls_add_up_by_bucket_class_and_client(self, rates: RateCounter) -> None:
        rates.count("c1", RateClass.NATIVE, NOW)
        later = NOW + timedelta(seconds=BUCKET_S)
        counts = rates.count("c1", RateClass.NATIVE, later)
        assert sorted(count for count in counts.values() if count) == [1, 1]
        rates.discount("c1", RateClass.NATIVE, later)
        assert sum(rates.count("c1", RateClass.NATIVE, later).values()) == 2
        assert sum(rates.count("c1", RateClass.ADOBE, later).values()) == 1
        assert sum(rates.count("c2", RateClass.NATIVE, later).values()) == 1

    def test_a_minute_across_the_border_of_two_rows_is_one_minute(self, rates: RateCounter) -> None:
        """Wherever the minute lies: every step of ten minutes is looked at."""
        for step in range(0, 600, BUCKET_S):
            before = NOW + timedelta(days=1, seconds=step * BUCKETS * 2)
            rates.count("c1", RateClass.NATIVE, before)
            after = before + timedelta(seconds=59)
            counts = rates.count("c1", RateClass.NATIVE, after)
            assert judge(counts, limit=2, now=after).remaining == 0

    def test_of_two_calls_one_sees_the_other_also_where_the_earlier_is_counted_last(self, rates: RateCounter) -> None:
        """By clocks that differ, or on the way: at every border of two buckets of ten minutes, two rows' included."""
        border = NOW.replace(microsecond=0) - timedelta(seconds=NOW.timestamp() % BUCKET_S // 1)
        for step in range(0, 600, BUCKET_S):
            later = border + timedelta(days=1, seconds=step * BUCKETS * 2)
            earlier = later - timedelta(milliseconds=2)
            rates.count("c1", RateClass.NATIVE, later)
            assert not judge(rates.count("c1", RateClass.NATIVE, earlier), limit=1, now=earlier).is_allowed

    def test_never_more_than_the_limit(self, rates: RateCounter) -> None:
        states = [judge(rates.count("c1", RateClass.NATIVE, NOW), limit=10, now=NOW) for _ in range(40)]
        assert [state.is_allowed for state in states].count(True) == 10
        assert [state.remaining for state in states[:11]] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
