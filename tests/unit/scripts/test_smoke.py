"""The smoke test: finds what is deployed, borrows a client, names the step that fails."""

import pytest

from lambdas.core.errors import DomainError
from scripts.cli import main
from scripts.smoke import CLIENT_NAME, caller
from tests.unit.world import World

GRANT = "client_credentials"


def test_one_client_is_used_again_with_a_new_secret_each_time() -> None:
    world = World()
    first = caller(world.administration, "https://x")
    again = caller(world.administration, "https://x")
    third = caller(world.administration, "https://x")
    assert [client.name for client in world.clients.all()] == [CLIENT_NAME]
    assert first.client_id == again.client_id == third.client_id
    issue = world.tokens.issue
    assert issue(grant_type=GRANT, client_id=third.client_id, client_secret=third.client_secret)
    with pytest.raises(DomainError):
        issue(grant_type=GRANT, client_id=first.client_id, client_secret=first.client_secret)


def test_without_a_region_it_says_so_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert main.main(["smoke"]) == 1
    assert "make preflight" in capsys.readouterr().err
    assert main.main(["smoke", "--stage", "moon"]) == 1
