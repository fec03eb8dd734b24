"""What every implementation of a port must do, whatever is behind it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gpu_container.contract import AudioFacts
from lambdas.adapters.memory.world import ManualClock
from lambdas.core.assets import Asset, AssetStatus, AutoEnhance, object_key_of
from lambdas.core.clients import Client
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.ports import Attempt, TokenSigner, TokenVerifier
from tests.ports.conftest import Objects, Queue, Stores

NOW = ManualClock().now()
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
    stores_.clients.add(Client(id="c1", name="acme", created_at=NOW, max_active=2).with_secret("s", now=NOW))
    return stores_


class TestAssets:
    def test_what_is_stored_comes_back(self, stores_: Stores) -> None:
        asset = an_asset(auto_enhance=AutoEnhance(12.5, "dfn3"), checksum_md5="AWzJTRSXGy5JsL+Phh/cFA==")
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

    def test_saving_a_client_leaves_its_leases_alone(self, with_client: Stores) -> None:
        client = with_client.clients.get("c1")
        assert client is not None
        with_client.jobs.add(a_job())
        with_client.jobs.admit(a_job().admitted(NOW))
        with_client.clients.save(replace(client, disabled=True))
        read = with_client.clients.get("c1")
        assert read is not None
        assert read.disabled
        assert set(read.leases) == {"j1"}


class TestJobs:
    def test_what_is_stored_comes_back(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job(strength=12.5))
        assert with_client.jobs.get("c1", "j1") == a_job(strength=12.5)
        assert with_client.jobs.get("c2", "j1") is None

    def test_the_same_enhancement_twice_is_refused(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        with pytest.raises(DomainError) as refusal:
            with_client.jobs.add(a_job("j2"))
        assert refusal.value.code is DomainErrorCode.ENHANCEMENT_EXISTS
        with_client.jobs.add(a_job("j3", strength=94))

    def test_after_a_failure_it_may_be_asked_for_again(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        admitted = with_client.jobs.admit(a_job().admitted(NOW))
        assert admitted is not None
        with_client.jobs.release(admitted.failed(error_code="internal", error_message="", now=NOW))
        with_client.jobs.add(a_job("j2"))

    def test_oldest_first_whatever_the_order_of_writing(self, with_client: Stores) -> None:
        for job_id, after_s in (("j2", 2.0), ("j1", 1.0), ("j3", 3.0)):
            with_client.jobs.add(a_job(job_id, strength=after_s, after_s=after_s))
        oldest = with_client.jobs.oldest_queued("c1")
        assert oldest is not None
        assert oldest.id == "j1"
        assert with_client.jobs.oldest_queued("c2") is None

    def test_slots_run_out_and_come_back(self, with_client: Stores) -> None:
        jobs = [a_job(f"j{n}", strength=n, after_s=n) for n in (1, 2, 3)]
        for job in jobs:
            with_client.jobs.add(job)
        first = with_client.jobs.admit(jobs[0].admitted(NOW))
        assert first is not None
        assert with_client.jobs.admit(jobs[1].admitted(NOW)) is not None
        assert with_client.jobs.admit(jobs[2].admitted(NOW)) is None
        unchanged = with_client.jobs.get("c1", "j3")
        assert unchanged is not None
        assert unchanged.status is JobStatus.QUEUED
        with_client.jobs.release(first.failed(error_code="x", error_message="", now=NOW))
        assert with_client.jobs.admit(jobs[2].admitted(NOW)) is not None

    def test_an_admitted_job_has_left_the_queue_and_a_requeued_one_is_back(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        admitted = with_client.jobs.admit(a_job().admitted(NOW))
        assert admitted is not None
        assert with_client.jobs.oldest_queued("c1") is None
        assert with_client.jobs.clients_waiting() == []
        assert [job.id for job in with_client.jobs.active()] == ["j1"]
        with_client.jobs.release(admitted.requeued(NOW))
        oldest = with_client.jobs.oldest_queued("c1")
        assert oldest is not None
        assert (oldest.attempt, oldest.status) == (2, JobStatus.QUEUED)
        assert list(with_client.jobs.clients_waiting()) == ["c1"]
        assert list(with_client.jobs.active()) == []

    def test_admitting_what_has_changed_is_a_conflict(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        with_client.jobs.admit(a_job().admitted(NOW))
        with pytest.raises(VersionConflictError):
            with_client.jobs.admit(a_job().admitted(NOW))

    def test_releasing_twice_is_a_conflict_and_frees_one_slot(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        admitted = with_client.jobs.admit(a_job().admitted(NOW))
        assert admitted is not None
        with_client.jobs.release(admitted.failed(error_code="x", error_message="", now=NOW))
        with pytest.raises(VersionConflictError):
            with_client.jobs.release(admitted.failed(error_code="y", error_message="", now=NOW))
        client = with_client.clients.get("c1")
        assert client is not None
        assert not client.leases

    def test_a_finished_job_tells_where_its_result_is(self, with_client: Stores) -> None:
        with_client.jobs.add(a_job())
        admitted = with_client.jobs.admit(a_job().admitted(NOW))
        assert admitted is not None
        dispatched = with_client.jobs.save(admitted.dispatched(NOW))
        done = with_client.jobs.release(dispatched.succeeded(key="out/x", version_id="v1", size_bytes=9, now=NOW))
        assert with_client.jobs.get("c1", "j1") == done
        assert (done.output_key, done.output_version_id, done.output_size_bytes) == ("out/x", "v1", 9)


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


class TestQueue:
    def test_every_tick_arrives_also_equal_ones(self, queue: Queue) -> None:
        queue.port.tick("c1")
        queue.port.tick("c1")
        queue.port.tick("c2")
        assert sorted(queue.ticks()) == ["c1", "c1", "c2"]


class TestObjects:
    def test_head_tells_size_and_version(self, objects: Objects) -> None:
        objects.put("in/c1/a1", b"first")
        first = objects.port.head("in/c1/a1")
        objects.put("in/c1/a1", b"second one")
        assert first.size_bytes == 5
        assert objects.port.head("in/c1/a1").size_bytes == 10
        assert objects.port.head("in/c1/a1", first.version_id).size_bytes == 5

    def test_what_is_not_there_is_none(self, objects: Objects) -> None:
        assert objects.port.head("in/c1/a2") is None


class TestWorkflow:
    def test_starting_twice_is_starting_once(self, workflow: Any) -> None:
        assert workflow.status(a_job()) is None
        workflow.start(a_job())
        workflow.start(a_job())
        assert workflow.status(a_job()) == "RUNNING"
