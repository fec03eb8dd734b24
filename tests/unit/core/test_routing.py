"""Where a job runs: the table, its factors, and what happens where a lane has no room."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_container.engine.models import model_names
from infra.config import MEASURED_SPEEDS
from lambdas.core.errors import TransientError
from lambdas.core.jobs import Job, JobStatus
from lambdas.core.routing import (
    MAX_PARTS,
    MIN_LAST_PART,
    Lane,
    LaneSpeed,
    TooLongError,
    Work,
    estimate_s,
    fitting,
    in_order,
    parts_of,
)
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
        ({Lane.GPU, Lane.CPU, Lane.CPU_FAN_OUT}, True, (Lane.GPU, Lane.CPU, Lane.CPU_FAN_OUT)),
        ({Lane.GPU, Lane.CPU_FAN_OUT}, False, (Lane.CPU_FAN_OUT, Lane.GPU)),
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
    assert in_order(fitting(work(2 * HOUR_S), MEASURED_SPEEDS), gpu_is_warm=False)[0] is Lane.CPU
    assert in_order(fitting(work(4 * HOUR_S), MEASURED_SPEEDS), gpu_is_warm=False) == (Lane.CPU_FAN_OUT, Lane.GPU)
    assert fitting(work(9 * HOUR_S), MEASURED_SPEEDS) == {Lane.GPU}
    with pytest.raises(TooLongError, match="too long"):
        fitting(work(24 * HOUR_S), MEASURED_SPEEDS)


def test_an_avoided_lane_is_taken_only_where_there_is_no_other() -> None:
    assert fitting(work(60), MEASURED_SPEEDS, avoided=(Lane.GPU,)) == {Lane.CPU}
    assert fitting(work(9 * HOUR_S), MEASURED_SPEEDS, avoided=(Lane.GPU,)) == {Lane.GPU}


def test_of_a_fan_out_the_longest_function_counts() -> None:
    speed = LaneSpeed(
        {"dfn3": 0.1}, {"dfn3": 0.2}, dereverb=0.1, report=0.02, codecs=0.01, limit_s=600, part_s=1000, decode=0.005
    )
    # The longest part is a quarter longer, and its decoding begins with the file.
    assert estimate_s(work(10_000), speed) == pytest.approx(1250 * 0.2 + 10_000 * 0.005)
    # The assembly has all of the file.
    assert estimate_s(work(39_000), speed) == pytest.approx(39_000 * 0.03)
    # More than forty parts are longer ones.
    assert estimate_s(work(80_000), replace(speed, report=0, codecs=0)) == pytest.approx(2500 * 0.2 + 80_000 * 0.005)
    # What is one part has nothing to share out.
    assert estimate_s(work(1000), speed) == math.inf


@given(duration_s=st.floats(0, 1e6), part_s=st.integers(3, 7200))
def test_parts_make_a_whole_and_none_is_tiny(duration_s: float, part_s: int) -> None:
    parts = parts_of(duration_s, part_s)
    assert 1 <= len(parts) <= MAX_PARTS
    assert [part.number for part in parts] == list(range(len(parts)))
    assert [part.start_s for part in parts] == [0, *(part.end_s for part in parts[:-1])]
    assert parts[-1].end_s is None
    lengths = [(part.end_s or max(duration_s, part.start_s)) - part.start_s for part in parts]
    if len(parts) > 1:
        assert min(lengths) >= MIN_LAST_PART * max(lengths[:-1])
        assert max(lengths) <= (1 + MIN_LAST_PART) * max(part_s, math.ceil(duration_s / MAX_PARTS))


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


@pytest.fixture
def fanned_out(world: World) -> World:
    world.warmth.warm = False
    world.speeds[Lane.CPU_FAN_OUT] = replace(world.speeds[Lane.CPU], part_s=1800)
    return world


def test_a_file_too_long_for_a_function_is_shared_out_before_a_gpu_is_woken(fanned_out: World) -> None:
    job = dispatched(fanned_out, duration_s=2 * HOUR_S)
    assert job.lane is Lane.CPU_FAN_OUT
    (order,) = fanned_out.fan_out.orders
    assert [(part.start_s, part.end_s) for part in order.parts] == [
        (0, 1800),
        (1800, 3600),
        (3600, 5400),
        (5400, None),
    ]
    assert order.wet is not None


def test_only_the_lane_that_works_in_parts_gets_parts(fanned_out: World) -> None:
    fanned_out.fan_out.refuse()
    assert dispatched(fanned_out, duration_s=2 * HOUR_S).lane is Lane.GPU
    assert [order.parts for order in fanned_out.backend.orders] == [()]


def test_a_fan_out_that_died_is_left_for_another_lane(fanned_out: World) -> None:
    job = dispatched(fanned_out, duration_s=2 * HOUR_S)
    fanned_out.execution.fail(ref_of(job), classify(LANE_DIED, "FAILED"))
    fanned_out.admission.admit([job.client_id])
    fanned_out.dispatch.dispatch(ref_of(fanned_out.job(job)), "token-2")
    assert (fanned_out.job(job).attempt, fanned_out.job(job).lane) == (2, Lane.GPU)


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
