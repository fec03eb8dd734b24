"""An upload that asks for its enhancement gets it, whatever is lost, repeated or full on the way."""

import pytest

from gpu_container.contract import ErrorCode, ProbeFailure, ProbeResult
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.clients import Client
from lambdas.core.errors import VersionConflictError
from lambdas.core.jobs import JobStatus
from lambdas.core.services.assets import CreateAsset
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
    job = world.jobs.get(client.id, world.intake.enqueue(second) or "")
    assert job is not None
    assert (job.status, job.is_held) == (JobStatus.WAITING_FOR_UPLOAD, True)
    assert world.intake.enqueue(second) == job.id  # a repeated step changes nothing
    assert world.job(job) == job
    world.admission.admit([client.id])
    world.housekeeping.tidy()
    assert world.job(job).status is JobStatus.QUEUED


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
    job_id = world.intake.refuse(located.client_id, located.asset_id)
    assert world.intake.refuse(located.client_id, located.asset_id) == job_id  # a repeated step changes nothing
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


CORRUPT = ProbeFailure(error_code=ErrorCode.INPUT_CORRUPT, message="")


def erase(world: World) -> None:
    while world.erase_queue.asked:
        world.erasing.erase(*world.erase_queue.asked.pop())


def stored(world: World, located: Located) -> list[str | None]:
    return [one.version_id for one in world.storage.objects.get(located.probe_order.input.key, [])]


def put_again(world: World, located: Located) -> None:
    asset = world.asset_store.get(located.client_id, located.asset_id)
    world.storage.put(located.probe_order.input.key, size_bytes=asset.size_bytes if asset else 1)


@pytest.mark.parametrize("status", [AssetStatus.READY, AssetStatus.INVALID])
def test_what_is_uploaded_after_intake_goes_and_the_pinned_version_is_current_again(
    world: World, client: Client, status: AssetStatus
) -> None:
    located = uploaded(world, client)
    if status is AssetStatus.READY:
        world.intake.mark_ready(located, ProbeResult(facts=FACTS))
    else:
        world.intake.mark_invalid(located, CORRUPT)
    pinned = located.probe_order.input.version_id
    for _ in range(2):
        put_again(world, located)
        assert world.intake.locate(located.probe_order.input.key) is None
        erase(world)
        assert stored(world, located) == [pinned]
    asset = world.asset_store.get(located.client_id, located.asset_id)
    assert asset is not None
    assert (asset.status, asset.version_id) == (status, pinned)


def test_a_late_event_of_the_pinned_version_itself_erases_nothing(world: World, client: Client) -> None:
    located = ready(world, client)
    assert world.intake.locate(located.probe_order.input.key) is None
    erase(world)
    assert stored(world, located) == [located.probe_order.input.version_id]


@pytest.mark.parametrize("first_wins", [True, False])
@pytest.mark.parametrize("second_is_good", [True, False])
def test_of_two_uploads_that_are_probed_at_once_the_first_verdict_keeps_its_version_alone(
    world: World, client: Client, first_wins: bool, second_is_good: bool
) -> None:
    first = uploaded(world, client)
    put_again(world, first)
    second = world.intake.locate(first.probe_order.input.key)
    assert second is not None
    winner, loser = (first, second) if first_wins else (second, first)
    assert world.intake.mark_ready(winner, ProbeResult(facts=FACTS))
    if second_is_good:
        assert world.intake.mark_ready(loser, ProbeResult(facts=FACTS)) is None
    else:
        assert world.intake.mark_invalid(loser, CORRUPT) is None
    erase(world)
    assert stored(world, first) == [winner.probe_order.input.version_id]


def test_nothing_is_erased_where_the_pinned_version_is_not_there(world: World, client: Client) -> None:
    located = ready(world, client)
    world.storage.objects.clear()
    put_again(world, located)
    world.intake.locate(located.probe_order.input.key)
    erase(world)
    assert len(stored(world, located)) == 1


def test_nothing_is_erased_of_an_asset_that_still_waits(world: World, client: Client) -> None:
    located = uploaded(world, client)
    world.erasing.erase(located.client_id, located.asset_id)
    assert stored(world, located)


def test_an_upload_that_ends_after_its_asset_was_deleted_and_erased_goes_too(world: World, client: Client) -> None:
    located = ready(world, client)
    world.deletion.delete(located.client_id, located.asset_id)
    world.clock.advance(3600)
    erase(world)
    assert world.asset_store.get(located.client_id, located.asset_id) is None
    put_again(world, located)
    assert world.intake.locate(located.probe_order.input.key) is None
    erase(world)
    assert not stored(world, located)


def test_other_objects_are_nobodys_upload(world: World) -> None:
    for key in ("out/c/a/j-1", "in/c", "in//a", "in/c/a/b"):
        assert world.intake.locate(key) is None
    assert not world.erase_queue.asked


@pytest.mark.parametrize("in_parts", [True, False])
def test_the_probe_gets_the_checksums_that_s3_has_not_seen_to(world: World, client: Client, in_parts: bool) -> None:
    create = world.uploads.create if in_parts else lambda command: world.assets.create(command).asset
    asset = create(CreateAsset(client.id, "talk.wav", 9, "audio/wav", "bWQ1", checksum_sha256="c2hhMjU2"))
    world.storage.put(asset.object_key, size_bytes=9)
    located = world.intake.locate(asset.object_key)
    assert located is not None
    asked = {checksum.algorithm.value: checksum.value for checksum in located.probe_order.checksums}
    assert asked == ({"md5": "bWQ1", "sha256": "c2hhMjU2"} if in_parts else {})
