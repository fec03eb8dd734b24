"""What a lane is asked to do."""

from gpu_container.contract import ReportLevel, WorkOrder
from lambdas.core.assets import Asset
from tests.unit.world import World, ref_of


def dispatched(world: World, client_id: str, asset: Asset, strength: float) -> WorkOrder:
    job = world.queued_job(client_id, strength=strength, asset=asset)
    world.admission.admit([client_id])
    world.dispatch.dispatch(ref_of(world.job(job)), f"token-{strength}")
    return world.backend.orders[-1]


def test_every_strength_of_an_asset_shares_one_wet_track_and_has_a_result_of_its_own() -> None:
    world = World()
    client, _ = world.client()
    asset = world.ready_asset(client.id)

    first, second = (dispatched(world, client.id, asset, strength) for strength in (40, 80))

    assert first.wet
    assert first.wet == second.wet
    assert first.wet.bucket == "work"
    assert first.output != second.output


def test_assets_do_not_share_wet_tracks() -> None:
    world = World()
    client, _ = world.client()

    first, second = (dispatched(world, client.id, world.ready_asset(client.id), 40) for _ in range(2))

    assert first.wet != second.wet


def test_every_enhancement_is_reported_on() -> None:
    world = World()
    client, _ = world.client()

    assert dispatched(world, client.id, world.ready_asset(client.id), 40).report is ReportLevel.FULL
