"""What a person is told of a deployed stage, and what a destroyed one leaves to the next."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from infra.config import STACK_PARTS, Config
from scripts import stacks
from scripts.cli import main
from scripts.cli import stacks as commands
from scripts.local.paths import LauncherError

CONFIG = Config(stage="prod")
STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/cleartake-prod-{}/{}"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", "eu-west-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_REGION", raising=False)


@pytest.fixture
def formation() -> Any:
    return boto3.client("cloudformation", region_name="eu-west-1")


@pytest.fixture
def stubber(formation: Any) -> Iterator[Stubber]:
    with Stubber(formation) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def published(stubber: Stubber, outputs: dict[str, dict[str, str]]) -> None:
    for part in STACK_PARTS:
        listed = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.get(part, {}).items()]
        stack = {"StackName": part, "CreationTime": 0, "StackStatus": "CREATE_COMPLETE", "Outputs": listed}
        stubber.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": f"cleartake-prod-{part}"})


def deleted(stubber: Stubber, **lives: list[int]) -> None:
    summaries = [
        {
            "StackId": STACK_ID.format(part, life),
            "StackName": f"cleartake-prod-{part}",
            "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
            "DeletionTime": datetime(2026, 1, life, tzinfo=UTC),
            "StackStatus": "DELETE_COMPLETE",
        }
        for part, days in {**lives, "of-somebody-else": [9]}.items()
        for life in days
    ]
    stubber.add_response("list_stacks", {"StackSummaries": summaries}, {"StackStatusFilter": ["DELETE_COMPLETE"]})


def left(stubber: Stubber, part: str, life: int, *resources: tuple[str, str, str, str]) -> None:
    listed = [
        {
            "LogicalResourceId": logical_id,
            "ResourceType": kind,
            "PhysicalResourceId": physical_id,
            "ResourceStatus": status,
            "LastUpdatedTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
        }
        for logical_id, kind, physical_id, status in resources
    ]
    request = {"StackName": STACK_ID.format(part, life)}
    stubber.add_response("list_stack_resources", {"StackResourceSummaries": listed}, request)


def test_after_a_deployment_one_knows_where_it_is_and_how_to_make_a_client(formation: Any, stubber: Stubber) -> None:
    data = {"TableName": "jobs", "AudioBucketName": "audio", "WorkBucketName": "work"}
    published(stubber, {"data": data, "api": {"BaseUrl": "https://speech.example.org"}})
    text = "\n".join(stacks.summary(stacks.outputs(formation, CONFIG), CONFIG))
    for fact in ("https://speech.example.org", "audio", "work", "clients --table jobs create", "make smoke STAGE=prod"):
        assert fact in text
    assert "none: every job runs on functions" in text


def test_a_stack_that_is_not_there_names_the_remedy(formation: Any, stubber: Stubber) -> None:
    stubber.add_client_error("describe_stacks", "ValidationError", "Stack does not exist")
    with pytest.raises(LauncherError, match=r"eu-west-1.*make deploy STAGE=prod"):
        stacks.outputs(formation, CONFIG)


def test_a_new_data_stack_takes_over_what_the_last_one_left(formation: Any, stubber: Stubber) -> None:
    deleted(stubber, data=[2, 7, 5])
    left(
        stubber,
        "data",
        7,
        ("JobsTable10C8EDF6", "AWS::DynamoDB::Table", "jobs", "DELETE_SKIPPED"),
        ("BucketsAudio4495B94E", "AWS::S3::Bucket", "audio", "DELETE_SKIPPED"),
        ("BucketsKeyCD6AF5CF", "AWS::KMS::Key", "1234", "DELETE_SKIPPED"),
        ("BucketsAudioPolicy", "AWS::S3::BucketPolicy", "audio", "DELETE_COMPLETE"),
        ("Logs", "AWS::Logs::LogGroup", "group", "DELETE_SKIPPED"),
    )
    assert stacks.adoption(stacks.kept(formation, CONFIG)) == {
        "JobsTable10C8EDF6": {"TableName": "jobs"},
        "BucketsAudio4495B94E": {"BucketName": "audio"},
        "BucketsKeyCD6AF5CF": {"KeyId": "1234"},
    }


def test_where_nothing_was_left_nothing_is_taken_over(formation: Any, stubber: Stubber) -> None:
    deleted(stubber)
    with pytest.raises(LauncherError, match="left anything behind"):
        stacks.adoption(stacks.kept(formation, CONFIG))


def test_remains_are_listed_and_written_for_the_import(
    formation: Any,
    stubber: Stubber,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "aws", lambda _: formation)
    deleted(stubber, data=[1])
    left(stubber, "data", 1, ("JobsTable10C8EDF6", "AWS::DynamoDB::Table", "jobs", "DELETE_SKIPPED"))
    assert main.main(["remains", "--stage", "prod", "--mapping", str(tmp_path / "new" / "adopt.json")]) == 0
    assert "AWS::DynamoDB::Table     jobs" in capsys.readouterr().out
    assert json.loads((tmp_path / "new" / "adopt.json").read_text()) == {"JobsTable10C8EDF6": {"TableName": "jobs"}}


class TestEmptying:
    def test_every_version_and_half_uploads_go(self) -> None:
        with mock_aws():
            s3 = boto3.client("s3")
            s3.create_bucket(Bucket="audio", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
            s3.put_bucket_versioning(Bucket="audio", VersioningConfiguration={"Status": "Enabled"})
            for body in (b"1", b"2"):
                s3.put_object(Bucket="audio", Key="in/a", Body=body)
            s3.delete_object(Bucket="audio", Key="in/a")
            s3.create_multipart_upload(Bucket="audio", Key="in/b")
            assert stacks.empty(s3, "audio") == 3
            s3.delete_bucket(Bucket="audio")  # S3 refuses while anything is left
            assert s3.list_buckets()["Buckets"] == []

    def test_production_is_never_emptied(self, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        monkeypatch.setattr(commands, "aws", lambda _: pytest.fail("AWS was asked"))
        assert main.main(["empty", "--stage", "prod", "--yes"]) == 0
        assert "keeps its recordings" in capsys.readouterr().out

    def test_nothing_is_emptied_before_the_person_has_said_so(
        self, formation: Any, stubber: Stubber, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        summary = {
            "LogicalResourceId": "Audio",
            "ResourceType": "AWS::S3::Bucket",
            "PhysicalResourceId": "audio",
            "ResourceStatus": "CREATE_COMPLETE",
            "LastUpdatedTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
        }
        stubber.add_response("list_stack_resources", {"StackResourceSummaries": [summary]})
        monkeypatch.setattr(commands, "aws", {"cloudformation": formation}.__getitem__)  # S3 must not be asked
        monkeypatch.setattr("builtins.input", lambda _: "no")
        assert main.main(["empty", "--stage", "dev"]) == 1

    def test_a_stage_that_is_not_there_needs_no_emptying(self, formation: Any, stubber: Stubber) -> None:
        stubber.add_client_error("list_stack_resources", "ValidationError", "Stack does not exist")
        assert stacks.buckets(formation, CONFIG) == []


def test_a_stage_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["outputs", "--stage", "moon"]) == 1
    assert "no stage 'moon'" in capsys.readouterr().err
