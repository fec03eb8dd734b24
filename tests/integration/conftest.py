"""One cloud per test, with a container that only pretends to enhance."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from gpu_container.contract import (
    AudioFacts,
    ErrorCode,
    ObjectRef,
    PartResult,
    ProbeFailure,
    ProbeOrder,
    ProbeResult,
    WorkFailure,
    WorkOrder,
    WorkResult,
)
from lambdas import bootstrap
from tests.cheap_secrets import cheap_secrets  # noqa: F401 - a fixture
from tests.integration.cloud import Cloud, FakeRuntime, RecordingTasks
from tests.ports.conftest import a_region, aws  # noqa: F401 - a fixture

FACTS = AudioFacts(container="wav", codec="pcm_s16le", rate_hz=48_000, channels=1, frames=5, duration_s=5 / 48_000)
GOOD, POISON = b"RIFF good bytes", b"RIFF poison bytes"


def pretend_probe(order: ProbeOrder) -> dict[str, Any]:
    """Take what begins like a WAV file for audio."""
    body = _bytes(order.input)
    if body.startswith(b"RIFF"):
        return ProbeResult(facts=FACTS).model_dump(mode="json")
    return ProbeFailure(error_code=ErrorCode.INPUT_CORRUPT, message="not audio").model_dump(mode="json")


def pretend_work(order: WorkOrder) -> WorkResult | WorkFailure:
    """Copy good bytes; fail on poison as the engine does."""
    body = _bytes(order.input)
    if body == POISON:
        return WorkFailure(
            job_id=order.job_id,
            attempt=order.attempt,
            error_code=ErrorCode.INPUT_CORRUPT,
            message="broken frame",
            retryable=False,
        )
    stored = boto3.client("s3").put_object(
        Bucket=order.output.bucket, Key=order.output.key, Body=body, ContentType=order.content_type
    )
    return WorkResult(
        job_id=order.job_id,
        attempt=order.attempt,
        output=ObjectRef(bucket=order.output.bucket, key=order.output.key, version_id=stored["VersionId"]),
        size_bytes=len(body),
        sha256="0" * 64,
        facts=FACTS,
        nan_count=0,
        silent=False,
        model=order.model,
        seconds=0.1,
        real_time_factor=0.01,
        parts_seconds=sum(part.seconds for part in order.part_results if isinstance(part, PartResult)),
    )


@pytest.fixture
def cloud(aws: None, monkeypatch: pytest.MonkeyPatch) -> Cloud:  # noqa: F811
    return a_cloud(monkeypatch)


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[Cloud]:
    """Return one for all tests of a module that leave each other's things alone."""
    with pytest.MonkeyPatch.context() as patched, a_region(patched):
        yield a_cloud(patched)


def a_cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    cloud = Cloud(pretend_probe, pretend_work)
    for name, value in cloud.environment.items():
        monkeypatch.setenv(f"CLEARTAKE_{name}", value)
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "test")
    tasks = RecordingTasks()
    cloud.use_tasks(tasks)
    monkeypatch.setattr(bootstrap, "_tasks", lambda: tasks)
    real_client = boto3.client
    fakes = {"sagemaker-runtime": FakeRuntime(), "lambda": cloud.cpu}
    monkeypatch.setattr(
        bootstrap.boto3, "client", lambda name, **more: fakes[name] if name in fakes else real_client(name, **more)
    )
    for wired in vars(bootstrap).values():
        if hasattr(wired, "cache_clear"):
            wired.cache_clear()
    return cloud


def _bytes(ref: ObjectRef) -> bytes:
    assert ref.version_id is not None
    return boto3.client("s3").get_object(Bucket=ref.bucket, Key=ref.key, VersionId=ref.version_id)["Body"].read()
