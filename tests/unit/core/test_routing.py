"""Where a job runs: the table, its factors, and what happens where a lane has no room."""

from dataclasses import replace

import pytest

from gpu_container.engine.models import model_names
from infra.config import MEASURED_SPEEDS
from lambdas.core.errors import TransientError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.routing import Lane, TooLongError, Work, estimate_s, fitting, in_order
from lambdas.core.services.failures import LANE_DIED, NO_CAPACITY, classify
from lambdas.core.workflow import GPU_START_LIMIT_S
from tests.unit.core.executions import Lane as Worker
from tests.unit.world import World, ref_of

HOUR_S = 3600


def work(duration_s: float, *, model: str = "dfn3", channels: int = 1) -> Work:
    return Work(model, channels, duration_s, dereverb=True, report=True)


@pytest.mark.parametrize(
    ("able", "warm", "expected"),
    [
        ({Lane.GPU, Lane.CPU}, True, (Lane.GPU, Lane.CPU)),
        ({Lane.GPU, Lane.CPU}, False, (Lane.CPU, Lane.GPU)),
        ({Lane.GPU}, False, (Lane.GPU,)),
        ({Lane.CPU}, False, (Lane.CPU,)),
    ],
)
def test_a_warm_gpu_comes_first_and_a_cold_one_last(able: set[Lane], warm: bool, expected: tuple[Lane, ...]) -> None:
    assert in_order(able, gpu_is_warm=warm) == expected


def test_estimates_add_up() -> None:
    speed = MEASURED_SPEEDS[Lane.CPU]
    assert estimate_s(work(100), speed) == pytest.approx(100 * (0.011 + 0.012 + 0.027 + 0.02))
    assert estimate_s(work(100, channels=2), speed) == pytest.approx(100 * (0.017 + 0.012 + 2 * 0.027 + 0.02))
    assert estimate_s(work(100, channels=6), speed) > 2 * estimate_s(work(100, channels=2), speed)
    assert estimate_s(work(100, model="unheard-of"), speed) == estimate_s(work(100, model="dfn3-hq"), speed)


def test_a_lecture_fits_into_a_function_and_a_day_into_nothing() -> None:
    assert fitting(work(2 * HOUR_S), MEASURED_SPEEDS) == {Lane.CPU, Lane.GPU}
    assert fitting(work(8 * HOUR_S), MEASURED_SPEEDS) == {Lane.GPU}
    with pytest.raises(TooLongError, match="too long"):
        fitting(work(24 * HOUR_S), MEASURED_SPEEDS)


def test_an_avoided_lane_is_taken_only_where_there_is_no_other() -> None:
    assert fitting(work(60), MEASURED_SPEEDS, avoided=(Lane.GPU,)) == {Lane.CPU}
    assert fitting(work(8 * HOUR_S), MEASURED_SPEEDS, avoided=(Lane.GPU,)) == {Lane.GPU}


@pytest.fixture
def world() -> World:
    return World()


def admitted(world: World, *, duration_s: float = 10.0) -> Job:
    client, _ = world.client()
    asset = world.ready_asset(client.id)
    assert asset.facts is not None
    facts = asset.facts.model_copy(update={"duration_s": duration_s})
    asset = world.asset_store.save(replace(asset, facts=facts))
    job = world.queued_job(client.id, asset=asset)
    world.admission.admit([client.id])
    return world.job(job)


def dispatched(world: World, **more: float) -> Job:
    job = admitted(world, **more)
    world.dispatch.dispatch(ref_of(job), "token-1")
    return world.job(job)


def test_a_cold_gpu_is_not_woken_for_a_short_file(world: World) -> None:
    world.warmth.warm = False
    job = dispatched(world)
    assert job.lane is Lane.CPU
    assert [order.job_id for order in world.cpu.orders] == [job.id]
    assert not world.backend.orders


def test_a_file_too_long_for_a_function_wakes_the_gpu(world: World) -> None:
    world.warmth.warm = False
    assert dispatched(world, duration_s=3 * HOUR_S).lane is Lane.GPU


def test_a_file_too_long_for_all_is_refused_in_so_many_words(world: World) -> None:
    del world.speeds[Lane.GPU]
    job = admitted(world, duration_s=3 * HOUR_S)
    with pytest.raises(TooLongError) as refused:
        world.dispatch.dispatch(ref_of(job), "token-1")
    failure = classify(type(refused.value).__name__, str(refused.value))
    assert world.execution.fail(ref_of(job), failure) is JobStatus.FAILED
    assert world.job(job).error_code == "input_too_long"


def test_an_endpoint_that_refuses_loses_the_job_to_the_cpu(world: World) -> None:
    world.backend.refuse()
    job = dispatched(world)
    assert (job.lane, job.status, len(world.cpu.orders)) == (Lane.CPU, JobStatus.DISPATCHED, 1)


def test_where_every_lane_refuses_the_step_is_tried_again(world: World) -> None:
    world.backend.refuse()
    world.cpu.refuse()
    job = admitted(world)
    with pytest.raises(TransientError):
        world.dispatch.dispatch(ref_of(job), "token-1")
    world.backend.refuses = False
    world.dispatch.dispatch(ref_of(job), "token-2")
    assert world.job(job).lane is Lane.GPU


@pytest.mark.parametrize("error", [NO_CAPACITY, LANE_DIED])
def test_the_attempt_after_a_lanes_failure_goes_elsewhere(world: World, error: str) -> None:
    job = dispatched(world)
    assert world.execution.fail(ref_of(job), classify(error, "")) is JobStatus.QUEUED
    world.admission.admit([job.client_id])
    world.dispatch.dispatch(ref_of(world.job(job)), "token-2")
    assert (world.job(job).attempt, world.job(job).lane) == (2, Lane.CPU)


def test_a_worker_on_one_lane_is_no_hope_for_the_other(world: World) -> None:
    """Without a GPU the job waits no longer than the limit, however busy the CPU lane is."""
    waiting = dispatched(world)
    world.warmth.warm = False
    client, _ = world.client("other")
    busy = world.queued_job(client.id)
    world.admission.admit([client.id])
    world.dispatch.dispatch(ref_of(world.job(busy)), "token-busy")
    world.clock.advance(GPU_START_LIMIT_S + 1)
    assert Worker(world).beat(world.cpu.orders[0])
    world.sweep.sweep()
    assert world.tasks.answers == {"token-1": (NO_CAPACITY, "no worker has started in time")}
    assert world.job(waiting).lane is Lane.GPU


def test_the_services_own_speeds_name_every_model() -> None:
    for speed in MEASURED_SPEEDS.values():
        assert set(model_names()) == set(speed.mono) == set(speed.stereo)
