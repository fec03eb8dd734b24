"""What every implementation of a port must do, whatever is behind it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.stub import Stubber

from gpu_container.contract import AudioFacts, ObjectRef, ProgressKey, WorkOrder
from lambdas.adapters.aws import lanes, s3
from lambdas.adapters.memory.world import ManualClock
from lambdas.core.access import Tag
from lambdas.core.assets import Asset, AssetStatus, object_key_of
from lambdas.core.clients import Client
from lambdas.core.errors import DomainError, DomainErrorCode, TransientError, VersionConflictError
from lambdas.core.jobs import Job, JobStatus, Tombstone
from lambdas.core.ports import Attempt, JobOutcome, SlotsTaken, TokenSigner, TokenVerifier
from lambdas.core.routing import Lane
from lambdas.core.uploads import MIB, ArrivedPart, MultipartUpload
from tests.ports.conftest import (
    BEGUN_AT,
    TABLE,
    Backend,
    Intakes,
    Issuer,
    Messages,
    Objects,
    Queue,
    Stores,
    Uploads,
    state_machine,
)

NOW = ManualClock().now()
SECOND = timedelta(seconds=1)
WAITING = JobStatus.WAITING_FOR_UPLOAD
FACTS = AudioFacts(container="wav", codec="pcm_s16le", rate_hz=8000, channels=2, frames=7, duration_s=7 / 8000)


def an_asset(asset_id: str = "a1", client_id: str = "c1", **changes: Any) -> Asset:
    asset = Asset(
        id=asset_id,
        client_id=client_id,
        filename="Grüße 日本.wav",
        size_bytes=5 * 1024**3,
        content_type="audio/wav",
        checksum_md5=None,
        object_key=object_key_of(client_id, asset_id),
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(asset, **changes)


def a_job(job_id: str = "j1", client_id: str = "c1", *, strength: float = 93, after_s: float = 0) -> Job:
    moment = NOW + timedelta(seconds=after_s)
    return Job(
        id=job_id,
        client_id=client_id,
        asset_id="a1",
        strength=strength,
        model="dfn3",
        requested_at=moment,
        updated_at=moment,
    )


@pytest.fixture
def with_client(stores_: Stores) -> Stores:
    client = Client(id="c1", name="acme", created_at=NOW, max_active=2, max_queued=3)
    stores_.clients.add(client.with_secret("s", now=NOW))
    stores_.assets.add(an_asset(status=AssetStatus.READY))
    return stores_


def ids(jobs: Iterable[Job]) -> set[str]:
    return {job.id for job in jobs}


def admitted(stores: Stores, job: Job, *, total: int = 10) -> Job:
    found = stores.jobs.admit(job.admitted(NOW), max_active_total=total)
    assert isinstance(found, Job)
    return found


def the_client(stores: Stores, client_id: str = "c1") -> Client:
    client = stores.clients.get(client_id)
    assert client is not None
    return client


class TestAssets:
    def test_what_is_stored_comes_back(self, stores_: Stores) -> None:
        asset = an_asset(
            waiting_job_id="j9",
            checksum_md5="AWzJTRSXGy5JsL+Phh/cFA==",
            retain_until=NOW,
            request_sha256="0" * 64,
            is_fetched=True,
        )
        stores_.assets.add(asset)
        assert stores_.assets.get("c1", "a1") == asset

    def test_what_was_begun_in_parts_comes_back(self, stores_: Stores) -> None:
        upload = MultipartUpload(object_key_of("c1", "a1"), "upload-id", 16 * MIB)
        asset = an_asset(checksum_sha256="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", multipart=upload)
        stores_.assets.add(asset)
        assert stores_.assets.get("c1", "a1") == asset

    def test_a_settled_asset_keeps_its_facts(self, stores_: Stores) -> None:
        stores_.assets.add(an_asset())
        saved = stores_.assets.save(an_asset().ready(facts=FACTS, version_id="v7", now=NOW))
        read = stores_.assets.get("c1", "a1")
        assert read == saved
        assert read is not None
        assert (read.status, read.facts, read.version_id) == (AssetStatus.READY, FACTS, "v7")

    def test_another_clients_asset_is_not_there(self, stores_: Stores) -> None:
        stores_.assets.add(an_asset())
        assert stores_.assets.get("c2", "a1") is None

    def test_an_id_is_taken_once(self, stores_: Stores) -> None:
        stores_.assets.add(an_asset())
        with pytest.raises(VersionConflictError):
            stores_.assets.add(an_asset())

    def test_the_second_writer_of_the_same_version_is_refused(self, stores_: Stores) -> None:
        stores_.assets.add(an_asset())
        stores_.assets.save(an_asset(filename="first"))
        with pytest.raises(VersionConflictError):
            stores_.assets.save(an_asset(filename="second"))

    def test_assets_that_wait_for_their_bytes_are_found_by_their_age(self, stores_: Stores) -> None:
        for number in range(4):
            stores_.assets.add(an_asset(f"a{number}", created_at=NOW + timedelta(seconds=number)))
        stores_.assets.save(an_asset("a1", created_at=NOW + timedelta(seconds=1)).deleted(NOW, erase_again_at=NOW))
        found = stores_.assets.waiting(since=NOW, before=NOW + timedelta(seconds=3))
        assert {asset.id for asset in found} == {"a0", "a2"}

    def test_a_deleted_asset_is_remembered_until_it_is_erased(self, stores_: Stores) -> None:
        stores_.assets.add(an_asset())
        stores_.assets.add(an_asset("a2"))
        later, latest = NOW + timedelta(minutes=40), NOW + timedelta(minutes=80)
        deleted = stores_.assets.save(an_asset().deleted(NOW, erase_again_at=later))
        assert stores_.assets.erasing_due(later) == []
        assert list(stores_.assets.erasing_due(later + SECOND)) == [deleted]
        deleted = stores_.assets.save(replace(deleted, erase_again_at=latest))
        assert stores_.assets.erasing_due(latest) == []
        assert list(stores_.assets.erasing_due(latest + SECOND)) == [deleted]
        with pytest.raises(VersionConflictError):
            stores_.assets.remove(an_asset())
        stores_.assets.remove(deleted)
        assert stores_.assets.get("c1", "a1") is None
        assert stores_.assets.erasing_due(latest + SECOND) == []


class TestLaneLog:
    def test_the_last_sign_of_life_of_each_lane_is_kept(self, stores_: Stores) -> None:
        assert stores_.lane_log.last_beats() == {}
        for seconds in (5, 9, 7):
            stores_.lane_log.beat(Lane.GPU, NOW + seconds * SECOND)
        stores_.lane_log.beat(Lane.CPU, NOW)
        assert stores_.lane_log.last_beats() == {Lane.GPU: NOW + 9 * SECOND, Lane.CPU: NOW}


class TestClients:
    def test_what_is_stored_comes_back(self, with_client: Stores) -> None:
        client = with_client.clients.get("c1")
        assert client is not None
        assert client.accepts("s")
        assert not client.accepts("t")
        assert with_client.clients.get("c2") is None

    def test_listed_by_creation(self, with_client: Stores) -> None:
        with_client.clients.add(Client(id="c0", name="earlier", created_at=NOW - timedelta(days=1)))
        assert [client.id for client in with_client.clients.all()] == ["c0", "c1"]

    def test_saving_a_client_leaves_alone_what_changes_with_its_jobs(self, with_client: Stores) -> None:
        client = the_client(with_client)
        with_client.jobs.add(a_job())
        with_client.jobs.add(a_job("j2", strength=2, after_s=1))
        admitted(with_client, a_job())
        with_client.clients.save(replace(client, disabled=True, max_queued=7))
        read = the_client(with_client)
        assert (read.disabled, read.max_queued) == (True, 7)
        assert (set(read.leases), read.queued, read.last_admitted_at) == ({"j1"}, 1, NOW)


class TestJobs:
    def test_what_is_stored_comes_back(self, with_client: Stores) -> None:
        job = replace(a_job(strength=12.5), admitted_at=NOW, started_at=NOW + SECOND, started_percent=12.5)
        with_client.jobs.add(job)
        assert with_client.jobs.get("c1", "j1") == job
        assert with_client.jobs.get("c2", "j1") is None

    def test_the_same_enhancement_twice_is_refused(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        with pytest.raises(DomainError) as refusal:
            with_client.jobs.add(a_job("j2"))
        assert refusal.value.code is DomainErrorCode.ENHANCEMENT_EXISTS
        with_client.jobs.add(a_job("j3", strength=94))

    def test_a_full_queue_takes_no_more(self, with_client: Stores) -> None:
        for number in (1, 2, 3):
            with_client.jobs.add(a_job(f"j{number}", strength=number, after_s=number))
        with pytest.raises(DomainError) as refusal:
            with_client.jobs.add(a_job("j4", strength=4))
        assert (refusal.value.code, refusal.value.retryable) == (DomainErrorCode.QUEUE_FULL, True)
        assert with_client.jobs.get("c1", "j4") is None
        admitted(with_client, a_job("j1", strength=1, after_s=1))
        with_client.jobs.add(a_job("j4", strength=4))

    @pytest.mark.parametrize("status", [AssetStatus.WAITING_FOR_UPLOAD, AssetStatus.INVALID, AssetStatus.DELETED])
    def test_only_a_ready_asset_takes_jobs(self, with_client: Stores, status: AssetStatus) -> None:
        with_client.assets.add(an_asset("a2", status=status))
        for asset_id in ("a2", "a3"):
            with pytest.raises(DomainError) as refusal:
                with_client.jobs.add(replace(a_job(), asset_id=asset_id))
            assert refusal.value.code is DomainErrorCode.NOT_FOUND
        assert the_client(with_client).queued == 0

    @pytest.mark.parametrize("end", ["failed", "cancelled", "withdrawn"])
    def test_after_an_end_without_a_result_it_may_be_asked_for_again(self, with_client: Stores, end: str) -> None:
        with_client.jobs.add(a_job())
        if end == "withdrawn":
            with_client.jobs.withdraw(a_job().cancelled(NOW), was=JobStatus.QUEUED)
        elif end == "cancelled":
            with_client.jobs.release(admitted(with_client, a_job()).cancelled(NOW))
        else:
            job = admitted(with_client, a_job())
            with_client.jobs.release(job.failed(error_code="internal", error_message="", now=NOW))
        with_client.jobs.add(a_job("j2"))

    def test_oldest_first_whatever_the_order_of_writing(self, with_client: Stores) -> None:
        jobs = {n: a_job(f"j{n}", strength=n, after_s=n) for n in (2, 1, 3)}
        for job in jobs.values():
            with_client.jobs.add(job)
        oldest = with_client.jobs.oldest_queued("c1")
        assert oldest is not None
        assert oldest.id == "j1"
        assert with_client.jobs.oldest_queued("c2") is None
        assert [with_client.jobs.queue_position(jobs[n]) for n in (1, 2, 3)] == [1, 2, 3]
        assert with_client.jobs.queue("c1") == [jobs[n].id for n in (1, 2, 3)]
        assert with_client.jobs.queue("c2") == []
        admitted(with_client, jobs[1])
        assert [with_client.jobs.queue_position(jobs[n]) for n in (1, 2, 3)] == [None, 1, 2]

    def test_slots_run_out_and_come_back(self, with_client: Stores) -> None:
        jobs = [a_job(f"j{n}", strength=n, after_s=n) for n in (1, 2, 3)]
        for job in jobs:
            with_client.jobs.add(job)
        first = admitted(with_client, jobs[0])
        admitted(with_client, jobs[1])
        assert with_client.jobs.admit(jobs[2].admitted(NOW), max_active_total=10) is SlotsTaken.BY_CLIENT
        unchanged = with_client.jobs.get("c1", "j3")
        assert unchanged is not None
        assert unchanged.status is JobStatus.QUEUED
        with_client.jobs.release(first.failed(error_code="x", error_message="", now=NOW))
        admitted(with_client, jobs[2])

    def test_all_clients_together_have_a_limit_too(self, with_client: Stores) -> None:
        with_client.clients.add(Client(id="c2", name="other", created_at=NOW))
        with_client.assets.add(an_asset(client_id="c2", status=AssetStatus.READY))
        for client_id in ("c1", "c2"):
            with_client.jobs.add(a_job(client_id=client_id))
        first = admitted(with_client, a_job(), total=1)
        other = a_job(client_id="c2")
        assert with_client.jobs.admit(other.admitted(NOW), max_active_total=1) is SlotsTaken.BY_ALL
        assert the_client(with_client, "c2").queued == 1
        with_client.jobs.release(first.requeued(NOW))
        admitted(with_client, other, total=1)

    def test_an_admitted_job_has_left_the_queue_and_a_requeued_one_is_back(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        job = admitted(with_client, a_job())
        assert with_client.jobs.oldest_queued("c1") is None
        assert the_client(with_client).queued == 0
        assert [job.id for job in with_client.jobs.active()] == ["j1"]
        with_client.jobs.release(job.requeued(NOW))
        oldest = with_client.jobs.oldest_queued("c1")
        assert oldest is not None
        assert (oldest.attempt, oldest.status) == (2, JobStatus.QUEUED)
        assert the_client(with_client).queued == 1
        assert list(with_client.jobs.active()) == []

    def test_a_withdrawn_job_waits_no_more(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        with_client.jobs.withdraw(a_job().cancelled(NOW), was=JobStatus.QUEUED)
        assert with_client.jobs.oldest_queued("c1") is None
        assert with_client.jobs.queue_position(a_job()) is None
        assert the_client(with_client).queued == 0
        with pytest.raises(VersionConflictError):
            with_client.jobs.withdraw(a_job().cancelled(NOW), was=JobStatus.QUEUED)
        with pytest.raises(VersionConflictError):
            with_client.jobs.admit(a_job().admitted(NOW), max_active_total=10)
        assert (the_client(with_client).queued, the_client(with_client).leases) == (0, {})

    def test_admitting_what_has_changed_is_a_conflict(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        admitted(with_client, a_job())
        with pytest.raises(VersionConflictError):
            with_client.jobs.admit(a_job().admitted(NOW), max_active_total=10)

    def test_releasing_twice_is_a_conflict_and_frees_one_slot(self, with_client: Stores) -> None:
        for number in (1, 2):
            with_client.jobs.add(a_job(f"j{number}", strength=number))
        first, _ = (admitted(with_client, a_job(f"j{number}", strength=number), total=2) for number in (1, 2))
        with_client.jobs.release(first.failed(error_code="x", error_message="", now=NOW))
        for again in (first.failed(error_code="y", error_message="", now=NOW), first.cancelled(NOW)):
            with pytest.raises(VersionConflictError):
                with_client.jobs.release(again)
        assert set(the_client(with_client).leases) == {"j2"}
        with_client.jobs.add(a_job("j3", strength=3))
        admitted(with_client, a_job("j3", strength=3), total=2)
        with_client.jobs.add(a_job("j4", strength=4))
        assert isinstance(with_client.jobs.admit(a_job("j4", strength=4).admitted(NOW), max_active_total=2), SlotsTaken)

    def test_a_lease_that_nobody_holds_can_be_taken_away_once(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        admitted(with_client, a_job(), total=1)
        for _ in range(2):
            with_client.jobs.drop_lease("c1", "j1")
        assert not the_client(with_client).leases
        for number in (2, 3):
            with_client.jobs.add(a_job(f"j{number}", strength=number))
        admitted(with_client, a_job("j2", strength=2), total=1)
        third = a_job("j3", strength=3).admitted(NOW)
        assert with_client.jobs.admit(third, max_active_total=1) is SlotsTaken.BY_ALL

    def test_a_finished_job_tells_where_its_result_is(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        dispatched = with_client.jobs.save(admitted(with_client, a_job()).dispatched(NOW))
        done = with_client.jobs.release(dispatched.succeeded(key="out/x", version_id="v1", size_bytes=9, now=NOW))
        assert with_client.jobs.get("c1", "j1") == done
        assert (done.output_key, done.output_version_id, done.output_size_bytes) == ("out/x", "v1", 9)

    def test_an_end_is_open_until_it_was_told(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        ended = with_client.jobs.withdraw(a_job().cancelled(NOW), was=JobStatus.QUEUED)
        later = NOW + timedelta(seconds=1)
        assert with_client.jobs.unnoticed(NOW) == []
        assert list(with_client.jobs.unnoticed(later)) == [ended]
        told = with_client.jobs.save(ended.noticed(later))
        assert with_client.jobs.get("c1", "j1") == told
        assert told.notified_at == later
        assert with_client.jobs.unnoticed(later) == []

    def test_jobs_that_wait_are_found_by_their_age_until_they_are_queued(self, with_client: Stores) -> None:
        jobs = with_client.jobs
        for number in range(6):
            jobs.add(replace(a_job(f"j{number}", strength=number + 1, after_s=number), status=WAITING))
        assert ids(jobs.expecting(before=NOW + 2 * SECOND)) == {"j0", "j1"}
        assert ids(jobs.expecting(since=NOW + SECOND, before=NOW + 4 * SECOND)) == {"j1", "j2", "j3"}
        assert list(jobs.held()) == []
        for number in (5, 2, 4, 3):
            found = jobs.get("c1", f"j{number}")
            assert found is not None
            assert jobs.save(found.held(NOW)).is_held
        assert [job.id for job in jobs.held()] == ["j2", "j3", "j4", "j5"]
        assert ids(jobs.expecting(before=NOW + 9 * SECOND)) == {"j0", "j1"}
        oldest, ended = next(iter(jobs.held())), jobs.get("c1", "j5")
        assert ended is not None
        assert not jobs.enqueue(oldest.queued(NOW, audio_s=1)).is_held
        jobs.withdraw(ended.cancelled(NOW), was=WAITING)
        assert [job.id for job in jobs.held()] == ["j3", "j4"]

    def test_jobs_are_found_by_asset_and_by_status(self, with_client: Stores) -> None:
        with_client.assets.add(an_asset("a2", status=AssetStatus.READY))
        jobs = [a_job("j2", strength=2, after_s=2), a_job("j1", strength=1, after_s=1)]
        other = replace(a_job("j3", after_s=3), asset_id="a2")
        for job in (*jobs, other):
            with_client.jobs.add(job)
        assert [job.id for job in with_client.jobs.of_asset("c1", "a1")] == ["j1", "j2"]
        assert with_client.jobs.of_asset("c2", "a1") == []
        with_client.jobs.withdraw(jobs[0].cancelled(NOW), was=JobStatus.QUEUED)
        newest = with_client.jobs.newest("c1", JobStatus.QUEUED, limit=10)
        assert [job.id for job in newest] == ["j3", "j1"]
        assert [job.id for job in with_client.jobs.newest("c1", JobStatus.QUEUED, limit=1)] == ["j3"]
        assert [job.id for job in with_client.jobs.newest("c1", JobStatus.CANCELLED, limit=10)] == ["j2"]

    def test_lanes_are_kept(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        job = with_client.jobs.save(admitted(with_client, a_job()).dispatched(NOW, Lane.GPU))
        assert with_client.jobs.get("c1", "j1").lane is Lane.GPU  # type: ignore[union-attr]
        with_client.jobs.release(job.requeued(NOW, elsewhere=True))
        stored = with_client.jobs.get("c1", "j1")
        assert stored is not None
        assert (stored.lane, stored.avoided_lanes) == (None, (Lane.GPU,))

    def test_a_removed_job_takes_its_uniqueness_with_it_and_nobody_elses(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        cancelled = with_client.jobs.withdraw(a_job().cancelled(NOW), was=JobStatus.QUEUED)
        with_client.jobs.add(a_job("j2"))
        with pytest.raises(VersionConflictError):
            with_client.jobs.remove(a_job())
        with_client.jobs.remove(cancelled)
        assert with_client.jobs.get("c1", "j1") is None
        with pytest.raises(DomainError):
            with_client.jobs.add(a_job("j3"))
        job = with_client.jobs.save(admitted(with_client, a_job("j2")).dispatched(NOW))
        done = with_client.jobs.release(job.succeeded(key="out/x", version_id=None, size_bytes=9, now=NOW))
        with_client.jobs.remove(done)
        with_client.jobs.add(a_job("j3"))

    @pytest.mark.parametrize("sha256", [None, "5" * 64])
    def test_a_buried_job_is_gone_and_its_name_is_taken_if_it_can_be_asked_for(
        self, with_client: Stores, sha256: str | None
    ) -> None:
        job = replace(a_job(), request_sha256=sha256)
        with_client.jobs.add(job)
        cancelled = with_client.jobs.withdraw(job.cancelled(NOW), was=JobStatus.QUEUED)
        left = Tombstone.of(cancelled, NOW, erase_again_at=NOW + SECOND)
        with pytest.raises(VersionConflictError):
            with_client.jobs.bury(job, left)
        assert with_client.tombstones.get("c1", "j1") is None
        with_client.jobs.bury(cancelled, left)
        for late in (lambda: with_client.jobs.save(cancelled), lambda: with_client.jobs.bury(cancelled, left)):
            with pytest.raises(VersionConflictError):
                late()
        assert with_client.jobs.get("c1", "j1") is None
        assert with_client.jobs.many("c1", ["j1"]) == {}
        assert with_client.jobs.of_asset("c1", "a1") == []
        assert with_client.jobs.newest("c1", JobStatus.CANCELLED, limit=9) == []
        assert with_client.jobs.unnoticed(NOW + 99 * SECOND) == []
        if sha256 is None:
            with_client.jobs.add(job)
            return
        with pytest.raises(DomainError) as refusal:
            with_client.jobs.add(job)
        assert refusal.value.code is DomainErrorCode.ENHANCEMENT_EXISTS
        assert the_client(with_client).queued == 0

    def test_what_is_left_of_a_job_is_found_when_it_is_due_and_never_comes_back(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        cancelled = with_client.jobs.withdraw(a_job().cancelled(NOW), was=JobStatus.QUEUED)
        left = Tombstone.of(cancelled, NOW, erase_again_at=NOW + SECOND)
        with_client.jobs.bury(cancelled, left)
        graves = with_client.tombstones
        assert graves.get("c1", "j1") == left
        assert graves.get("c2", "j1") is None
        assert (graves.due(NOW), graves.due(NOW + 2 * SECOND)) == ([], [left])
        graves.save(replace(left, erase_again_at=None))
        assert graves.due(NOW + 2 * SECOND) == []
        for _ in range(2):
            graves.remove(left)
        graves.save(left)
        assert graves.get("c1", "j1") is None


@pytest.mark.parametrize("port_kind", ["aws"], indirect=True)
def test_rows_expire_a_little_after_what_they_speak_of_and_no_living_job_does(with_client: Stores) -> None:
    now_s, day_s = int(NOW.timestamp()), 86_400
    assert expires_at_s("A#a1") == now_s + 32 * day_s
    never_finished = MultipartUpload(object_key_of("c1", "a2"), "upload-id", 16 * MIB)
    with_client.assets.add(an_asset("a2", multipart=never_finished))
    assert expires_at_s("A#a2") == now_s + 32 * day_s
    with_client.jobs.add(a_job(after_s=day_s))
    assert expires_at_s("A#a1") == now_s + 33 * day_s
    assert expires_at_s("J#j1") is None
    job = with_client.jobs.save(admitted(with_client, a_job(after_s=day_s)).dispatched(NOW))
    assert expires_at_s("J#j1") is None
    with_client.jobs.release(job.succeeded(key="k", version_id=None, size_bytes=1, now=NOW))
    assert expires_at_s("J#j1") == expires_at_s("U#a1#dfn3#93") == now_s + 32 * day_s
    with_client.jobs.add(replace(a_job("j2", strength=5), status=WAITING))
    assert expires_at_s("J#j2") is None, "else it could go without an end"


def expires_at_s(sort_key: str) -> int | None:
    item = boto3.resource("dynamodb").Table(TABLE).get_item(Key={"pk": "C#c1", "sk": sort_key})["Item"]
    return int(item["ttl"]) if "ttl" in item else None


class TestAttempts:
    def test_put_get_replace(self, stores_: Stores) -> None:
        attempt = Attempt("j1-1", "c1", "j1", 1, "t" * 2048)
        stores_.attempts.put(attempt)
        assert stores_.attempts.get("j1-1") == attempt
        stores_.attempts.put(replace(attempt, failure_location="s3://w/f"))
        read = stores_.attempts.get("j1-1")
        assert read is not None
        assert read.failure_location == "s3://w/f"
        assert stores_.attempts.get("j1-2") is None


class TestTokens:
    def test_a_token_is_believed_until_it_expires(self, token_pair: tuple[TokenSigner, TokenVerifier]) -> None:
        signer, verifier = token_pair
        expires_at = int(NOW.timestamp()) + 60
        token = signer.sign({"client_id": "c1", "iat": int(NOW.timestamp()), "exp": expires_at})
        claims = verifier.verify(token, now=NOW)
        assert claims is not None
        assert claims["client_id"] == "c1"
        assert verifier.verify(token, now=NOW + timedelta(seconds=61)) is None

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "e30.e30."])
    def test_anything_else_is_not(self, token_pair: tuple[TokenSigner, TokenVerifier], token: str) -> None:
        assert token_pair[1].verify(token, now=NOW) is None


class TestIssuer:
    def test_keys_are_lent_by_name_for_less_than_a_roles_role_may_live(self, issuer: Issuer) -> None:
        tags = {Tag.UPLOAD: "c1/a1", Tag.JOB: "j1-1"}
        granted = issuer.port.issue("j1-1", tags)
        assert issuer.asked() == [("j1-1", {"upload": "c1/a1", "job": "j1-1"})]
        # boto3 renews from a quarter of an hour before the end, and a role taken on by a role lives for an hour.
        assert timedelta(minutes=20) < granted.expires_at - issuer.now() < timedelta(hours=1)
        assert all((granted.access_key_id, granted.secret_access_key, granted.session_token))


class TestQueue:
    def test_every_tick_arrives_also_equal_ones(self, queue: Queue) -> None:
        queue.port.tick("c1")
        queue.port.tick("c1")
        queue.port.tick("c2")
        assert sorted(queue.ticks()) == ["c1", "c1", "c2"]


class TestMessages:
    def test_each_says_what_it_is_about(self, messages: Messages) -> None:
        messages.outcomes.tell(JobOutcome("c1", "j1", "a1", "cancelled", NOW))
        messages.stops.ask(replace(a_job("j2"), attempt=3))
        messages.erasing.ask("c1", "a9")
        messages.erasing.ask_for_job("c1", "j9")
        expected = [
            {"job_id": "j1", "status": "cancelled"},
            {"job_id": "j2", "attempt": 3},
            {"client_id": "c1", "asset_id": "a9"},
            {"client_id": "c1", "job_id": "j9"},
        ]
        found = messages.sent()
        for document in expected:
            assert any(document.items() <= sent.items() for sent in found), document


class TestObjects:
    def test_erasing_leaves_no_version_and_nothing_else_is_touched(self, objects: Objects) -> None:
        for body in (b"first", b"second"):
            objects.put("out/c1/a1/j1-1", body)
        objects.put("out/c1/a1/j1-1.report.json", b"{}")
        objects.hide("out/c1/a1/j1-1")
        objects.put("out/c1/a2/j2-1", b"other")
        assert objects.eraser.erase("out/c1/a1/") >= 3
        assert objects.port.head("out/c1/a1/j1-1", "v1") is None
        assert objects.port.head("out/c1/a1/j1-1.report.json") is None
        assert objects.eraser.erase("out/c1/a1/") == 0
        assert objects.port.head("out/c1/a2/j2-1") is not None

    def test_a_version_can_be_made_the_only_one(self, objects: Objects) -> None:
        objects.put("in/c1/a1", b"first")
        pinned = objects.port.head("in/c1/a1").version_id
        for body in (b"second one", b"third"):
            objects.put("in/c1/a1", body)
        objects.put("in/c1/a1b", b"another asset")
        assert objects.eraser.erase_others("in/c1/a1", version_id="no-such-version") == 0
        assert objects.eraser.erase_others("in/c1/a1", version_id=pinned) == 2
        current = objects.port.head("in/c1/a1")
        assert (current.version_id, current.size_bytes) == (pinned, len(b"first"))
        assert objects.eraser.erase_others("in/c1/a1", version_id=pinned) == 0
        assert objects.port.head("in/c1/a1b") is not None

    def test_head_tells_size_and_version(self, objects: Objects) -> None:
        objects.put("in/c1/a1", b"first")
        first = objects.port.head("in/c1/a1")
        objects.put("in/c1/a1", b"second one")
        assert first.size_bytes == 5
        assert objects.port.head("in/c1/a1").size_bytes == 10
        assert objects.port.head("in/c1/a1", first.version_id).size_bytes == 5

    def test_what_is_being_written_is_seen_until_it_is_too_long_ago(self, objects: Objects) -> None:
        before = BEGUN_AT - SECOND
        assert not objects.port.is_arriving("in/c1/a1", since=before)
        objects.begin("in/c1/a1")
        assert objects.port.is_arriving("in/c1/a1", since=before)
        assert not objects.port.is_arriving("in/c1/a1", since=BEGUN_AT)
        assert not objects.port.is_arriving("in/c1/a", since=before)

    def test_what_is_not_there_is_none(self, objects: Objects) -> None:
        assert objects.port.head("in/c1/a2") is None


class TestUploadsInParts:
    def begun(self, uploads: Uploads, key: str = "in/c1/a1") -> MultipartUpload:
        return MultipartUpload(key, uploads.port.start(key, "audio/wav"), 5 * MIB)

    def test_parts_arrive_in_any_order_and_become_an_object_once(self, uploads: Uploads) -> None:
        upload = self.begun(uploads)
        assert uploads.port.arrived(upload) == []
        uploads.send(upload, 2, b"end")
        uploads.send(upload, 1, bytes(5 * MIB))
        arrived = uploads.port.arrived(upload)
        assert arrived is not None
        assert [(part.number, part.size_bytes) for part in arrived] == [(1, 5 * MIB), (2, 3)]
        assert not uploads.port.is_complete(upload)
        assert uploads.port.complete(upload, arrived)
        assert uploads.port.is_complete(upload)
        assert uploads.port.arrived(upload) is None

    def test_a_part_sent_again_replaces_the_one_before(self, uploads: Uploads) -> None:
        upload = self.begun(uploads)
        for body in (b"first", b"second"):
            uploads.send(upload, 1, body)
        (part,) = uploads.port.arrived(upload) or ()
        assert part.size_bytes == len(b"second")

    def test_uploads_do_not_know_one_another(self, uploads: Uploads) -> None:
        one, other = self.begun(uploads), self.begun(uploads, "in/c1/a1x")
        uploads.send(other, 1, b"x")
        assert uploads.port.complete(other, uploads.port.arrived(other) or ())
        assert not uploads.port.is_complete(one)
        assert uploads.port.arrived(one) == []

    def test_what_was_never_started_is_not_there(self, uploads: Uploads) -> None:
        unknown = MultipartUpload("in/c1/a1", "upload-of-nobody", 5 * MIB)
        uploads.know_nothing()
        assert uploads.port.arrived(unknown) is None
        assert not uploads.port.complete(unknown, [ArrivedPart(1, 1, '"e"')])

    def test_an_aborted_upload_is_gone(self, uploads: Uploads) -> None:
        upload = self.begun(uploads)
        uploads.send(upload, 1, b"x")
        for _ in range(2):
            uploads.eraser.abort(upload)
        assert uploads.port.arrived(upload) is None
        assert not uploads.port.is_complete(upload)

    @pytest.mark.parametrize("port_kind", ["aws"], indirect=True)
    def test_links_sign_what_the_client_has_to_send_and_ask_for_no_checksum_header(self, uploads: Uploads) -> None:
        url = uploads.port.part_url(self.begun(uploads), 1, size_bytes=5 * MIB, md5="AWzJTRSXGy5JsL+Phh/cFA==")
        query = parse_qs(urlsplit(url).query)
        assert query["X-Amz-SignedHeaders"] == ["content-length;content-md5;host"]
        (begun,) = boto3.client("s3").list_multipart_uploads(Bucket="audio")["Uploads"]
        assert begun.get("ChecksumAlgorithm") is None


class TestWorkflow:
    def test_starting_twice_is_starting_once(self, workflow: Any) -> None:
        assert workflow.status(a_job()) is None
        workflow.start(a_job())
        workflow.start(a_job())
        assert workflow.status(a_job()) == "RUNNING"


class TestIntakes:
    def test_each_intake_is_started_once(self, intakes: Intakes) -> None:
        for again in (0, 0, 1):
            intakes.port.start(an_asset(), again)
        assert intakes.started() == [("in/c1/a1", 0), ("in/c1/a1", 1)]


ORDER = WorkOrder(
    job_id="j1",
    attempt=2,
    input=ObjectRef(bucket="audio", key="in/c1/a1", version_id="v1"),
    output=ObjectRef(bucket="audio", key="out/c1/a1/j1-2"),
    content_type="audio/wav",
    strength=93,
    model="dfn3",
    task_token="t" * 2048,
    progress=ProgressKey(table="cleartake", pk="C#c1", sk="J#j1"),
)


class TestBackends:
    def test_an_order_arrives_whole_under_its_inferences_name(self, backend: Backend) -> None:
        backend.port.dispatch(ORDER, inference_id="j1-2-0123abcd")
        assert backend.taken() == [("j1-2-0123abcd", ORDER)]

    def test_a_lane_without_room_says_so(self, backend: Backend) -> None:
        backend.refuse("ThrottlingException")
        with pytest.raises(TransientError):
            backend.port.dispatch(ORDER, inference_id="j1-2-0123abcd")


@pytest.mark.usefixtures("aws")
class TestFanOut:
    def test_the_same_inference_starts_one_execution(self) -> None:
        port = lanes.StateMachineBackend(boto3.client("stepfunctions"), state_machine("FanOut"))
        first = port.dispatch(ORDER, inference_id="j1-2-0123abcd")
        # As AWS answers once the execution has ended, or where the input differs.
        assert port.dispatch(ORDER.model_copy(update={"attempt": 3}), inference_id="j1-2-0123abcd") == first

    def test_an_execution_is_watched_while_it_runs_and_then_it_is_the_answer(self) -> None:
        client = boto3.client("stepfunctions")
        port = lanes.StateMachineBackend(client, state_machine("FanOut"))
        location = port.dispatch(ORDER, inference_id="j1-2-0123abcd").output_location
        answers = lanes.LaneAnswers(s3.S3Answers("work", boto3.client("s3")), client)
        assert location is not None
        assert (answers.read(location), answers.is_watched(location)) == (None, True)
        with Stubber(client) as stubber:
            for _ in range(2):
                stubber.add_response("describe_execution", _ended(location, "SUCCEEDED", output='{"outcome": "ok"}'))
            assert (answers.read(location), answers.is_watched(location)) == (b'{"outcome": "ok"}', False)
        with Stubber(client) as stubber:
            for _ in range(2):
                stubber.add_response("describe_execution", _ended(location, "FAILED"))
            assert (answers.read(location), answers.is_watched(location)) == (None, False)

    def test_an_execution_that_there_is_not_tells_nothing(self) -> None:
        client = boto3.client("stepfunctions")
        answers = lanes.LaneAnswers(s3.S3Answers("work", boto3.client("s3")), client)
        location = lanes.execution_arn(state_machine("FanOut"), "gone")
        assert (answers.read(location), answers.is_watched(location)) == (None, False)

    def test_an_object_is_read_and_nobody_watches_over_it(self) -> None:
        storage = boto3.client("s3")
        storage.create_bucket(Bucket="work")
        storage.put_object(Bucket="work", Key="async/out/x.out", Body=b"{}")
        answers = lanes.LaneAnswers(s3.S3Answers("work", storage), boto3.client("stepfunctions"))
        assert answers.read("s3://work/async/out/x.out") == b"{}"
        assert answers.read("s3://work/async/out/y.out") is None
        assert answers.is_watched("s3://work/async/out/x.out") is False


def _ended(arn: str, status: str, **more: str) -> dict[str, Any]:
    machine = arn.rsplit(":", 1)[0].replace(":execution:", ":stateMachine:")
    return {"executionArn": arn, "stateMachineArn": machine, "status": status, "startDate": NOW, **more}


class TestWarmth:
    @pytest.mark.parametrize(("variants", "warm"), [([0], False), ([0, 1], True)])
    @pytest.mark.usefixtures("aws")
    def test_an_endpoint_is_warm_with_an_instance(self, variants: list[int], warm: bool) -> None:
        client = boto3.client("sagemaker")
        now_s = [0.0]
        port = lanes.EndpointWarmth(client, "gpu", lambda: now_s[0])
        with Stubber(client) as stubber:
            stubber.add_response("describe_endpoint", _described(variants), {"EndpointName": "gpu"})
            assert port.is_warm() is warm
            assert port.is_warm() is warm  # remembered: nothing else is stubbed
            now_s[0] += lanes.WARMTH_KNOWN_FOR_S + 1
            stubber.add_client_error("describe_endpoint", "ThrottlingException")
            assert port.is_warm() is False


def _described(instances: list[int]) -> dict[str, Any]:
    return {
        "EndpointName": "gpu",
        "EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/gpu",
        "EndpointStatus": "InService",
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        "ProductionVariants": [{"VariantName": f"v{n}", "CurrentInstanceCount": n} for n in instances],
    }
