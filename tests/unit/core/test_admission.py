"""Who is next: oldest first within a client, fair between clients, never more than the limits."""

import pytest

from lambdas.core.errors import DomainError, DomainErrorCode, TransientError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.services import admission
from lambdas.core.services.failures import classify
from tests.unit.world import World, ref_of


def queue(world: World, client_id: str, number: int) -> list[Job]:
    asset = world.ready_asset(client_id)
    jobs = []
    for strength in range(1, number + 1):
        world.clock.advance(1)
        jobs.append(world.queued_job(client_id, strength=strength / 2, asset=asset))
    return jobs


def finish(world: World, job: Job) -> None:
    world.execution.fail(ref_of(world.job(job)), classify("input_corrupt", ""))


def in_flight(world: World, jobs: list[Job]) -> int:
    return sum(world.job(job).status is JobStatus.ADMITTED for job in jobs)


def test_oldest_first_and_no_more_than_the_client_may() -> None:
    world = World()
    client, _ = world.client(max_active=2)
    jobs = queue(world, client.id, 4)
    assert world.admission.admit([client.id]) == 2
    assert [world.job(job).status for job in jobs] == [JobStatus.ADMITTED] * 2 + [JobStatus.QUEUED] * 2
    assert [world.enhancements.queue_position(world.job(job)) for job in jobs] == [None, None, 1, 2]


def test_a_client_with_hundreds_of_jobs_does_not_keep_another_waiting() -> None:
    world = World(max_active_total=4)
    greedy, _ = world.client("greedy", max_active=100)
    modest, _ = world.client("modest", max_active=100)
    many = queue(world, greedy.id, 200)
    assert world.admission.admit([greedy.id]) == 4
    (one,) = queue(world, modest.id, 1)
    assert world.admission.admit([modest.id]) == 0
    finish(world, many[0])
    assert world.admission.admit([greedy.id]) == 1
    assert world.job(one).status is JobStatus.ADMITTED


def test_slots_are_shared_evenly_while_both_have_work() -> None:
    world = World(max_active_total=6)
    first, _ = world.client("first", max_active=100)
    second, _ = world.client("second", max_active=100)
    ours, theirs = queue(world, first.id, 20), queue(world, second.id, 20)
    world.admission.admit([first.id])
    assert (in_flight(world, ours), in_flight(world, theirs)) == (3, 3)


def test_one_slot_goes_round() -> None:
    world = World(max_active_total=1)
    clients = [world.client(name)[0] for name in ("a", "b", "c")]
    jobs = {client.id: queue(world, client.id, 3) for client in clients}
    order = []
    for _ in range(9):
        assert world.admission.admit([clients[0].id]) == 1
        (running,) = (job for mine in jobs.values() for job in mine if world.job(job).status is JobStatus.ADMITTED)
        order.append(running.client_id)
        world.clock.advance(1)
        finish(world, running)
    for start in (0, 3, 6):
        assert set(order[start : start + 3]) == set(jobs)


def test_a_full_queue_refuses_and_takes_again_when_one_has_left() -> None:
    world = World()
    client, _ = world.client(max_active=1, max_queued=2)
    asset = world.ready_asset(client.id)
    for strength in (1, 2):
        world.queued_job(client.id, strength=strength, asset=asset)
    with pytest.raises(DomainError) as refusal:
        world.queued_job(client.id, strength=3, asset=asset)
    assert refusal.value.code is DomainErrorCode.QUEUE_FULL
    world.admission.admit([client.id])
    world.queued_job(client.id, strength=3, asset=asset)


def test_a_job_that_cannot_be_started_goes_back_to_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    client, _ = world.client()
    first, second = queue(world, client.id, 2)

    def away(_job: Job) -> None:
        raise TransientError("Step Functions is away")

    with monkeypatch.context() as patched:
        patched.setattr(world.workflow, "start", away)
        with pytest.raises(TransientError):
            world.admission.admit([client.id])
    assert world.enhancements.queue_position(world.job(first)) == 1
    assert world.job(first).attempt == 1
    assert world.admission.admit([client.id]) == 2
    assert world.job(second).status is JobStatus.ADMITTED


def test_a_round_that_stops_early_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_STARTS", 2)
    world = World()
    client, _ = world.client(max_active=5)
    queue(world, client.id, 5)
    world.queue.ticks.clear()
    started = world.admission.admit([client.id])
    while world.queue.ticks:
        started += world.admission.admit([world.queue.ticks.pop()])
    assert started == 5


def test_a_job_that_another_round_admits_between_two_looks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place in the queue and the job are two rows, read one after the other."""
    world = World()
    client, _ = world.client()
    first, second = queue(world, client.id, 2)
    look = world.jobs.oldest_queued

    def overtaken(client_id: str) -> Job | None:
        found = look(client_id)
        monkeypatch.setattr(world.jobs, "oldest_queued", look)
        assert world.admission.admit([client.id]) == 2
        return world.job(found) if found else None

    monkeypatch.setattr(world.jobs, "oldest_queued", overtaken)
    assert world.admission.admit([client.id]) == 0
    assert {world.job(job).status for job in (first, second)} == {JobStatus.ADMITTED}
