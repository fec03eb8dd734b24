"""Deleting one enhancement: gone at once, erased thoroughly, its name never used for anything else."""

from dataclasses import replace

import pytest

from lambdas.core.assets import Asset, wet_prefix_of
from lambdas.core.errors import DomainError, DomainErrorCode, TransientError
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.jobs import Job, JobStatus, Tombstone, output_key_of
from lambdas.core.services.batches import BatchWish
from lambdas.core.services.deletion import LATE_WRITERS
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.listing import JobFilter
from tests.unit.core.test_deletion import BESIDE, enhanced
from tests.unit.world import World, an_upload, ref_of


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def asset(world: World) -> Asset:
    client, _ = world.client(max_active=1)
    return world.ready_asset(client.id)


def delete(world: World, job: Job) -> None:
    world.enhancement_deletion.delete(job.client_id, job.id)


def erase(world: World) -> list[bool]:
    return [world.erasing.erase_job(*asked) for asked in world.erase_queue.asked_for_jobs]


def keys_of(world: World, job: Job) -> set[str]:
    return {key for key in (*world.storage.objects, *world.work.objects) if job.id in key}


def refusal_of(ask: object) -> DomainErrorCode:
    assert callable(ask)
    with pytest.raises(DomainError) as refusal:
        ask()
    return refusal.value.code


def keyed(asset: Asset, strength: float = 50, sha256: str = "1") -> Wish:
    return Wish(strength, idempotency=IdempotencyKey(asset.client_id, "enhancement", "k", sha256))


def test_its_results_go_and_nothing_else_does(world: World, asset: Asset) -> None:
    other, job = enhanced(world, asset, 60), enhanced(world, asset)
    assert len(keys_of(world, job)) == len(BESIDE)
    delete(world, job)
    assert erase(world) == [False]
    assert keys_of(world, job) == set()
    assert len(keys_of(world, other)) == len(BESIDE)
    assert world.storage.head(asset.object_key)
    assert [key for key in world.work.objects if key.startswith(wet_prefix_of(asset.client_id, asset.id))]
    assert world.downloads.url(asset.client_id, other.id)
    assert [one.id for one in world.listing.page(asset.client_id, JobFilter(), limit=9).items] == [other.id]


def test_from_the_answer_on_it_is_not_there(world: World, asset: Asset) -> None:
    job = enhanced(world, asset)
    delete(world, job)
    for ask in (
        lambda: delete(world, job),
        lambda: world.listing.view(job.client_id, job.id),
        lambda: world.downloads.url(job.client_id, job.id),
        lambda: world.cancelling.cancel(job.client_id, job.id),
        lambda: world.enhancement_deletion.delete("another", job.id),
    ):
        assert refusal_of(ask) is DomainErrorCode.NOT_FOUND


def test_what_it_counted_stays_counted(world: World, asset: Asset) -> None:
    job = enhanced(world, asset)
    today = world.clock.now().date()
    before = world.jobs.days(asset.client_id, today, today)
    delete(world, job)
    erase(world)
    assert world.jobs.days(asset.client_id, today, today) == before
    assert before[0].succeeded == 1


def test_what_waits_or_runs_has_to_be_cancelled_first(world: World, asset: Asset) -> None:
    expected = world.waiting_job(asset.client_id)
    running, queued = (world.queued_job(asset.client_id, strength=strength, asset=asset) for strength in (1, 2))
    world.admission.admit([asset.client_id])
    for job in (expected, running, queued):
        assert refusal_of(lambda job=job: delete(world, job)) is DomainErrorCode.ENHANCEMENT_NOT_FINISHED
        world.cancelling.cancel(job.client_id, job.id)
        delete(world, job)
        assert world.jobs.get(job.client_id, job.id) is None
    client = world.clients.get(asset.client_id)
    assert client is not None
    assert (dict(client.leases), client.queued) == ({}, 0)


def test_its_end_is_told_before_nobody_could(world: World, asset: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    job = enhanced(world, asset)
    assert world.outcome_queue.told == []

    def away(*_arguments: object) -> None:
        raise TransientError("SQS is away")

    with monkeypatch.context() as patched:
        patched.setattr(world.outcome_queue, "tell", away)
        assert refusal_of(lambda: delete(world, job)) is DomainErrorCode.UNAVAILABLE
    assert world.job(job).status is JobStatus.SUCCEEDED
    delete(world, job)
    assert not world.execution.notify(ref_of(job))
    assert [outcome.job_id for outcome in world.outcome_queue.told] == [job.id]


def test_whoever_comes_late_changes_nothing_and_what_it_writes_goes_too(world: World, asset: Asset) -> None:
    job = world.queued_job(asset.client_id, asset=asset)
    world.admission.admit([asset.client_id])
    world.dispatch.dispatch(ref_of(job), "token")
    world.cancelling.cancel(job.client_id, job.id)
    delete(world, job)
    erase(world)
    ref, result = ref_of(job), world.result_for(job)  # its worker had not heard of it
    assert not world.execution.claim(ref)
    world.execution.verify(ref, result)
    world.execution.succeed(ref, result)
    world.sweep.sweep()
    assert not world.jobs.beat(job.client_id, job.id, attempt=1, percent=99, now=world.clock.now())
    assert world.jobs.get(job.client_id, job.id) is None
    assert keys_of(world, job)
    assert world.housekeeping.tidy().erasing == 0
    world.clock.advance(LATE_WRITERS.total_seconds() + 1)
    assert world.housekeeping.tidy().erasing == 1
    assert erase(world)[-1]
    assert keys_of(world, job) == set()
    assert world.jobs.tombstones.get(job.client_id, job.id) is None
    assert world.housekeeping.tidy().erasing == 0
    assert all(erase(world))


def test_a_deletion_whose_message_was_lost_is_made_good(
    world: World, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = enhanced(world, asset)

    def away(*_arguments: object) -> None:
        raise TransientError("SQS is away")

    with monkeypatch.context() as patched:
        patched.setattr(world.erase_queue, "ask_for_job", away)
        delete(world, job)
    world.clock.advance(LATE_WRITERS.total_seconds() + 1)
    world.housekeeping.tidy()
    assert erase(world) == [True]
    assert keys_of(world, job) == set()


def test_its_key_stays_used(world: World, asset: Asset) -> None:
    job = world.submissions.submit(asset.client_id, asset.id, keyed(asset)).job
    world.cancelling.cancel(job.client_id, job.id)
    delete(world, job)
    for _ in range(2):
        again = lambda: world.submissions.submit(asset.client_id, asset.id, keyed(asset))  # noqa: E731
        assert refusal_of(again) is DomainErrorCode.ENHANCEMENT_DELETED
        other = lambda: world.submissions.submit(asset.client_id, asset.id, keyed(asset, 51, "2"))  # noqa: E731
        assert refusal_of(other) is DomainErrorCode.IDEMPOTENCY_MISMATCH
        world.clock.advance(LATE_WRITERS.total_seconds() + 1)
        world.housekeeping.tidy()
        erase(world)
    assert world.jobs.tombstones.due(world.clock.now() + LATE_WRITERS) == []


@pytest.mark.parametrize("whole", [False, True], ids=["the enhancement", "its recording"])
def test_a_used_key_makes_no_recording_either(world: World, asset: Asset, whole: bool) -> None:
    upload = an_upload(asset.client_id)
    made = world.submissions.submit(asset.client_id, upload, keyed(asset))
    assert made.asset
    world.cancelling.cancel(asset.client_id, made.job.id)
    if not whole:
        delete(world, made.job)
    world.deletion.delete(asset.client_id, made.asset.asset.id)
    for _ in range(2):
        for asked in world.erase_queue.asked:
            world.erasing.erase(*asked)
        assert (
            refusal_of(lambda: world.submissions.submit(asset.client_id, upload, keyed(asset)))
            is DomainErrorCode.ENHANCEMENT_DELETED
        )
        world.clock.advance(LATE_WRITERS.total_seconds() + 1)
    left = world.asset_store.get(asset.client_id, made.asset.asset.id)
    assert left is not None
    assert (left.is_deleted, left.filename) == (True, "")


def test_a_batch_shows_it_as_deleted_also_when_it_is_sent_again(world: World, asset: Asset) -> None:
    key = IdempotencyKey(asset.client_id, "batch", "k", "1")
    items = [BatchWish(asset.id, Wish(strength)) for strength in (1, 2)]
    made = world.batches.create(asset.client_id, items, key=key)
    first, second = (item.job_id or "" for item in made.batch.items)
    world.cancelling.cancel(asset.client_id, first)
    world.enhancement_deletion.delete(asset.client_id, first)
    for view in (
        world.batches.show(asset.client_id, made.batch.id),
        world.batches.create(asset.client_id, items, key=key),
    ):
        assert [item.job_id for item in view.batch.items] == [first, second]
        assert set(view.jobs) == {second}


def test_the_same_may_be_asked_for_anew_without_its_key(world: World, asset: Asset) -> None:
    job = enhanced(world, asset)  # as Adobe has it: one for each strength
    assert refusal_of(lambda: world.queued_job(asset.client_id, strength=50, asset=asset)) is (
        DomainErrorCode.ENHANCEMENT_EXISTS
    )
    delete(world, job)
    anew = world.queued_job(asset.client_id, strength=50, asset=asset)
    assert anew.id != job.id
    assert output_key_of(replace(anew, attempt=1)) != output_key_of(job)


def test_somebody_who_writes_at_the_same_moment_is_waited_for(
    world: World, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = enhanced(world, asset)
    world.execution.notify(ref_of(job))
    bury, others = world.jobs.bury, [job]

    def raced(stored: Job, left: Tombstone) -> None:
        for other in others:
            world.jobs.save(world.job(other))
        others.clear()
        bury(stored, left)

    monkeypatch.setattr(world.jobs, "bury", raced)
    delete(world, job)
    assert world.jobs.get(job.client_id, job.id) is None
