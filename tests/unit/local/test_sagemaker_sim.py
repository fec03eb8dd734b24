"""The SageMaker look-alike, driven by the real boto3 client, with moto's S3, SNS and SQS behind it."""

import asyncio
import base64
import json
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from scripts.local.sagemaker_container import Container
from scripts.local.sagemaker_sim import Endpoint, make_app
from scripts.local.sagemaker_spool import Spool
from tests.unit.http_server import running

ACCOUNT, BUCKET = "123456789012", "work"
REGION: Final = "eu-central-1"
COMMAND = (sys.executable, str(Path(__file__).with_name("fake_container.py")))


@dataclass(frozen=True)
class Topics:
    """Both topics, each with a queue that shows what was published."""

    success: str
    error: str
    queue: str

    def next_message(self, *, limit_s: float = 60) -> dict[str, Any]:
        """Return the next published message; ``topic`` in it says where."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            for found in boto3.client("sqs").receive_message(QueueUrl=self.queue).get("Messages", []):
                boto3.client("sqs").delete_message(QueueUrl=self.queue, ReceiptHandle=found["ReceiptHandle"])
                envelope = json.loads(found["Body"])
                return {**json.loads(envelope["Message"]), "topic": envelope["TopicArn"]}
            time.sleep(0.02)
        pytest.fail("nothing was published")


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Iterator[Topics]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    # The real client below talks to the simulator's own port.
    with mock_aws(config={"core": {"mock_credentials": True, "passthrough": {"urls": [r".*127\.0\.0\.1.*"]}}}):
        boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        queue = boto3.client("sqs").create_queue(QueueName="heard")["QueueUrl"]
        queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:heard"
        arns = [boto3.client("sns").create_topic(Name=name)["TopicArn"] for name in ("success", "error")]
        for arn in arns:
            boto3.client("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
        yield Topics(success=arns[0], error=arns[1], queue=queue)


@pytest.fixture
def endpoint(topics: Topics, tmp_path: Path) -> Endpoint:
    return Endpoint(
        name="enhance",
        output_prefix=f"s3://{BUCKET}/async",
        failure_prefix=f"s3://{BUCKET}/async/failures",
        success_topic=topics.success,
        error_topic=topics.error,
        state_dir=tmp_path / "state",
        command=COMMAND,
    )


class Client:
    """The product's side: boto3's own sagemaker-runtime client."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._runtime = boto3.client("sagemaker-runtime", endpoint_url=url)

    def invoke(self, order: dict[str, Any], *, endpoint: str = "enhance", **parameters: Any) -> dict[str, Any]:
        key = f"orders/{time.time_ns()}.json"
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(order))
        return dict(
            self._runtime.invoke_endpoint_async(
                EndpointName=endpoint,
                InputLocation=f"s3://{BUCKET}/{key}",
                ContentType="application/json",
                **parameters,
            )
        )


@contextmanager
def simulated(endpoint: Endpoint) -> Iterator[Client]:
    with running(make_app(endpoint)) as url:
        deadline = time.monotonic() + 60
        while httpx.get(f"{url}/health", trust_env=False).status_code != 200:
            assert time.monotonic() < deadline, "the container did not become ready"
            time.sleep(0.02)
        yield Client(url)


def stored(location: str) -> Any:
    bucket, key = location.removeprefix("s3://").split("/", 1)
    return json.loads(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def test_success_is_filed_and_published(endpoint: Endpoint, topics: Topics) -> None:
    with simulated(endpoint) as client:
        accepted = client.invoke({"n": 1}, InferenceId="job-1", CustomAttributes="trace", Accept="application/json")
        message = topics.next_message()

    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == "job-1"
    answer = stored(accepted["OutputLocation"])
    assert answer["order"] == {"n": 1}
    received = {name.lower(): value for name, value in answer["headers"].items()}
    assert received["x-amzn-sagemaker-inference-id"] == "job-1"
    assert received["x-amzn-sagemaker-custom-attributes"] == "trace"
    assert received["content-type"] == "application/json"

    assert message.pop("topic") == topics.success
    assert {message.pop(name)[-1] for name in ("eventTime", "receivedTime")} == {"Z"}
    asked = message.pop("requestParameters")
    assert asked.pop("inputLocation").startswith(f"s3://{BUCKET}/orders/")
    assert asked == {
        "accept": "application/json",
        "contentType": "application/json",
        "customAttributes": "trace",
        "endpointName": "enhance",
    }
    assert message == {
        "awsRegion": REGION,
        "invocationStatus": "Completed",
        "responseParameters": {"contentType": "application/json", "outputLocation": accepted["OutputLocation"]},
        "inferenceId": "job-1",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def test_the_container_gets_its_models_environment(endpoint: Endpoint, topics: Topics) -> None:
    with simulated(replace(endpoint, environment={"GREETING": "hello"})) as client:
        accepted = client.invoke({})
        topics.next_message()
    assert stored(accepted["OutputLocation"])["greeting"] == "hello"


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (500, "server")])
def test_failure_is_filed_and_published(endpoint: Endpoint, topics: Topics, status: int, side: str) -> None:
    with simulated(endpoint) as client:
        accepted = client.invoke({"status": status}, InferenceId="job-2")
        message = topics.next_message()

    assert stored(accepted["FailureLocation"])["order"] == {"status": status}
    assert message["topic"] == topics.error
    assert (message["invocationStatus"], message["inferenceId"]) == ("Failed", "job-2")
    assert message["failureReason"].startswith(f"ClientError: Received {side} error ({status}) from model.")
    assert "responseParameters" not in message
    assert "responseBody" not in message


def test_answer_is_included_where_the_endpoint_says_so(endpoint: Endpoint, topics: Topics) -> None:
    with simulated(replace(endpoint, include_response=True)) as client:
        accepted = client.invoke({"status": 400})
        body = topics.next_message()["responseBody"]

    assert body["encoding"] == "BASE64"
    assert json.loads(base64.b64decode(body["content"])) == stored(accepted["FailureLocation"])


@pytest.mark.parametrize("noticed_after_s", [0, 0.5])
def test_crash_fails_the_invocation_and_the_container_comes_back(
    endpoint: Endpoint, topics: Topics, monkeypatch: pytest.MonkeyPatch, noticed_after_s: float
) -> None:
    wait = Process.wait

    async def wait_and_dawdle(process: Process) -> int:
        status = await wait(process)
        await asyncio.sleep(noticed_after_s)
        return status

    monkeypatch.setattr(Process, "wait", wait_and_dawdle)
    with simulated(endpoint) as client:
        client.invoke({"crash": True}, InferenceId="bad")
        client.invoke({"n": 2}, InferenceId="good")
        bad, good = topics.next_message(), topics.next_message()

    assert (bad["inferenceId"], bad["invocationStatus"]) == ("bad", "Failed")
    assert "crashed" in bad["failureReason"]
    assert (good["inferenceId"], good["invocationStatus"]) == ("good", "Completed")


def test_a_container_that_hung_up_and_lives_is_called_again() -> None:
    async def hang_up() -> None:
        container = Container(COMMAND, concurrency=1, environment={})
        supervising = asyncio.create_task(container.supervise())
        async with asyncio.timeout(60):
            await container.ready.wait()
            container.hung_up("http://127.0.0.1:1")
            assert container.ready.is_set()
            container.hung_up(container.url)
            assert not container.ready.is_set()
            await container.ready.wait()
        supervising.cancel()
        await asyncio.wait([supervising])

    asyncio.run(hang_up())


def test_slow_invocation_times_out(endpoint: Endpoint, topics: Topics) -> None:
    with simulated(endpoint) as client:
        client.invoke({"seconds": 5}, InvocationTimeoutSeconds=1)
        assert "timed out" in topics.next_message()["failureReason"]


def test_missing_order_fails(endpoint: Endpoint, topics: Topics) -> None:
    with simulated(endpoint) as client:
        runtime = boto3.client("sagemaker-runtime", endpoint_url=client.url)
        runtime.invoke_endpoint_async(EndpointName="enhance", InputLocation=f"s3://{BUCKET}/absent")
        assert "InputLocation cannot be read" in topics.next_message()["failureReason"]


@pytest.mark.parametrize("concurrency", [1, 2])
def test_order_of_arrival_and_concurrency(endpoint: Endpoint, topics: Topics, tmp_path: Path, concurrency: int) -> None:
    go = tmp_path / "go"
    with simulated(replace(endpoint, concurrency=concurrency)) as client:
        client.invoke({"until": str(go)}, InferenceId="slow")
        client.invoke({}, InferenceId="quick")
        if concurrency == 1:
            time.sleep(0.3)  # in which the quick one would be through
            go.touch()
        heard = [topics.next_message()["inferenceId"]]
        go.touch()
        heard.append(topics.next_message()["inferenceId"])

    assert heard == (["slow", "quick"] if concurrency == 1 else ["quick", "slow"])


def test_queue_survives_a_restart(endpoint: Endpoint, topics: Topics, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with simulated(endpoint) as client:
        for name in ("first", "second"):
            client.invoke({"until": str(go)}, InferenceId=name)
    waiting = [invocation.request.inference_id for invocation in Spool(endpoint.state_dir).pending()]
    go.touch()

    with simulated(endpoint):
        heard = [topics.next_message()["inferenceId"] for _ in range(2)]

    assert waiting == heard == ["first", "second"]
    assert list(endpoint.state_dir.iterdir()) == []


def test_finished_invocation_is_only_published_after_a_restart(endpoint: Endpoint, topics: Topics) -> None:
    missing = replace(endpoint, success_topic=f"arn:aws:sns:{REGION}:{ACCOUNT}:not-there-yet")
    with simulated(missing) as client:
        accepted = client.invoke({"n": 3}, InferenceId="done")
        deadline = time.monotonic() + 60
        while not [invocation for invocation in Spool(endpoint.state_dir).pending() if invocation.message]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    first = stored(accepted["OutputLocation"])

    boto3.client("s3").delete_object(Bucket=BUCKET, Key=accepted["OutputLocation"].removeprefix(f"s3://{BUCKET}/"))
    with simulated(endpoint):
        message = topics.next_message()

    assert (first["order"], message["inferenceId"]) == ({"n": 3}, "done")
    with pytest.raises(ClientError):  # not run a second time
        stored(accepted["OutputLocation"])


def test_unreadable_file_does_not_stop_the_queue(endpoint: Endpoint, topics: Topics) -> None:
    endpoint.state_dir.mkdir()
    (endpoint.state_dir / "0.json").write_text("{}")
    with simulated(endpoint) as client:
        client.invoke({}, InferenceId="next")
        assert topics.next_message()["inferenceId"] == "next"


def test_bad_requests_are_validation_errors(endpoint: Endpoint) -> None:
    with simulated(endpoint) as client:
        with pytest.raises(ClientError, match="Endpoint other not found") as caught:
            client.invoke({}, endpoint="other")
        assert caught.value.response["Error"]["Code"] == "ValidationError"
        url = f"{client.url}/endpoints/enhance/async-invocations"
        headers = {"X-Amzn-SageMaker-InputLocation": f"s3://{BUCKET}/k"}
        for wrong in (
            {},
            {**headers, "X-Amzn-SageMaker-RequestTTLSeconds": "1"},
            {"X-Amzn-SageMaker-InputLocation": "k"},
        ):
            assert httpx.post(url, headers=wrong, trust_env=False).status_code == 400
        assert httpx.post(url, headers=headers, content=b"inline", trust_env=False).status_code == 400
