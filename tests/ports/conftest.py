"""Every port twice: as memory fake and as AWS adapter on moto. The fakes cannot rot."""

import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import moto.kms.models
import pytest
import requests
from botocore.stub import Stubber
from moto import mock_aws
from moto.kms.utils import generate_private_key

from gpu_container.contract import WorkOrder
from lambdas.adapters.aws import dynamodb, job_repository, kms, lanes, messaging, s3, sts, tombstones
from lambdas.adapters.memory import stores, world
from lambdas.core.ports import (
    AssetStore,
    AttemptStore,
    BatchStore,
    ClientRegistry,
    JobRepository,
    LaneLog,
    MultipartUploads,
    ObjectEraser,
    RateCounter,
    TokenSigner,
    TokenVerifier,
    TombstoneStore,
    UsageStore,
)
from lambdas.core.retention import Retention
from lambdas.core.uploads import MultipartUpload

REGION = "us-east-1"
TABLE = "cleartake"
RETENTION = Retention(days=30)
BEGUN_AT = datetime(2010, 11, 10, 20, 48, 33, tzinfo=UTC)
"""When every upload in parts was begun, as moto says."""


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
    usage: UsageStore
    lane_log: LaneLog
    tombstones: TombstoneStore


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with a_region(monkeypatch):
        yield


@contextmanager
def a_region(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pretend to be AWS as long as it is open; every region's first key is the same, for primes take long to find."""
    number = itertools.count()
    monkeypatch.setattr(moto.kms.models, "generate_private_key", lambda spec: _private_key(spec, next(number)))
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


@functools.cache
def _private_key(spec: str, _number: int) -> Any:
    return generate_private_key(spec)


@pytest.fixture(params=["memory", "aws"])
def port_kind(request: pytest.FixtureRequest) -> str:
    if request.param == "aws":
        request.getfixturevalue("aws")
    return str(request.param)


@pytest.fixture
def stores_(port_kind: str) -> Stores:
    if port_kind == "memory":
        clients, assets = stores.MemoryClientRegistry(), stores.MemoryAssetStore()
        jobs = stores.MemoryJobRepository(clients, assets)
        return Stores(assets, clients, jobs, stores.MemoryAttemptStore(), jobs, stores.MemoryLaneLog(), jobs.tombstones)
    table = create_table()
    return Stores(
        dynamodb.DynamoAssetStore(table, RETENTION),
        dynamodb.DynamoClientRegistry(table),
        job_repository.DynamoJobRepository(table, RETENTION),
        dynamodb.DynamoAttemptStore(table, world.ManualClock()),
        dynamodb.DynamoUsageStore(table),
        dynamodb.DynamoLaneLog(table),
        tombstones.DynamoTombstoneStore(table, RETENTION),
    )


@pytest.fixture
def usage(stores_: Stores) -> UsageStore:
    return stores_.usage


@pytest.fixture
def batches(port_kind: str) -> BatchStore:
    if port_kind == "memory":
        return stores.MemoryBatchStore()
    return dynamodb.DynamoBatchStore(create_table(), RETENTION)


@pytest.fixture
def rates(port_kind: str) -> RateCounter:
    if port_kind == "memory":
        return stores.MemoryRateCounter()
    return dynamodb.DynamoRateCounter(create_table())


@pytest.fixture
def token_pair(port_kind: str) -> tuple[TokenSigner, TokenVerifier]:
    if port_kind == "memory":
        tokens = world.MemoryTokens()
        return tokens, tokens
    client = boto3.client("kms")
    key_id = client.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    return kms.KmsTokenSigner(client, key_id), kms.KmsTokenVerifier(client, key_id)


@dataclass
class Issuer:
    """What lends keys, by whose clock they expire, and what it was asked for."""

    port: Any
    now: Callable[[], datetime]
    asked: Callable[[], list[tuple[str, dict[str, str]]]]


@pytest.fixture
def issuer(port_kind: str) -> Issuer:
    if port_kind == "memory":
        clock = world.ManualClock()
        fake = world.MemoryIssuer(clock)
        return Issuer(fake, clock.now, lambda: [(name, dict(tags)) for name, tags in fake.issued])
    client = boto3.client("sts")
    calls: list[dict[str, Any]] = []
    client.meta.events.register("provide-client-params.sts.AssumeRole", lambda params, **_: calls.append(dict(params)))
    role = boto3.client("iam").create_role(RoleName="work", AssumeRolePolicyDocument="{}")["Role"]["Arn"]

    def asked() -> list[tuple[str, dict[str, str]]]:
        assert {call["RoleArn"] for call in calls} == {role}
        return [(call["RoleSessionName"], {tag["Key"]: tag["Value"] for tag in call["Tags"]}) for call in calls]

    return Issuer(sts.StsIssuer(client, role), lambda: datetime.now(UTC), asked)


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
class Messages:
    """The queues that carry one kind of message each, and what lies in them."""

    outcomes: Any
    stops: Any
    erasing: Any
    sent: Callable[[], list[dict[str, Any]]]


@pytest.fixture
def messages(port_kind: str) -> Messages:
    if port_kind == "memory":
        outcomes, stops, erasing = world.MemoryOutcomeQueue(), world.MemoryStopQueue(), world.MemoryEraseQueue()

        def told() -> list[dict[str, Any]]:
            return [
                *({"job_id": outcome.job_id, "status": outcome.status} for outcome in outcomes.told),
                *({"job_id": job.id, "attempt": job.attempt} for job in stops.asked),
                *({"client_id": client_id, "asset_id": asset_id} for client_id, asset_id in erasing.asked),
                *({"client_id": client_id, "job_id": job_id} for client_id, job_id in erasing.asked_for_jobs),
            ]

        return Messages(outcomes, stops, erasing, told)
    client = boto3.client("sqs")
    url = client.create_queue(QueueName="messages")["QueueUrl"]

    def received() -> list[dict[str, Any]]:
        answer = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    return Messages(
        messaging.SqsOutcomeQueue(client, url),
        messaging.SqsStopQueue(client, url),
        messaging.SqsEraseQueue(client, url),
        received,
    )


@dataclass
class Objects:
    port: Any
    eraser: Any
    put: Callable[[str, bytes], None]
    hide: Callable[[str], None]
    begin: Callable[[str], None]
    """Begin to write an object in parts, at `BEGUN_AT`."""


@pytest.fixture
def objects(port_kind: str) -> Objects:
    if port_kind == "memory":
        fake = world.MemoryAudioStorage()
        return Objects(
            fake,
            fake,
            lambda key, body: _ignore(fake.put(key, size_bytes=len(body))),
            lambda key: None,
            lambda key: fake.arriving.update({key: BEGUN_AT}),
        )
    client = boto3.client("s3")
    client.create_bucket(Bucket="audio")
    client.put_bucket_versioning(Bucket="audio", VersioningConfiguration={"Status": "Enabled"})
    port = s3.S3AudioObjects("audio", client)
    return Objects(
        port,
        s3.S3Eraser("audio", client),
        lambda key, body: _ignore(client.put_object(Bucket="audio", Key=key, Body=body, ContentType="audio/wav")),
        lambda key: _ignore(client.delete_object(Bucket="audio", Key=key)),
        lambda key: _ignore(client.create_multipart_upload(Bucket="audio", Key=key)),
    )


@dataclass
class Uploads:
    """Uploads in parts, and a client that sends them."""

    port: MultipartUploads
    eraser: ObjectEraser
    send: Callable[[MultipartUpload, int, bytes], None]
    know_nothing: Callable[[], None] = lambda: None
    """Answer as S3 does after an upload: moto crashes instead."""


@pytest.fixture
def uploads(port_kind: str) -> Uploads:
    if port_kind == "memory":
        fake = world.MemoryAudioStorage()
        return Uploads(fake, fake, lambda upload, number, body: fake.put_part(upload, number, len(body)))
    boto3.client("s3").create_bucket(Bucket="audio")
    role = boto3.client("iam").create_role(RoleName="presign", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    presigner = s3.PresignClient(boto3.client("sts"), role, world.ManualClock(), "virtual", None)
    port = s3.S3MultipartUploads("audio", presigner, upload_ttl_s=900)

    def send(upload: MultipartUpload, number: int, body: bytes) -> None:
        url = port.part_url(upload, number, size_bytes=len(body), md5=None)
        assert requests.put(url, data=body, timeout=5).status_code == 200

    def know_nothing() -> None:
        stubber = Stubber(presigner.get())
        stubber.add_client_error("list_parts", "NoSuchUpload")
        stubber.add_client_error("complete_multipart_upload", "NoSuchUpload")
        stubber.activate()

    return Uploads(port, s3.S3Eraser("audio", boto3.client("s3")), send, know_nothing)


@pytest.fixture
def workflow(port_kind: str) -> Any:
    if port_kind == "memory":
        return world.MemoryWorkflow()
    return messaging.StepFunctionsWorkflow(boto3.client("stepfunctions"), state_machine("Enhancement"))


def state_machine(name: str) -> str:
    """Make a machine whose executions run for a while; return its ARN."""
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    definition = '{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": true}}}'
    client = boto3.client("stepfunctions")
    return str(client.create_state_machine(name=name, definition=definition, roleArn=role)["stateMachineArn"])


@dataclass
class Intakes:
    """What starts intakes, and the keys and numbers of those that were started."""

    port: Any
    started: Callable[[], list[tuple[str, int]]]


@pytest.fixture
def intakes(port_kind: str) -> Intakes:
    if port_kind == "memory":
        fake = world.MemoryIntakes()
        return Intakes(fake, lambda: fake.started)
    role = boto3.client("iam").create_role(RoleName="states", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = boto3.client("stepfunctions")
    definition = '{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": true}}}'
    machine = client.create_state_machine(name="AssetIntake", definition=definition, roleArn=role)["stateMachineArn"]

    def started() -> list[tuple[str, int]]:
        arns = [found["executionArn"] for found in client.list_executions(stateMachineArn=machine)["executions"]]
        found = [client.describe_execution(executionArn=arn) for arn in arns]
        return sorted((_uploaded_key(one["input"]), int(one["name"].rpartition("-")[2])) for one in found)

    return Intakes(messaging.StepFunctionsIntakes(client, machine), started)


def _uploaded_key(event: str) -> str:
    return str(json.loads(event)["detail"]["object"]["key"])


@dataclass
class Backend:
    """A lane, how many orders it has taken with which inference's name, and how to make it refuse."""

    port: Any
    taken: Callable[[], list[tuple[str, WorkOrder]]]
    refuse: Callable[[str], None]


@pytest.fixture(params=["memory", "sagemaker", "cpu", "cpu-fan-out"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "memory":
        fake = world.MemoryBackend()
        return Backend(fake, lambda: list(zip(fake.inference_ids, fake.orders, strict=True)), fake.refuse)
    request.getfixturevalue("aws")
    made = {"sagemaker": _sagemaker, "cpu": _function, "cpu-fan-out": _fan_out}
    return made[request.param]()


def _sagemaker() -> Backend:
    """Stub the runtime, which moto has not for asynchronous calls; the orders lie in moto's S3."""
    storage, runtime = boto3.client("s3"), boto3.client("sagemaker-runtime")
    storage.create_bucket(Bucket="work")
    stubber, asked = _stubbed(runtime, "InvokeEndpointAsync")
    answer = {"OutputLocation": "s3://work/async/out/x.out", "FailureLocation": "s3://work/async/failed/x.out"}
    stubber.add_response("invoke_endpoint_async", answer)

    def taken() -> list[tuple[str, WorkOrder]]:
        return [(call["InferenceId"], _order_at(storage, call["InputLocation"])) for call in asked]

    return Backend(
        messaging.SageMakerAsyncBackend(storage, runtime, "gpu", "work"),
        taken,
        lambda code: _refuse(stubber, "invoke_endpoint_async", code),
    )


def _order_at(storage: Any, location: str) -> WorkOrder:
    bucket, key = location.removeprefix("s3://").split("/", 1)
    return WorkOrder.model_validate_json(storage.get_object(Bucket=bucket, Key=key)["Body"].read())


def _function() -> Backend:
    client = boto3.client("lambda")
    stubber, asked = _stubbed(client, "Invoke")
    stubber.add_response("invoke", {"StatusCode": 202})

    def taken() -> list[tuple[str, WorkOrder]]:
        assert {call["InvocationType"] for call in asked} <= {"Event"}
        events = [json.loads(call["Payload"]) for call in asked]
        return [(event["inference_id"], WorkOrder.model_validate(event)) for event in events]

    port = lanes.LambdaBackend(client, "enhance-cpu")
    return Backend(port, taken, lambda code: _refuse(stubber, "invoke", code))


def _fan_out() -> Backend:
    client, machine = boto3.client("stepfunctions"), state_machine("FanOut")
    stubber = Stubber(client)

    def taken() -> list[tuple[str, WorkOrder]]:
        found = client.list_executions(stateMachineArn=machine)["executions"]
        described = [client.describe_execution(executionArn=one["executionArn"]) for one in found]
        return [(one["name"], WorkOrder.model_validate(json.loads(one["input"])["order"])) for one in described]

    def refuse(code: str) -> None:
        stubber.add_client_error("start_execution", code)
        stubber.activate()

    return Backend(lanes.StateMachineBackend(client, machine), taken, refuse)


def _stubbed(client: Any, operation: str) -> tuple[Stubber, list[dict[str, Any]]]:
    """Return a stubber and the list of what the client will have been asked."""
    asked: list[dict[str, Any]] = []
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(
        f"provide-client-params.{service}.{operation}", lambda params, **_: asked.append(dict(params))
    )
    stubber = Stubber(client)
    stubber.activate()
    return stubber, asked


def _refuse(stubber: Stubber, method: str, code: str) -> None:
    stubber._queue.clear()
    stubber.add_client_error(method, code)


def _ignore(_value: object) -> None:
    return None
