"""The endpoint by itself: what the operator reads, one order there and back. The SDK itself: the slow test below."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from gpu_container.contract import AudioFacts, ErrorCode, WorkFailure, WorkOrder, WorkResult
from infra.config import REPOSITORY
from scripts import endpoint as script
from scripts.local.paths import LauncherError

SDK_PYTHON = REPOSITORY / ".venv-sagemaker" / "bin" / "python"
FACTS = AudioFacts(container="mp3", codec="mp3", rate_hz=44_100, channels=1, frames=441, duration_s=0.01)

Answer = Callable[[Any, WorkOrder], tuple[str, bytes]]


def done(s3: Any, order: WorkOrder, **changes: Any) -> tuple[str, bytes]:
    s3.put_object(Bucket=order.output.bucket, Key=order.output.key, Body=b"enhanced")
    result = WorkResult(
        job_id=order.job_id,
        attempt=1,
        output=order.output,
        size_bytes=8,
        sha256="0" * 64,
        facts=FACTS,
        nan_count=0,
        silent=False,
        model=order.model,
        seconds=1,
        real_time_factor=0.1,
    )
    return "out", result.model_copy(update=changes).model_dump_json().encode()


def refused(_: Any, order: WorkOrder) -> tuple[str, bytes]:
    failure = WorkFailure(
        job_id=order.job_id, attempt=1, error_code=ErrorCode.INPUT_CORRUPT, message="not audio", retryable=False
    )
    return "failed", failure.model_dump_json().encode()


@dataclass
class Worker:
    """Stands for the SDK's object: answers an order as told, in S3 as SageMaker does."""

    s3: Any
    answer: Answer | None
    orders: list[WorkOrder] = field(default_factory=list)

    def invoke_async(self, *, input_location: str, inference_id: str, **_: Any) -> Any:
        bucket, key = input_location.removeprefix("s3://").split("/", 1)
        order = WorkOrder.model_validate_json(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        assert inference_id == order.job_id
        self.orders.append(order)
        if self.answer is not None:
            where, body = self.answer(self.s3, order)
            self.s3.put_object(Bucket=bucket, Key=f"async/{where}/1", Body=body)
        return SimpleNamespace(
            output_location=f"s3://{bucket}/async/out/1", failure_location=f"s3://{bucket}/async/failed/1"
        )


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", "eu-west-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="work", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield client


def sent(s3: Any, worker: Worker, *, limit_s: float = 5.0) -> WorkResult:
    place = script.Place("gpu", "work", boto3.Session())
    return script.smoke(place, worker, s3, script.SAMPLE, limit_s=limit_s, say=lambda _: None)


def test_a_real_order_goes_out_and_its_result_comes_back(s3: Any) -> None:
    worker = Worker(s3, done)
    assert sent(s3, worker).facts == FACTS
    (order,) = worker.orders
    stored = s3.get_object(Bucket=order.input.bucket, Key=order.input.key)["Body"].read()
    assert stored == script.SAMPLE.read_bytes()
    # Only where the container's role may read and write anyway; and no job, no row, no task is touched.
    assert (order.input.key.split("/")[0], order.output.key.split("/")[0]) == ("orders", "async")
    assert (order.task_token, order.progress, order.wet) == (None, None, None)


def test_a_refused_order_says_why(s3: Any) -> None:
    with pytest.raises(LauncherError, match="input_corrupt: not audio"):
        sent(s3, Worker(s3, refused))


def test_a_failure_that_is_no_document_of_ours_is_shown_as_it_is(s3: Any) -> None:
    with pytest.raises(LauncherError, match="Model container died"):
        sent(s3, Worker(s3, lambda *_: ("failed", b"Model container died")))


def test_an_endpoint_that_never_answers_is_given_up(s3: Any) -> None:
    with pytest.raises(LauncherError, match="Nothing was heard"):
        sent(s3, Worker(s3, None), limit_s=0.0)


@pytest.mark.parametrize("changes", [{"silent": True}, {"nan_count": 3}, {"size_bytes": 9}, {"job_id": "another"}])
def test_a_result_that_is_not_what_it_says_is_no_success(s3: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(LauncherError):
        sent(s3, Worker(s3, lambda s3, order: done(s3, order, **changes)))


def test_a_description_tells_state_instances_and_image() -> None:
    image = SimpleNamespace(resolved_image="1.dkr/cleartake@sha256:a")
    variant = SimpleNamespace(
        variant_name="AllTraffic", current_instance_count=0, desired_instance_count=1, deployed_images=[image]
    )
    endpoint = SimpleNamespace(
        endpoint_name="gpu",
        endpoint_status="Failed",
        failure_reason="no capacity",
        last_modified_time=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        production_variants=[variant],
    )
    text = "\n".join(script.description(endpoint))
    for fact in ("0 of 1 wanted", "1.dkr/cleartake@sha256:a", "no capacity", "2026-01-02 03:04"):
        assert fact in text


def test_a_stage_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(script, "published", lambda config: {"WorkBucketName": "work"})
    assert script.main(["smoke", "--stage", "prod"]) == 1
    assert "gpuBackend=none" in capsys.readouterr().err


def test_the_look_alike_is_only_sent_orders(capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["describe", "--local"]) == 1
    assert "orders only" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not SDK_PYTHON.exists(), reason="needs .venv-sagemaker: make test-slow")
def test_the_sdk_makes_the_calls_that_aws_expects() -> None:
    """Runs in the SDK's own environment, with botocore's stubs in place of AWS."""
    check = Path(__file__).with_name("endpoint_sdk.py")
    done = subprocess.run([SDK_PYTHON, check], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"instances": 0, "output": "s3://work/async/out/1"}
