"""What an operator may change of a client."""

from collections.abc import Callable

import pytest

from lambdas.core.rates import RateClass
from scripts.cli import clients, main
from tests.unit.world import World

Limit = Callable[..., int]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def limit(world: World, monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Return what runs the command; it reaches the world's clients."""
    monkeypatch.setattr(clients, "_administration", lambda _table: world.administration)
    return lambda *arguments: main.main(["clients", "limit", *arguments])


def test_how_many_jobs_may_run_and_wait_can_be_changed(world: World, limit: Limit) -> None:
    client, _ = world.client(max_active=1, max_queued=2)
    asset = world.ready_asset(client.id)
    for strength in (1, 2):
        world.queued_job(client.id, strength=strength, asset=asset)
    world.admission.admit([client.id])
    assert limit(client.id, "max-active", "2") == limit(client.id, "max-queued", "3") == 0
    assert world.admission.admit([client.id]) == 1
    changed = world.clients.get(client.id)
    assert changed is not None
    assert (changed.max_active, changed.max_queued, len(changed.leases)) == (2, 3, 2)


def test_a_rate_goes_by_its_own_name(world: World, limit: Limit, capsys: pytest.CaptureFixture[str]) -> None:
    client, _ = world.client()
    assert limit(client.id, "native-create", "600") == 0
    changed = world.clients.get(client.id)
    assert changed is not None
    assert changed.rate_limit(RateClass.NATIVE_CREATE) == 600
    assert capsys.readouterr().out == f"{client.id} native-create 600 calls in a minute\n"


@pytest.mark.parametrize("count", ["0", "-1"])
def test_who_shall_do_nothing_is_disabled_and_not_limited(
    world: World, limit: Limit, capsys: pytest.CaptureFixture[str], count: str
) -> None:
    client, _ = world.client()
    assert limit(client.id, "max-active", count) == 1
    assert "at least one" in capsys.readouterr().err
    assert world.clients.get(client.id) == client


def test_nobody_else_is_made(limit: Limit) -> None:
    assert limit("nobody", "max-active", "2") == 1
