"""An upload whose event, or whose intake, was lost on the way: its client has done its part and waits."""

from datetime import timedelta

import pytest

from lambdas.core.assets import Asset
from lambdas.core.retention import UNFINISHED_UPLOAD_KEPT
from lambdas.core.workflow import INTAKE_GIVEN_UP_S, INTAKE_GRACE_S, SWEEP_INTERVAL_S
from tests.unit.world import World


@pytest.fixture
def world() -> World:
    return World()


def waiting_asset(world: World) -> Asset:
    client, _ = world.client()
    return world.waiting_asset(client.id)


def sweep_for(world: World, time_s: float) -> None:
    for _ in range(int(time_s / SWEEP_INTERVAL_S)):
        world.clock.advance(SWEEP_INTERVAL_S)
        world.housekeeping.tidy()


def test_its_intake_is_started_in_the_events_place(world: World) -> None:
    asset = waiting_asset(world)
    sweep_for(world, INTAKE_GRACE_S)
    assert world.intakes.started == []
    sweep_for(world, SWEEP_INTERVAL_S)
    assert world.intakes.started == [(asset.object_key, 0)]


def test_it_is_started_again_after_ever_longer_times_and_not_for_ever(world: World) -> None:
    waiting_asset(world)
    sweep_for(world, 2 * INTAKE_GIVEN_UP_S)
    started = [again for _, again in world.intakes.started]
    assert started == list(range(12))
    last_turn = timedelta(seconds=INTAKE_GRACE_S * 2 ** started[-1])
    assert last_turn > UNFINISHED_UPLOAD_KEPT, "an upload may end as late as that"


def test_a_lost_sweep_costs_no_turn(world: World) -> None:
    asset = waiting_asset(world)
    world.clock.advance(INTAKE_GRACE_S + 1.9 * SWEEP_INTERVAL_S)
    world.housekeeping.tidy()
    assert world.intakes.started == [(asset.object_key, 0)]


def test_a_settled_upload_is_left_alone(world: World) -> None:
    client, _ = world.client()
    world.ready_asset(client.id)
    sweep_for(world, INTAKE_GIVEN_UP_S)
    assert world.intakes.started == []
