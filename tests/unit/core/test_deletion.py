"""Deleting an asset: at once for the client, thoroughly for everybody else, and as often as one likes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lambdas.core.assets import Asset, wet_prefix_of
from lambdas.core.errors import DomainError, DomainErrorCode, TransientError
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.jobs import Job, JobStatus, output_key_of
from lambdas.core.services.assets import CreateAsset
from lambdas.core.services.deletion import LATE_WRITERS
from lambdas.core.services.failures import classify
from lambdas.core.services.housekeeping import AT_MOST
from tests.unit.world import World, an_upload, ref_of

BESIDE = ("", ".report.json", ".spectrogram.png", ".waveform.png", ".peaks.json")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def asset(world: World) -> Asset:
    client, _ = world.client(max_active=1)
    return world.ready_asset(client.id)


def enhanced(world: World, asset: Asset, strength: float = 50) -> Job:
    job = world.queued_job(asset.client_id, strength=strength, asset=asset)
    world.admission.admit([asset.client_id])
    world.dispatch.dispatch(ref_of(world.job(job)), "token")
    for suffix in BESIDE[1:]:
        world.storage.put(output_key_of(job) + suffix, size_bytes=1)
    world.work.put(f"{wet_prefix_of(asset.client_id, asset.id)}v1/dfn3-auto", size_bytes=1)
    world.execution.succeed(ref_of(job), world.result_for(job))
    return world.job(job)


def erase(world: World) -> list[bool]:
    return [world.erasing.erase(*asked) for asked in world.erase_queue.asked]


def test_everything_that_was_made_of_it_goes(world: World, asset: Asset) -> None:
    other = world.ready_asset(asset.client_id)
    kept = enhanced(world, other)
    job = enhanced(world, asset)
    world.deletion.delete(asset.client_id, asset.id)
    erase(world)
    assert not [key for key in (*world.storage.objects, *world.work.objects) if asset.id in key]
    with pytest.raises(DomainError):
        world.enhancements.show(asset.client_id, job.id)
    assert world.downloads.url(kept.client_id, kept.id)
    assert {key for key in world.storage.objects if kept.id in key} == {output_key_of(kept) + end for end in BESIDE}


def test_it_is_gone_for_the_client_from_the_answer_on(world: World, asset: Asset) -> None:
    job = enhanced(world, asset)
    world.deletion.delete(asset.client_id, asset.id)
    for ask in (
        lambda: world.assets.show(asset.client_id, asset.id),
        lambda: world.downloads.url(asset.client_id, job.id),
        lambda: world.enhancements.show(asset.client_id, job.id, asset_id=asset.id),
        lambda: world.listing.view(asset.client_id, job.id),
        lambda: world.queued_job(asset.client_id, asset=asset),
    ):
        with pytest.raises(DomainError) as refusal:
            ask()
        assert refusal.value.code is DomainErrorCode.NOT_FOUND


def test_running_and_queued_jobs_are_cancelled_and_told_of(world: World, asset: Asset) -> None:
    running, queued = (world.queued_job(asset.client_id, strength=strength, asset=asset) for strength in (1, 2))
    world.admission.admit([asset.client_id])
    world.deletion.delete(asset.client_id, asset.id)
    erase(world)
    told = {outcome.job_id: outcome.status for outcome in world.outcome_queue.told}
    assert told == {running.id: "cancelled", queued.id: "cancelled"}
    assert [job.id for job in world.stops.asked] == [running.id]
    client = world.clients.get(asset.client_id)
    assert client is not None
    assert (dict(client.leases), client.queued) == ({}, 0)


@pytest.mark.parametrize("error", ["DomainError", "cancelled", "VerificationError", "engine_failed"])
def test_whatever_its_job_fails_of_meanwhile_it_counts_as_cancelled(world: World, asset: Asset, error: str) -> None:
    job = world.queued_job(asset.client_id, asset=asset)
    world.admission.admit([asset.client_id])
    world.deletion.delete(asset.client_id, asset.id)
    with pytest.raises(DomainError):
        world.dispatch.dispatch(ref_of(job), "token")
    assert world.execution.fail(ref_of(job), classify(error, "")) is JobStatus.CANCELLED
    world.execution.notify(ref_of(job))
    erase(world)
    assert [outcome.status for outcome in world.outcome_queue.told] == ["cancelled"]


def test_the_key_that_made_it_stays_used(world: World, asset: Asset) -> None:
    def made_by(sha256: str = "1") -> Asset:
        key = IdempotencyKey(asset.client_id, "asset", "k", sha256)
        return world.assets.create(replace(an_upload(asset.client_id), idempotency=key)).asset

    world.deletion.delete(asset.client_id, made_by().id)
    for _ in range(3):
        for sha256, code in (("1", DomainErrorCode.ASSET_DELETED), ("2", DomainErrorCode.IDEMPOTENCY_MISMATCH)):
            with pytest.raises(DomainError) as refusal:
                made_by(sha256)
            assert refusal.value.code is code
        erase(world)
        world.clock.advance(LATE_WRITERS.total_seconds() + 1)
    assert world.asset_store.erasing_due(world.clock.now()) == []


def test_what_a_late_worker_or_upload_writes_goes_too(world: World, asset: Asset) -> None:
    job = enhanced(world, asset)
    world.deletion.delete(asset.client_id, asset.id)
    assert erase(world) == [False]
    world.storage.put(output_key_of(job), size_bytes=1)
    world.storage.put(asset.object_key, size_bytes=1)
    assert world.housekeeping.tidy().erasing == 0
    world.clock.advance(LATE_WRITERS.total_seconds() + 1)
    assert world.housekeeping.tidy().erasing == 1
    assert erase(world)[-1]
    assert not [key for key in world.storage.objects if asset.id in key]
    assert world.asset_store.get(asset.client_id, asset.id) is None
    assert world.housekeeping.tidy().erasing == 0


def test_every_step_may_come_again(world: World, asset: Asset) -> None:
    enhanced(world, asset)
    for _ in range(2):
        world.deletion.delete(asset.client_id, asset.id)
    for _ in range(2):
        erase(world)
    assert len(world.outcome_queue.told) == 1
    world.clock.advance(LATE_WRITERS.total_seconds() + 1)
    assert all(erase(world))
    with pytest.raises(DomainError):
        world.deletion.delete(asset.client_id, asset.id)


@pytest.mark.parametrize("finished_meanwhile", [False, True])
def test_an_upload_in_parts_goes_with_its_asset(world: World, finished_meanwhile: bool) -> None:
    asset = world.uploads.create(CreateAsset(world.client("parts")[0].id, "film.mov", 5, "video/quicktime"))
    assert asset.multipart is not None
    world.storage.put_part(asset.multipart, 1, 5)
    world.deletion.delete(asset.client_id, asset.id)
    if finished_meanwhile:
        world.storage.complete(asset.multipart, world.storage.arrived(asset.multipart) or [])
    for _ in range(2):
        erase(world)
    assert not world.storage.uploads
    assert not world.storage.objects.get(asset.object_key)
    with pytest.raises(DomainError) as refusal:
        world.uploads.complete(asset.client_id, asset.id)
    assert refusal.value.code is DomainErrorCode.NOT_FOUND


def test_what_cannot_be_erased_is_asked_for_less_and_less_often_and_crowds_out_nobody(world: World) -> None:
    client, _ = world.client("many")
    for _ in range(AT_MOST):
        world.deletion.delete(client.id, world.waiting_asset(client.id).id)
    world.clock.advance(1)
    last = world.waiting_asset(client.id)
    world.deletion.delete(client.id, last.id)
    world.erase_queue.asked.clear()
    world.clock.advance(LATE_WRITERS.total_seconds() + 1)
    asked = []
    for _ in range(24 * 60):
        world.clock.advance(60)
        world.housekeeping.tidy()
        asked.append(len(world.erase_queue.asked))
        world.erase_queue.asked.clear()  # every one of them fails
    assert asked[:3] == [AT_MOST, 1, 0]
    rounds = sum(asked) / (AT_MOST + 1)
    assert 4 <= rounds <= 6  # 40, 80, 160, … minutes after the deletion
    world.clock.advance(30 * 86_400)
    world.housekeeping.tidy()
    assert world.erase_queue.asked
    assert world.asset_store.erasing_due(world.clock.now() + timedelta(days=1, minutes=1))


def test_a_message_never_erases_a_living_asset(world: World, asset: Asset) -> None:
    job = enhanced(world, asset)
    world.erasing.erase(asset.client_id, asset.id)
    assert world.downloads.url(asset.client_id, job.id)


def test_a_deletion_whose_message_was_lost_is_made_good(
    world: World, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_arguments: object) -> None:
        raise TransientError("SQS is away")

    with monkeypatch.context() as patched:
        patched.setattr(world.erase_queue, "ask", away)
        world.deletion.delete(asset.client_id, asset.id)
    world.clock.advance(LATE_WRITERS.total_seconds() + 1)
    world.housekeeping.tidy()
    assert erase(world) == [True]


def test_an_upload_whose_time_is_over_takes_no_more_jobs(world: World, asset: Asset) -> None:
    world.clock.advance(29 * 86_400)
    assert world.queued_job(asset.client_id, strength=1, asset=asset).status is JobStatus.QUEUED
    world.clock.advance(86_400)
    with pytest.raises(DomainError) as refusal:
        world.queued_job(asset.client_id, strength=2, asset=asset)
    assert refusal.value.code is DomainErrorCode.ASSET_NOT_ENHANCEABLE


@pytest.mark.parametrize("ends_meanwhile", [False, True])
def test_a_job_that_the_index_shows_late_is_ended_and_told_of_before_it_goes(
    world: World, asset: Asset, monkeypatch: pytest.MonkeyPatch, ends_meanwhile: bool
) -> None:
    job = world.queued_job(asset.client_id, strength=1, asset=asset)
    world.admission.admit([asset.client_id])
    find, seen = world.jobs.of_asset, []

    def late(client_id: str, asset_id: str) -> object:
        found = find(client_id, asset_id) if seen else []
        seen.append(found)
        return found

    world.deletion.delete(asset.client_id, asset.id)
    monkeypatch.setattr(world.jobs, "of_asset", late)
    if ends_meanwhile:
        world.cancelling.cancel(job.client_id, job.id)
    assert erase(world) == [False]
    assert world.job(job)
    world.clock.advance(LATE_WRITERS.total_seconds() + 1)
    assert erase(world) == [True]
    assert {outcome.job_id for outcome in world.outcome_queue.told} == {job.id}
    assert world.jobs.get(job.client_id, job.id) is None
    client = world.clients.get(asset.client_id)
    assert client is not None
    assert (dict(client.leases), client.queued) == ({}, 0)
