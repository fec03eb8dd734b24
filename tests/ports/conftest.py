"""Every port twice: as memory fake and as AWS adapter on moto. The fakes cannot rot."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lambdas.adapters.aws import dynamodb, kms, messaging, s3
from lambdas.adapters.memory import stores, world
from lambdas.core.ports import (
    AssetStore,
    AttemptStore,
    ClientRegistry,
    JobRepository,
    TokenSigner,
    TokenVerifier,
)

REGION = "us-east-1"
TABLE = "cleartake"


def create_table() -> Any:
    names = ("pk", "sk", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk", "gsi3pk", "gsi3sk")
    return boto3.resource("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": f"{index}pk", "KeyType": "HASH"},
                    {"AttributeName": f"{index}sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
            for index in ("gsi1", "gsi2", "gsi3")
        ],
    )


@dataclass
class Stores:
    assets: AssetStore
    clients: ClientRegistry
    jobs: JobRepository
    attempts: AttemptStore


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


@pytest.fixture(params=["memory", "aws"])
def port_kind(request: pytest.FixtureRequest) -> str:
    if request.param == "aws":
        request.getfixturevalue("aws")
    return str(request.param)


@pytest.fixture
def stores_(port_kind: str) -> Stores:
    if port_kind == "memory":
        clients = stores.MemoryClientRegistry()
        return Stores(
            stores.MemoryAssetStore(), clients, stores.MemoryJobRepository(clients), stores.MemoryAttemptStore()
        )
    table = create_table()
    return Stores(
        dynamodb.DynamoAssetStore(table),
        dynamodb.DynamoClientRegistry(table),
        dynamodb.DynamoJobRepository(table),
        dynamodb.DynamoAttemptStore(table, world.ManualClock()),
    )


@pytest.fixture
def token_pair(port_kind: str) -> tuple[TokenSigner, TokenVerifier]:
    if port_kind == "memory":
        tokens = world.MemoryTokens()
        return tokens, tokens
    client = boto3.client("kms")
    key_id = client.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    return kms.KmsTokenSigner(client, key_id), kms.KmsTokenVerifier(client, key_id)


@dataclass
class Queue:
    port: Any
    ticks: Callable[[], list[str]]


@pytest.fixture
def queue(port_kind: str) -> Queue:
    if port_kind == "memory":
        fake = world.MemoryAdmissionQueue()
        return Queue(fake, lambda: list(fake.ticks))
    client = boto3.client("sqs")
    url = client.create_queue(QueueName="admit.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]

    def ticks() -> list[str]:
        messages = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["MessageGroupId"]
        )
        return [message["Attributes"]["MessageGroupId"] for message in messages.get("Messages", [])]

    return Queue(messaging.SqsAdmissionQueue(client, url), ticks)


@dataclass
class Objects:
    port: Any
    put: Callable[[str, bytes], None]


@pytest.fixture
def objects(port_kind: str) -> Objects:
    if port_kind == "memory":
        fake = world.MemoryAudioStorage()
        return Objects(fake, lambda key, body: _ignore(fake.put(key, size_bytes=len(body))))
    client = boto3.client("s3")
    client.create_bucket(Bucket="audio")
    client.put_bucket_versioning(Bucket="audio", VersioningConfiguration={"Status": "Enabled"})
    port = s3.S3AudioObjects("audio", client)
    return Objects(
        port, lambda key, body: _ignore(client.put_object(Bucket="audio", Key=key, Body=body, ContentType="audio/wav"))
    )


@pytest.fixture
def workflow(port_kind: str) -> Any:
    if port_kind == "memory":
        return world.MemoryWorkflow()
    role = boto3.client("iam").create_role(RoleName="states", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = boto3.client("stepfunctions")
    definition = '{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": true}}}'
    machine = client.create_state_machine(name="Enhancement", definition=definition, roleArn=role)
    return messaging.StepFunctionsWorkflow(client, machine["stateMachineArn"])


def _ignore(_value: object) -> None:
    return None
