"""Cancelling at any moment: queued, admitted, dispatched, running, finishing."""

from collections.abc import Callable

import pytest

from lambdas.core.errors import DomainError, DomainErrorCode, TransientError, VersionConflictError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.failures import JOB_CANCELLED, classify
from tests.unit.core.executions import Executions, Lane
from tests.unit.world import World, ref_of


@pytest.fixture
def world() -> World:
    return World()


def told(world: World) -> list[str]:
    return [outcome.status for outcome in world.outcome_queue.told]


def running(world: World) -> Job:
    client, _ = world.client(max_active=1)
    job = world.queued_job(client.id)
    world.admission.admit([client.id])
    (execution,) = Executions(world).all()
    execution.advance()
    execution.advance()
    assert Lane(world).beat(world.backend.orders[-1])
    assert world.job(job).status is JobStatus.RUNNING
    return world.job(job)


def test_a_queued_job_ends_at_once_and_is_told_without_an_execution(world: World) -> None:
    client, _ = world.client()
    job = world.queued_job(client.id)
    cancelled = world.cancelling.cancel(client.id, job.id)
    assert (cancelled.status, cancelled.error_code) == (JobStatus.CANCELLED, "cancelled")
    assert cancelled.finished_at == world.clock.now()
    assert told(world) == ["cancelled"]
    assert world.admission.admit([client.id]) == 0
    assert not world.workflow.executions
    world.enhancements.request(client.id, job.asset_id, Wish(strength=job.strength, is_unique=True))


def test_a_running_job_gives_its_slot_back_at_once_and_once(world: World) -> None:
    job = running(world)
    waiting = world.queued_job(job.client_id)
    world.cancelling.cancel(job.client_id, job.id)
    assert world.admission.admit([job.client_id]) == 1
    assert world.job(waiting).status is JobStatus.ADMITTED
    world.execution.fail(ref_of(job), classify(JOB_CANCELLED, ""))
    client = world.clients.get(job.client_id)
    assert client is not None
    assert set(client.leases) == {waiting.id}


def test_the_worker_learns_from_its_next_beat_and_the_execution_from_its_task(world: World) -> None:
    job = running(world)
    world.cancelling.cancel(job.client_id, job.id)
    assert not Lane(world).beat(world.backend.orders[-1])
    (asked,) = world.stops.asked
    assert world.completion.stop(asked.client_id, asked.id, asked.attempt)
    (answer,) = world.tasks.answers.values()
    assert answer == (JOB_CANCELLED, "the client has cancelled the job")


def test_the_execution_of_a_cancelled_job_tells_of_it(world: World) -> None:
    client, _ = world.client()
    world.queued_job(client.id)
    world.admission.admit([client.id])
    (execution,) = Executions(world).all()
    world.cancelling.cancel(client.id, execution.ref.job_id)
    assert told(world) == []
    for _ in range(3):
        execution.advance()
    assert not execution.is_running
    assert told(world) == ["cancelled"]


def test_a_result_that_comes_too_late_changes_nothing(world: World) -> None:
    job = running(world)
    cancelled = world.cancelling.cancel(job.client_id, job.id)
    world.execution.succeed(ref_of(job), world.result_for(job))
    assert world.job(job) == cancelled
    with pytest.raises(DomainError):
        world.downloads.url(job.client_id, job.id)


@pytest.mark.parametrize("succeeds", [True, False])
def test_what_is_finished_cannot_be_cancelled(world: World, succeeds: bool) -> None:
    job = running(world)
    if succeeds:
        world.execution.succeed(ref_of(job), world.result_for(job))
    else:
        world.execution.fail(ref_of(job), classify("input_corrupt", ""))
    with pytest.raises(DomainError) as refusal:
        world.cancelling.cancel(job.client_id, job.id)
    assert refusal.value.code is DomainErrorCode.ALREADY_FINISHED


def at_the_moment_of_writing(world: World, monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """Let ``other`` happen between the reading and the writing of whoever ends the next job."""
    release = world.jobs.release

    def overtaken(job: Job) -> Job:
        monkeypatch.setattr(world.jobs, "release", release)
        other()
        return release(job)

    monkeypatch.setattr(world.jobs, "release", overtaken)


def test_a_success_written_while_a_cancellation_is_under_way_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running(world)
    result = world.result_for(job)
    at_the_moment_of_writing(world, monkeypatch, lambda: world.execution.succeed(ref_of(job), result))
    with pytest.raises(DomainError) as refusal:
        world.cancelling.cancel(job.client_id, job.id)
    assert refusal.value.code is DomainErrorCode.ALREADY_FINISHED
    assert world.job(job).status is JobStatus.SUCCEEDED


def test_a_cancellation_written_while_a_success_is_under_way_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running(world)
    result = world.result_for(job)
    at_the_moment_of_writing(world, monkeypatch, lambda: world.cancelling.cancel(job.client_id, job.id))
    with pytest.raises(VersionConflictError):  # the state machine runs the step again
        world.execution.succeed(ref_of(job), result)
    world.execution.succeed(ref_of(job), result)
    assert world.job(job).status is JobStatus.CANCELLED


def test_cancelling_twice_is_cancelling_once(world: World) -> None:
    client, _ = world.client()
    job = world.queued_job(client.id)
    first = world.cancelling.cancel(client.id, job.id)
    assert world.cancelling.cancel(client.id, job.id).finished_at == first.finished_at
    assert told(world) == ["cancelled"]


def test_another_clients_job_is_not_there(world: World) -> None:
    client, _ = world.client()
    job = world.queued_job(client.id)
    with pytest.raises(DomainError) as refusal:
        world.cancelling.cancel("somebody-else", job.id)
    assert refusal.value.code is DomainErrorCode.NOT_FOUND


def test_a_late_step_of_an_earlier_attempt_changes_nothing(world: World) -> None:
    job = running(world)
    world.execution.fail(ref_of(job), classify("engine_failed", ""))
    world.admission.admit([job.client_id])
    second = world.job(job)
    assert second.attempt == 2
    world.execution.fail(ref_of(job), classify("input_corrupt", ""))
    world.execution.succeed(ref_of(job), world.result_for(job))
    assert world.job(job) == second


def test_a_stop_for_a_job_that_lives_ends_nothing(world: World) -> None:
    job = running(world)
    assert not world.completion.stop(job.client_id, job.id, job.attempt)
    assert not world.tasks.answers


def test_lost_messages_only_make_it_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments: object) -> None:
        raise TransientError("SQS is away")

    client, _ = world.client()
    job = world.queued_job(client.id)
    with monkeypatch.context() as patched:
        for queue in (world.outcome_queue, world.queue):
            patched.setattr(type(queue), "tell" if queue is world.outcome_queue else "tick", away)
        assert world.cancelling.cancel(client.id, job.id).status is JobStatus.CANCELLED
    assert told(world) == []
    world.clock.advance(121)
    assert world.housekeeping.tidy().told == 1
    assert world.housekeeping.tidy().told == 0
    assert told(world) == ["cancelled"]
