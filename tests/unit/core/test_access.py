"""Who is lent keys, to what, and until when."""

import logging

import pytest

from gpu_container.contract import AccessGrant, AccessRefusal, ProbeAccess, WorkAccess, WorkOrder
from lambdas.core.access import Tag, Tags
from lambdas.core.jobs import Job
from tests.unit.world import World, ref_of

WIDEST_UPLOAD = f"{'c' * 32}/{'a' * 36}"


@pytest.fixture
def world() -> World:
    return World()


def dispatched(world: World, *, strength: float = 93) -> Job:
    client, _ = world.client(f"client {strength}")
    job = world.queued_job(client.id, strength=strength)
    world.admission.admit([client.id])
    world.dispatch.dispatch(ref_of(world.job(job)), f"token-{strength}")
    return world.job(job)


def asked_by(order: WorkOrder) -> WorkAccess:
    assert order.task_token
    return WorkAccess(job_id=order.job_id, attempt=order.attempt, task_token=order.task_token)


def lent(world: World, order: WorkOrder) -> Tags | None:
    """Return the tags of what the order's worker is lent, None where it is refused."""
    answer = world.access.answer(asked_by(order))
    return world.issuer.issued[-1][1] if isinstance(answer, AccessGrant) else None


def test_a_worker_is_lent_the_keys_of_its_order(world: World) -> None:
    job = dispatched(world)
    order = world.backend.orders[-1]

    tags = lent(world, order)

    assert tags is not None
    assert order.input.key == f"in/{tags[Tag.UPLOAD]}"
    assert order.output.key == f"out/{tags[Tag.UPLOAD]}/{tags[Tag.JOB]}"
    assert order.wet
    assert order.wet.key == f"wet/{tags[Tag.UPLOAD]}/{tags[Tag.WET]}"
    assert tags[Tag.CLIENT] == job.client_id
    assert world.issuer.issued[-1][0] == job.execution_name


def test_who_never_got_the_order_gets_no_keys(world: World) -> None:
    mine, other = (dispatched(world, strength=strength) for strength in (1, 2))
    token = world.backend.orders[0].task_token or ""
    for job_id, attempt, wrong in (
        (mine.id, 1, "token-2"),
        (mine.id, 1, ""),
        (mine.id, 2, token),
        (other.id, 1, token),
        ("no-job", 1, token),
        # The name that the notices carry: it is no attempt's.
        (mine.id + "-1", 1, token),
    ):
        asked = WorkAccess(job_id=job_id, attempt=attempt, task_token=wrong)
        assert isinstance(world.access.answer(asked), AccessRefusal)
    assert world.issuer.issued == []


def test_an_order_that_was_handed_over_again_is_the_later_workers(world: World) -> None:
    job = dispatched(world)
    world.dispatch.dispatch(ref_of(job), "another token")
    first, second = world.backend.orders
    assert lent(world, first) is None
    assert lent(world, second)


def test_nobody_is_lent_keys_for_what_nobody_waits_for(world: World) -> None:
    job = dispatched(world)
    order = world.backend.orders[-1]
    assert lent(world, order)
    world.cancelling.cancel(job.client_id, job.id)
    assert lent(world, order) is None


def test_a_deleted_asset_is_closed_to_its_workers(world: World) -> None:
    job = dispatched(world)
    world.deletion.delete(job.client_id, job.asset_id)
    assert lent(world, world.backend.orders[-1]) is None


def test_a_probe_may_read_its_upload_and_nothing_else(world: World) -> None:
    client, _ = world.client()
    asset = world.waiting_asset(client.id)
    assert isinstance(world.access.answer(ProbeAccess(input_key=asset.object_key)), AccessGrant)
    assert world.issuer.issued == [(asset.id, {Tag.UPLOAD: f"{client.id}/{asset.id}"})]


def test_a_probe_that_comes_late_may_still_read(world: World) -> None:
    """Events come twice: the second probe must end as the first did, not as a failure."""
    client, _ = world.client()
    asset = world.ready_asset(client.id)
    assert isinstance(world.access.answer(ProbeAccess(input_key=asset.object_key)), AccessGrant)
    world.deletion.delete(client.id, asset.id)
    assert isinstance(world.access.answer(ProbeAccess(input_key=asset.object_key)), AccessRefusal)


@pytest.mark.parametrize("key", ["", "in/c1/unknown", "out/c1/a1/j1-1", "in/*/*", "in/c1/a1/../a2"])
def test_no_other_key_opens_anything(world: World, key: str) -> None:
    assert isinstance(world.access.answer(ProbeAccess(input_key=key)), AccessRefusal)


def test_tags_fit_into_a_session(world: World) -> None:
    """STS packs them into less than 500 bytes; longest are a version's id (S3: 64 characters at most seen) and ids."""
    dispatched(world)
    tags = dict(lent(world, world.backend.orders[-1]) or {})
    tags[Tag.UPLOAD] = WIDEST_UPLOAD
    tags[Tag.WET] = f"{'v' * 64}/dfn3-hq-auto"
    assert sum(len(name) + len(value) for name, value in tags.items()) < 256
    assert all(len(value) <= 256 for value in tags.values())


def test_neither_tokens_nor_keys_are_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    dispatched(world)
    asked = asked_by(world.backend.orders[-1])
    answer = world.access.answer(asked)
    world.access.answer(asked.model_copy(update={"task_token": "a-wrong-token"}))
    assert isinstance(answer, AccessGrant)
    shown = caplog.text + repr(asked) + repr(answer)
    for secret in (asked.task_token, "a-wrong-token", "secret_access_key", "session_token"):
        assert secret not in shown
