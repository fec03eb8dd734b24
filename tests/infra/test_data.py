"""What clients entrust to the service: encrypted, private, recoverable, gone when its time is over."""

import json

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template

from infra.config import Config
from infra.stacks.data import DataStack
from lambdas.core.retention import UNFINISHED_UPLOAD_KEPT
from scripts.stacks import IDENTIFIERS
from tests.infra.templates import Assembly

STATEFUL = {
    "AWS::DynamoDB::Table": {"JobsTable10C8EDF6"},
    "AWS::S3::Bucket": {"BucketsAudio4495B94E", "BucketsWorkA672F448", "BucketsAccessLogsA5F88218"},
    "AWS::KMS::Key": {"BucketsKeyCD6AF5CF", "SigningKeyEEFC2790", "WebhookKeyFF363931"},
}
"""A changed logical id makes CloudFormation replace the resource, and its content is lost."""


def test_logical_ids_of_stateful_resources_never_change(aws: Assembly) -> None:
    for kind, names in STATEFUL.items():
        found = {name for name in aws.of_type(kind) if name.startswith("data/")}
        assert {name.removeprefix("data/") for name in found} == names


def test_table_expires_recovers_and_is_encrypted(aws: Assembly) -> None:
    table = aws.one("AWS::DynamoDB::Table")
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_table_has_the_three_indexes(aws: Assembly) -> None:
    table = aws.one("AWS::DynamoDB::Table")
    for index in table["GlobalSecondaryIndexes"]:
        name = index["IndexName"]
        assert index["KeySchema"] == [
            {"AttributeName": f"{name}pk", "KeyType": "HASH"},
            {"AttributeName": f"{name}sk", "KeyType": "RANGE"},
        ]
        assert index["Projection"] == {"ProjectionType": "ALL"}
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["gsi1", "gsi2", "gsi3"]
    assert {attribute["AttributeType"] for attribute in table["AttributeDefinitions"]} == {"S"}


def test_no_bucket_is_public(aws: Assembly) -> None:
    for name, bucket in aws.of_type("AWS::S3::Bucket").items():
        block = bucket["Properties"]["PublicAccessBlockConfiguration"]
        assert set(block.values()) == {True}, name
        assert len(block) == 4, name


def test_buckets_take_tls_only(aws: Assembly) -> None:
    policies = aws.of_type("AWS::S3::BucketPolicy").values()
    guarded = {
        policy["Properties"]["Bucket"]["Ref"]
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert guarded == STATEFUL["AWS::S3::Bucket"]


def test_audio_is_encrypted_with_a_key_of_the_customer(aws: Assembly) -> None:
    for name in ("Audio", "Work"):
        bucket = aws.one("AWS::S3::Bucket", f"Buckets{name}")
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        assert rule["BucketKeyEnabled"] is True
        assert bucket["LoggingConfiguration"]["LogFilePrefix"] == f"{name.lower()}/"
    assert aws.one("AWS::KMS::Key", "BucketsKey")["EnableKeyRotation"] is True


def test_audio_is_versioned_announced_and_expires(aws: Assembly) -> None:
    bucket = aws.one("AWS::S3::Bucket", "BucketsAudio")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True
    rules = {rule["Prefix"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert set(rules) == {"in/", "out/"}
    for rule in rules.values():
        assert rule["ExpirationInDays"] == 30
        # What has expired becomes noncurrent: it is then really gone, before its row is.
        assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    unfinished_days = {
        prefix: rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for prefix, rule in rules.items()
    }
    assert unfinished_days == {"in/": UNFINISHED_UPLOAD_KEPT.days, "out/": 1}


@pytest.mark.parametrize(("retention_days", "work_days"), [(30, 7), (3, 3)])
def test_nothing_that_was_made_of_a_recording_outlives_it(retention_days: int, work_days: int) -> None:
    app = App(analytics_reporting=False)
    template = Template.from_stack(DataStack(app, Config(retention_days=retention_days))).to_json()
    (work,) = (
        r for name, r in template["Resources"].items() if name.startswith("BucketsWork") and "Policy" not in name
    )
    assert [rule["ExpirationInDays"] for rule in work["Properties"]["LifecycleConfiguration"]["Rules"]] == [work_days]


def test_functions_keep_rows_as_long_as_the_buckets_keep_objects(aws: Assembly) -> None:
    days = {f["Environment"]["Variables"].get("CLEARTAKE_RETENTION_DAYS") for f in aws.functions().values()}
    assert days - {None} == {"30"}


def test_signing_key_signs_only(aws: Assembly) -> None:
    key = aws.one("AWS::KMS::Key", "SigningKey")
    assert (key["KeySpec"], key["KeyUsage"]) == ("RSA_2048", "SIGN_VERIFY")


@pytest.mark.parametrize(("stage", "policy", "protected"), [("prod", "Retain", True), ("dev", "Delete", False)])
def test_production_outlives_its_stack(stage: str, policy: str, protected: bool) -> None:
    app = App(analytics_reporting=False)
    template = Template.from_stack(DataStack(app, Config.model_validate({"stage": stage}))).to_json()
    for kind in STATEFUL:
        kept = {r["DeletionPolicy"] for r in template["Resources"].values() if r["Type"] == kind}
        assert kept == {policy}, kind
    table = next(r for r in template["Resources"].values() if r["Type"] == "AWS::DynamoDB::Table")
    assert table["Properties"]["DeletionProtectionEnabled"] is protected


def test_queues_and_topics_take_tls_only(aws: Assembly) -> None:
    for queues, policies in (
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy"),
    ):
        guarded = json.dumps([p for p in aws.of_type(policies).values() if "aws:SecureTransport" in json.dumps(p)])
        for name in aws.of_type(queues):
            assert f'"{name.split("/")[1]}"' in guarded, name


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    return Assembly.make(Config(stage="prod", bundle=False), tmp_path_factory.mktemp("prod"))


def test_what_production_keeps_never_stands_in_the_way_of_its_next_stack(production: Assembly) -> None:
    """A kept resource with a fixed name would fail the stack that is made again: "already exists"."""
    naming = {"LogGroupName", "TableName", "BucketName", "AliasName", "QueueName", "TopicName", "RepositoryName"}
    for name, resource in production.all().items():
        given = [resource["Properties"][key] for key in naming & resource.get("Properties", {}).keys()]
        if resource.get("DeletionPolicy") == "Retain":
            assert all("AWS::StackId" in json.dumps(value) for value in given), name


def test_what_production_keeps_can_be_taken_over_by_its_next_stack(production: Assembly) -> None:
    """``cdk import`` makes a stack of these resources alone, so none may speak of any other."""
    data = production.templates["data"]["Resources"]
    stateful = {name for name, resource in data.items() if resource["Type"] in STATEFUL}
    assert {data[name]["Type"] for name in stateful} == set(IDENTIFIERS)
    for name in stateful:
        assert data[name]["DeletionPolicy"] == "Retain"
        assert _spoken_of(data[name]) <= stateful, name


def _spoken_of(value: object) -> set[str]:
    """Return the logical ids of all resources that ``value`` refers to."""
    match value:
        case {"Ref": str(name)}:
            return set() if name.startswith("AWS::") else {name}
        case {"Fn::GetAtt": [str(name), _]}:
            return {name}
        case dict():
            depends = value.get("DependsOn", [])
            return set(depends) | set().union(*map(_spoken_of, value.values()))
        case list():
            return set().union(*map(_spoken_of, value))
        case _:
            return set()
