"""An upload that asks for its enhancement gets it, whatever is lost, repeated or full on the way."""

import pytest

from gpu_container.contract import ErrorCode, ProbeFailure, ProbeResult
from lambdas.core.assets import Asset
from lambdas.core.clients import Client
from lambdas.core.errors import TransientError, VersionConflictError
from lambdas.core.jobs import JobStatus
from lambdas.core.services.intake import Located
from tests.unit.world import FACTS, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.client(max_queued=1)[0]


def uploaded(world: World, client: Client) -> Located:
    job = world.waiting_job(client.id)
    asset = world.assets.show(client.id, job.asset_id).asset
    world.storage.put(asset.object_key, size_bytes=asset.size_bytes)
    located = world.intake.locate(asset.object_key)
    assert located is not None
    return located


def ready(world: World, client: Client) -> Located:
    located = uploaded(world, client)
    assert world.intake.mark_ready(located, ProbeResult(facts=FACTS)) is not None
    return located


def test_a_verdict_whose_answer_was_lost_still_starts_the_enhancement(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK sends a write again whose answer never came, and then finds the row written: by itself."""
    located = uploaded(world, client)
    save = world.asset_store.save

    def twice(asset: Asset) -> Asset:
        save(asset)
        return save(asset)

    with monkeypatch.context() as patched:
        patched.setattr(world.asset_store, "save", twice)
        with pytest.raises(VersionConflictError):  # the state machine runs the step again
            world.intake.mark_ready(located, ProbeResult(facts=FACTS))
    marked = world.intake.mark_ready(located, ProbeResult(facts=FACTS))
    assert marked is not None
    assert marked.waiting_job_id is not None


def test_an_enhancement_waits_for_room_in_the_queue(world: World, client: Client) -> None:
    first, second = ready(world, client), ready(world, client)
    world.intake.enqueue(first)
    with pytest.raises(TransientError):  # the state machine tries again, for an hour
        world.intake.enqueue(second)
    world.admission.admit([client.id])
    job_id = world.intake.enqueue(second)
    job = world.jobs.get(client.id, job_id or "")
    assert job is not None
    assert job.status is JobStatus.QUEUED


def test_an_upload_deleted_before_its_enhancement_ends_quietly(world: World, client: Client) -> None:
    located = ready(world, client)
    world.deletion.delete(client.id, located.asset_id)
    assert world.intake.enqueue(located) is None
    world.erasing.erase(client.id, located.asset_id)
    assert world.jobs.of_asset(client.id, located.asset_id) == []
    assert [told.status for told in world.outcome_queue.told] == ["cancelled"]


def test_the_enhancement_is_made_once(world: World, client: Client) -> None:
    located = ready(world, client)
    assert world.intake.enqueue(located) == world.intake.enqueue(located)
    assert len(world.jobs.of_asset(client.id, located.asset_id)) == 1


def test_an_upload_that_is_no_good_ends_the_enhancement_and_says_so(world: World, client: Client) -> None:
    located = uploaded(world, client)
    failure = ProbeFailure(error_code=ErrorCode.INPUT_NO_AUDIO, message="no sound in it")
    world.intake.mark_invalid(located, failure)
    job_id = world.intake.refuse(located)
    assert world.intake.refuse(located) == job_id  # a repeated step changes nothing
    job = world.jobs.get(client.id, job_id or "")
    assert job is not None
    assert (job.status, job.error_code, job.error_message) == (JobStatus.FAILED, "input_no_audio", "no sound in it")
    assert [told.job_id for told in world.outcome_queue.told] == [job_id]


def test_a_job_cancelled_before_its_upload_stays_cancelled(world: World, client: Client) -> None:
    located = uploaded(world, client)
    asset = world.assets.show(client.id, located.asset_id).asset
    world.cancelling.cancel(client.id, asset.waiting_job_id or "")
    world.intake.mark_ready(located, ProbeResult(facts=FACTS))
    world.intake.enqueue(located)
    job = world.jobs.get(client.id, asset.waiting_job_id or "")
    assert job is not None
    assert job.status is JobStatus.CANCELLED
    assert world.administration.clients.all()[0].queued == 0


def test_the_length_is_known_once_the_job_is_queued(world: World, client: Client) -> None:
    job_id = world.intake.enqueue(ready(world, client))
    job = world.jobs.get(client.id, job_id or "")
    assert job is not None
    assert job.audio_s == FACTS.duration_s
