"""Enhancements asked for with their upload: whatever becomes of the upload and of its intake, they end, and say how."""

from dataclasses import replace

import pytest

from gpu_container.contract import ErrorCode, ProbeFailure, ProbeResult
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.clients import Client
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.services.batches import BatchWish
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.housekeeping import AT_MOST
from lambdas.core.services.sources import CreateFromUrl
from lambdas.core.workflow import INTAKE_GIVEN_UP_S, INTAKE_GRACE_S, SWEEP_INTERVAL_S
from tests.unit.world import FACTS, World, an_upload


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.client()[0]


def sweep_for(world: World, time_s: float) -> None:
    for _ in range(int(time_s / SWEEP_INTERVAL_S)):
        world.clock.advance(SWEEP_INTERVAL_S)
        world.housekeeping.tidy()


def asset_of(world: World, job: Job) -> Asset:
    asset = world.asset_store.get(job.client_id, job.asset_id)
    assert asset is not None
    return asset


def settle_upload(world: World, job: Job, *, is_good: bool = True) -> None:
    """Let an intake die as soon as it has settled the upload."""
    asset = asset_of(world, job)
    world.storage.put(asset.object_key, size_bytes=asset.size_bytes)
    located = world.intake.locate(asset.object_key)
    assert located is not None
    if is_good:
        world.intake.mark_ready(located, ProbeResult(facts=FACTS))
    else:
        world.intake.mark_invalid(located, ProbeFailure(error_code=ErrorCode.INPUT_NO_AUDIO, message="no sound in it"))


def told(world: World) -> list[tuple[str, str, str | None]]:
    return [(one.job_id, one.status, one.error_code) for one in world.outcome_queue.told]


def test_an_intake_that_died_before_it_queued_the_job_is_made_good(world: World, client: Client) -> None:
    job = world.waiting_job(client.id)
    settle_upload(world, job)
    sweep_for(world, INTAKE_GRACE_S + 2 * SWEEP_INTERVAL_S)
    queued = world.job(job)
    assert (queued.status, queued.audio_s) == (JobStatus.QUEUED, FACTS.duration_s)
    assert client.id in world.queue.ticks


def test_an_intake_that_died_before_it_failed_the_job_is_made_good(world: World, client: Client) -> None:
    job = world.waiting_job(client.id)
    settle_upload(world, job, is_good=False)
    sweep_for(world, INTAKE_GRACE_S + 2 * SWEEP_INTERVAL_S)
    assert world.job(job).error_message == "no sound in it"
    assert told(world) == [(job.id, "failed", "input_no_audio")]


def test_a_late_death_of_an_intake_is_found_too(world: World, client: Client) -> None:
    job = world.waiting_job(client.id)
    sweep_for(world, 5 * 3600)
    settle_upload(world, job)
    sweep_for(world, 5 * 3600)
    assert world.job(job).status is JobStatus.QUEUED


def test_more_uploads_than_the_queue_takes_are_all_enhanced_in_their_order(world: World) -> None:
    client, _ = world.client(max_active=1, max_queued=2)
    jobs = []
    for _ in range(9):
        jobs.append(world.waiting_job(client.id))
        world.clock.advance(1)
    for job in jobs:
        settle_upload(world, job)
        world.waiting.queue_up(asset_of(world, job))
    assert [world.job(job).is_held for job in jobs] == [False] * 2 + [True] * 7
    begun = []
    for _ in jobs:
        world.admission.admit([client.id])
        (lease,) = world.clients.all()[0].leases
        begun.append(lease)
        world.cancelling.cancel(client.id, lease)
        sweep_for(world, SWEEP_INTERVAL_S)
    assert begun == [job.id for job in jobs]


def test_a_full_queue_costs_nothing_but_a_look_and_keeps_nobody_else_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, other = world.client(max_queued=1)[0], world.client("other", max_queued=1)[0]
    jobs = [world.waiting_job(client.id) for client in (full, full, full, other, other)]
    for job in jobs:
        settle_upload(world, job)
        world.waiting.queue_up(asset_of(world, job))
        world.clock.advance(1)
    world.admission.admit([other.id])
    world.cancelling.cancel(full.id, jobs[0].id)
    world.queued_job(full.id)
    enqueued: list[str] = []
    enqueue = world.jobs.enqueue
    monkeypatch.setattr(world.jobs, "enqueue", lambda job: (enqueued.append(job.id), enqueue(job))[1])
    world.housekeeping.tidy()
    assert enqueued == [jobs[4].id]
    assert world.job(jobs[1]).version == 2, "written once, when it was held"


def test_an_upload_that_never_comes_ends_its_job_and_its_batch(world: World, client: Client) -> None:
    wishes = [BatchWish(an_upload(client.id), Wish(strength=strength)) for strength in (10, 20)]
    key = IdempotencyKey(client.id, "batch", "k", "sha")
    batch = world.batches.create(client.id, wishes, key=key).batch
    came, never = (world.jobs.get(client.id, item.job_id or "") for item in batch.items)
    assert came is not None
    assert never is not None
    settle_upload(world, came, is_good=False)
    sweep_for(world, INTAKE_GIVEN_UP_S)
    assert not world.job(never).is_terminal
    sweep_for(world, 2 * SWEEP_INTERVAL_S)
    assert told(world) == [(came.id, "failed", "input_no_audio"), (never.id, "failed", "upload_expired")]
    assert all(job.is_terminal for job in world.batches.show(client.id, batch.id).jobs.values())
    asset = asset_of(world, never)
    assert (asset.status, asset.error_code) == (AssetStatus.INVALID, "upload_expired")
    world.storage.put(asset.object_key, size_bytes=asset.size_bytes)
    assert world.intake.locate(asset.object_key) is None
    assert world.asset_store.get(client.id, asset.id) == asset


def test_an_asset_that_nothing_waits_for_may_come_whenever_it_likes(world: World, client: Client) -> None:
    asset = world.waiting_asset(client.id)
    sweep_for(world, INTAKE_GIVEN_UP_S + SWEEP_INTERVAL_S)
    assert world.asset_store.get(client.id, asset.id) == asset


def test_a_source_of_which_nothing_was_heard_is_given_up(world: World, client: Client) -> None:
    made = world.submissions.submit(
        client.id, CreateFromUrl(client.id, "https://files.example.com/a.wav"), Wish(strength=50)
    )
    sweep_for(world, INTAKE_GIVEN_UP_S + SWEEP_INTERVAL_S)
    assert told(world) == [(made.job.id, "failed", "source_unreachable")]
    assert asset_of(world, made.job).status is AssetStatus.INVALID


def test_a_job_whose_asset_is_gone_or_going_ends(world: World, client: Client) -> None:
    going, gone = world.waiting_job(client.id), world.waiting_job(client.id)
    world.deletion.delete(client.id, going.asset_id)
    world.asset_store.remove(asset_of(world, gone))
    sweep_for(world, INTAKE_GRACE_S + 2 * SWEEP_INTERVAL_S)
    assert set(told(world)) == {(going.id, "cancelled", "cancelled"), (gone.id, "failed", "upload_expired")}


def test_a_held_job_whose_asset_was_deleted_waits_for_no_room(world: World) -> None:
    client, _ = world.client(max_queued=1)
    first, held = world.waiting_job(client.id), world.waiting_job(client.id)
    for job in (first, held):
        settle_upload(world, job)
        world.waiting.queue_up(asset_of(world, job))
    world.deletion.delete(client.id, held.asset_id)
    world.cancelling.cancel(client.id, first.id)
    sweep_for(world, SWEEP_INTERVAL_S)
    assert world.job(held).status is JobStatus.CANCELLED


def test_a_crowd_of_uploads_keeps_none_from_being_looked_at(world: World, client: Client) -> None:
    jobs = [world.waiting_job(client.id) for _ in range(2 * AT_MOST)]
    ready = jobs[-20:]
    for job in ready:
        world.asset_store.save(replace(asset_of(world, job), status=AssetStatus.READY, facts=FACTS))
    sweep_for(world, 10 * INTAKE_GRACE_S)
    assert {world.job(job).status for job in ready} == {JobStatus.QUEUED}
