"""The smoke test: finds what is deployed, borrows a client, names the step that fails."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.app import STACK_PARTS
from infra.config import Config
from lambdas.core.errors import DomainError
from scripts.cli import main
from scripts.cli.smoke import target_of
from scripts.local.paths import LauncherError
from scripts.smoke import CLIENT_NAME, caller
from tests.unit.world import World

CONFIG = Config(stage="stage")
GRANT = "client_credentials"


@pytest.fixture
def formation(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    return boto3.client("cloudformation", region_name="eu-west-1")


def test_the_stacks_outputs_say_where_it_is(formation: Any) -> None:
    outputs = {
        "data": [{"OutputKey": "TableName", "OutputValue": "jobs"}],
        "api": [{"OutputKey": "RestApiId", "OutputValue": "abc"}, {"OutputKey": "StageName", "OutputValue": "stage"}],
    }
    with Stubber(formation) as stubber:
        for part in STACK_PARTS:
            stack = {"StackName": part, "CreationTime": 0, "StackStatus": "CREATE_COMPLETE"}
            answer = {"Stacks": [{**stack, "Outputs": outputs.get(part, [])}]}
            stubber.add_response("describe_stacks", answer, {"StackName": f"cleartake-stage-{part}"})
        target = target_of(formation, CONFIG, region="eu-west-1")
    assert target.base_url == "https://abc.execute-api.eu-west-1.amazonaws.com/stage"
    assert target.table == "jobs"


def test_a_stack_that_is_not_there_names_the_remedy(formation: Any) -> None:
    with Stubber(formation) as stubber:
        stubber.add_client_error("describe_stacks", "ValidationError", "Stack does not exist")
        with pytest.raises(LauncherError, match="make deploy STAGE=stage"):
            target_of(formation, CONFIG, region="eu-west-1")


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
