"""What an operator reads of a job."""

from lambdas.core.services.failures import classify
from scripts.cli import all_jobs
from scripts.local import observe
from tests.unit.world import World, ref_of


def test_a_line_names_what_one_looks_for_first() -> None:
    world = World()
    client, _ = world.client()
    job = world.cancelling.cancel(client.id, world.queued_job(client.id).id)
    text = all_jobs.line(job)
    assert job.id in text
    assert "cancelled" in text
    assert "attempt 1" in text


def test_details_tell_the_place_in_the_queue_and_leave_out_what_is_not_known() -> None:
    world = World()
    client, _ = world.client(max_active=1)
    asset = world.ready_asset(client.id)
    _, second = (world.queued_job(client.id, strength=strength, asset=asset) for strength in (1, 2))
    shown = all_jobs.details(second, world.operator)
    assert (shown["queue position"], shown["status"], shown["client"]) == (2, "queued", client.id)
    assert not {"finished", "error", "output"} & set(shown)


def test_status_tells_whose_work_waits_runs_and_has_failed() -> None:
    world = World()
    for name in ("busy", "idle"):
        client, _ = world.client(name, max_active=1)
    client = next(one for one in world.clients.all() if one.name == "busy")
    asset = world.ready_asset(client.id)
    failed, running, *_ = (world.queued_job(client.id, strength=strength, asset=asset) for strength in (1, 2, 3, 4))
    world.admission.admit([client.id])
    world.execution.fail(ref_of(world.job(failed)), classify("input_corrupt", "broken frame"))
    world.admission.admit([client.id])
    world.clock.advance(42)
    busy, idle = world.operator.work(now=world.clock.now())
    assert observe.totals([busy, idle]) == {"queued": 2, "running": 1, "failed in a day": 1}
    head, one, failures = all_jobs.client_lines(busy)
    assert head.endswith(f"busy  {client.id}  2 queued, the oldest for 42 s")
    assert running.id in one
    assert failures == "  failed in a day: 1 input_corrupt"
    assert all_jobs.client_lines(idle) == []
    world.clock.advance(24 * 3600)
    (busy, _) = world.operator.work(now=world.clock.now())
    assert not busy.failures
