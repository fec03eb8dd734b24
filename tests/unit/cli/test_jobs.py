"""What an operator reads of a job."""

from lambdas.core.services.jobs import JobCounts
from scripts.cli import jobs
from tests.unit.world import World


def test_a_line_names_what_one_looks_for_first() -> None:
    world = World()
    client, _ = world.client()
    job = world.cancelling.cancel(client.id, world.queued_job(client.id).id)
    text = jobs.line(job)
    assert job.id in text
    assert "cancelled" in text
    assert "attempt 1" in text


def test_details_tell_the_place_in_the_queue_and_leave_out_what_is_not_known() -> None:
    world = World()
    client, _ = world.client(max_active=1)
    asset = world.ready_asset(client.id)
    _, second = (world.queued_job(client.id, strength=strength, asset=asset) for strength in (1, 2))
    shown = jobs.details(second, world.operator)
    assert (shown["queue position"], shown["status"], shown["client"]) == (2, "queued", client.id)
    assert not {"finished", "error", "output"} & set(shown)


def test_counts_are_of_all_clients() -> None:
    world = World()
    for name in ("a", "b"):
        client, _ = world.client(name, max_active=1)
        asset = world.ready_asset(client.id)
        for strength in (1, 2):
            world.queued_job(client.id, strength=strength, asset=asset)
        world.admission.admit([client.id])
    assert world.operator.counts() == JobCounts(queued=2, running=2, failed=0)
