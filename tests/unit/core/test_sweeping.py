"""What the minute's sweep finds, and that it finds everything."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from gpu_container.contract import ErrorCode, WorkFailure
from lambdas.core.errors import TransientError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.routing import Lane as RoutedLane
from lambdas.core.services.failures import NO_CAPACITY, WORKER_LOST
from lambdas.core.services.housekeeping import LEASE_LIFETIME
from lambdas.core.workflow import GPU_START_LIMIT_S, HEARTBEAT_TIMEOUT_S, SWEEP_INTERVAL_S, Patience
from tests.unit.core.executions import Execution, Executions, Lane
from tests.unit.world import World

SILENT_S = HEARTBEAT_TIMEOUT_S + 1


@pytest.fixture
def world() -> World:
    return World()


def dispatched(world: World) -> tuple[Job, Execution]:
    client, _ = world.client(str(len(world.clients.all())))
    job = world.queued_job(client.id)
    world.admission.admit([client.id])
    execution = Executions(world).all()[-1]
    execution.advance()
    execution.advance()
    return world.job(job), execution


def test_a_result_whose_notice_was_lost_is_found(world: World) -> None:
    job, execution = dispatched(world)
    lane = Lane(world)
    lane.beat(world.backend.orders[0])
    lane.answer(*lane.orders()[0])
    world.clock.advance(SILENT_S)
    assert world.sweep.sweep().completed == 1
    for _ in range(4):
        execution.advance()
    assert world.job(job).status is JobStatus.SUCCEEDED
    assert [outcome.status for outcome in world.outcome_queue.told] == ["succeeded"]


def test_a_failure_whose_notice_was_lost_is_found_even_before_the_first_beat(world: World) -> None:
    job, execution = dispatched(world)
    lane = Lane(world)
    lane.answer(*lane.orders()[0], error=ErrorCode.INPUT_CORRUPT)
    world.clock.advance(SILENT_S)
    assert world.sweep.sweep().completed == 1
    for _ in range(3):
        execution.advance()
    assert (world.job(job).status, world.job(job).error_code) == (JobStatus.FAILED, "input_corrupt")


def test_a_silent_worker_is_lost_and_the_next_attempt_runs(world: World) -> None:
    job, execution = dispatched(world)
    Lane(world).beat(world.backend.orders[0])
    world.clock.advance(SILENT_S)
    assert world.sweep.sweep().failed == 1
    for _ in range(2):
        execution.advance()
    assert (world.job(job).status, world.job(job).attempt) == (JobStatus.QUEUED, 2)


def test_what_is_left_of_a_new_attempt_follows_from_its_own_pace(world: World) -> None:
    job, execution = dispatched(world)
    Lane(world).beat(world.backend.orders[0])
    world.clock.advance(SILENT_S)
    world.sweep.sweep()
    for _ in range(2):
        execution.advance()
    world.admission.admit([job.client_id])
    again = Executions(world).all()[-1]
    again.advance()
    again.advance()
    world.clock.advance(SILENT_S)
    Lane(world).beat(world.backend.orders[1], percent=0)
    world.clock.advance(10)
    Lane(world).beat(world.backend.orders[1])
    assert world.listing.view(job.client_id, job.id).eta_s == 10


def test_a_waiting_job_is_kept_alive_until_no_worker_can_be_expected(world: World) -> None:
    dispatched(world)
    world.clock.advance(SILENT_S)
    assert world.sweep.sweep().beaten == 1
    world.clock.advance(GPU_START_LIMIT_S)
    assert world.sweep.sweep().failed == 1


def waited_in_minutes(world: World, beats: Callable[[int], bool], *, minutes: int) -> int | None:
    """Sweep each minute, with a running job that beats as told; returns when the first waiting job was given up."""
    running, _ = dispatched(world)
    waiting = [dispatched(world)[0] for _ in range(3)]
    order = world.backend.orders[0]
    for minute in range(minutes):
        if beats(minute):
            Lane(world).beat(order)
        world.clock.advance(60)
        world.sweep.sweep()
        errors = [answer[0] for answer in world.tasks.answers.values() if isinstance(answer, tuple)]
        if NO_CAPACITY in errors:
            return minute
    assert all(world.job(job).status is JobStatus.DISPATCHED for job in waiting)
    assert world.job(running).status is JobStatus.RUNNING
    return None


def test_who_waits_behind_a_busy_worker_waits_as_long_as_it_works(world: World) -> None:
    assert waited_in_minutes(world, lambda _minute: True, minutes=90) is None


def test_a_worker_that_goes_silent_does_not_take_everybody_who_waits_with_it(world: World) -> None:
    """Its own job is lost within minutes; the others have the lane's whole time to see another worker come."""
    given_up = waited_in_minutes(world, lambda minute: minute < 60, minutes=120)
    assert given_up is not None
    assert 60 + GPU_START_LIMIT_S / 60 - 1 <= given_up <= 60 + GPU_START_LIMIT_S / 60 + 2
    lost = [answer[0] for answer in world.tasks.answers.values() if isinstance(answer, tuple)]
    assert lost.count(WORKER_LOST) == 1
    assert lost.count(NO_CAPACITY) == 3


def test_between_two_jobs_the_lane_is_still_alive(world: World) -> None:
    """No job runs at that moment, and the heartbeats of the last one have gone with it."""
    first, _ = dispatched(world)
    second, _ = dispatched(world)
    for _ in range(GPU_START_LIMIT_S // 60 + 5):
        Lane(world).beat(world.backend.orders[0])
        world.clock.advance(60)
        world.sweep.sweep()
    world.jobs.release(world.job(first).failed(error_code="x", error_message="", now=world.clock.now()))
    assert world.sweep.sweep().failed == 0
    assert world.job(second).status is JobStatus.DISPATCHED


def test_a_lane_that_works_says_nothing_of_another(world: World) -> None:
    world.lane_log.beat(RoutedLane.CPU, world.clock.now())
    dispatched(world)
    for _ in range(GPU_START_LIMIT_S // 60 + 1):
        world.clock.advance(60)
        world.lane_log.beat(RoutedLane.CPU, world.clock.now())
    assert world.sweep.sweep().failed == 1


def test_a_drill_waits_less(world: World) -> None:
    _, execution = dispatched(world)
    hasty = replace(world.sweep, patience=Patience().times(0.25))
    Lane(world).beat(world.backend.orders[0])
    world.clock.advance(HEARTBEAT_TIMEOUT_S * 0.25 + 1)
    assert world.sweep.sweep().failed == 0
    assert hasty.sweep().failed == 1
    assert execution.is_running


def test_a_fan_out_may_be_silent_while_its_execution_runs(world: World) -> None:
    """Parts that wait for room beat no more than an endpoint that starts; its execution knows what becomes of them."""
    _, execution = dispatched(world)
    Lane(world).beat(world.backend.orders[0])
    location = world.attempts.get(execution.name)
    assert location is not None
    assert location.output_location is not None
    world.answers.watched.add(location.output_location)
    world.clock.advance(GPU_START_LIMIT_S + 1)
    assert world.sweep.sweep().beaten == 1
    world.answers.watched.clear()
    assert world.sweep.sweep().failed == 1


def test_a_fan_outs_failure_whose_event_was_lost_keeps_its_code(world: World) -> None:
    job, execution = dispatched(world)
    attempt = world.attempts.get(execution.name)
    assert attempt is not None
    assert attempt.output_location is not None
    failure = WorkFailure(
        job_id=job.id, attempt=1, error_code=ErrorCode.INPUT_CORRUPT, message="broken frame", retryable=False
    )
    world.answers.documents[attempt.output_location] = failure.model_dump_json().encode()
    world.clock.advance(SILENT_S)
    assert world.sweep.sweep().completed == 1
    assert execution.token is not None
    assert world.tasks.answers[execution.token] == ("input_corrupt", "broken frame")


def test_executions_are_asked_for_only_where_no_task_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step Functions answers fifteen such questions a second; a thousand waiting jobs must not need them."""
    for _ in range(5):
        dispatched(world)
    asked = []
    monkeypatch.setattr(world.workflow, "status", asked.append)
    world.clock.advance(SILENT_S)
    assert world.sweep.sweep().beaten == 5
    assert not asked


def test_a_thousand_stuck_jobs_are_all_looked_at(world: World) -> None:
    client, _ = world.client(max_active=1000)
    world.max_active_total = 1000
    world.__post_init__()
    asset = world.ready_asset(client.id)
    for number in range(1000):
        world.queued_job(client.id, strength=number / 10, asset=asset)
    while world.admission.admit([client.id]):
        pass
    world.clock.advance(3600)
    world.workflow.executions.clear()
    assert world.sweep.sweep().recovered == 1000
    assert not world.jobs.active()


def test_one_job_that_cannot_be_looked_at_keeps_no_other_from_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [dispatched(world)[0] for _ in range(3)]
    get = world.attempts.get

    def flaky(inference_id: str) -> object:
        if inference_id == jobs[1].execution_name:
            raise TransientError("DynamoDB is away")
        return get(inference_id)

    monkeypatch.setattr(world.attempts, "get", flaky)
    world.clock.advance(SILENT_S)
    swept = world.sweep.sweep()
    assert (swept.beaten, swept.errors) == (2, 1)


def test_an_aborted_execution_frees_its_slot_and_is_told(world: World) -> None:
    job, execution = dispatched(world)
    execution.abort()
    for _ in range(2):
        world.sweep.recover(execution.ref, "ABORTED")
    assert world.job(job).status is JobStatus.FAILED
    client = world.clients.get(job.client_id)
    assert client is not None
    assert not client.leases
    assert len(world.outcome_queue.told) == 1


def test_a_lease_that_nobody_holds_expires_and_one_that_is_held_does_not(world: World) -> None:
    job, _ = dispatched(world)
    client = world.clients.get(job.client_id)
    assert client is not None
    since = dict(client.leases)[job.id]
    world.clients.change(client.id, leases={**client.leases, "gone": since})
    world.clock.advance(LEASE_LIFETIME.total_seconds() - 1)
    assert world.housekeeping.tidy().freed == 0
    world.clock.advance(2)
    assert world.housekeeping.tidy().freed == 1
    client = world.clients.get(job.client_id)
    assert client is not None
    assert set(client.leases) == {job.id}


def test_a_few_messages_wake_admission_for_everybody(world: World) -> None:
    """Each round reads all clients: one for each that waits would cost the square of their number."""
    jobs = [world.queued_job(world.client(str(number))[0].id) for number in range(30)]
    world.queue.ticks.clear()
    assert world.housekeeping.wake().woken <= 10
    assert world.admission.admit(world.queue.ticks[:1]) == len(jobs)


def test_clients_that_wait_are_woken(world: World) -> None:
    client, _ = world.client()
    world.client("idle")
    world.queued_job(client.id)
    world.queue.ticks.clear()
    assert world.housekeeping.wake().woken == 1
    assert world.queue.ticks == [client.id]


def test_what_there_is_no_time_for_is_early_in_another_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = world.client()
    world.deletion.delete(client.id, world.ready_asset(client.id).id)

    def slowly_fail(_: object) -> None:
        world.clock.advance(30)
        raise TransientError("SQS does not answer")

    monkeypatch.setattr(world.outcome_queue, "tell", slowly_fail)
    for strength in range(1, 4):
        world.cancelling.cancel(client.id, world.queued_job(client.id, strength=strength).id)
    world.clock.advance(3600)
    erasing = 0
    for _ in range(9):
        world.clock.advance(SWEEP_INTERVAL_S)
        began_at = world.clock.now()
        erasing += world.housekeeping.tidy(until=began_at + timedelta(seconds=20)).erasing
        assert world.clock.now() - began_at <= timedelta(seconds=30), "what was begun in time may end late"
    assert erasing > 0
