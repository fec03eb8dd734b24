"""What the asynchronous endpoint is asked for: how long an order may wait, and how long it may take."""

from pathlib import Path

import boto3
import pytest
from botocore.stub import ANY, Stubber

from gpu_container.contract import WorkOrder
from infra.config import MEASURED_SPEEDS, Config
from lambdas.adapters.aws.messaging import SageMakerAsyncBackend
from lambdas.core.routing import Lane
from lambdas.core.workflow import INVOCATION_TIMEOUT_S, Patience

ORDER = Path(__file__).parents[2] / "contract" / "fixtures" / "work_order.v1.json"


@pytest.fixture
def lifetime_s(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return for how long the endpoint is to keep an order that is handed to it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3, runtime = (
        boto3.client(name, aws_access_key_id="a", aws_secret_access_key="b") for name in ("s3", "sagemaker-runtime")
    )
    asked: list[dict[str, object]] = []
    runtime.meta.events.register(
        "provide-client-params.sagemaker-runtime.InvokeEndpointAsync", lambda params, **_: asked.append(params)
    )
    with Stubber(s3) as storage, Stubber(runtime) as endpoint:
        storage.add_response("put_object", {})
        expected = {"InvocationTimeoutSeconds": INVOCATION_TIMEOUT_S, "RequestTTLSeconds": ANY}
        others = ("EndpointName", "InputLocation", "InferenceId", "ContentType")
        endpoint.add_response("invoke_endpoint_async", {}, expected | dict.fromkeys(others, ANY))
        order = WorkOrder.model_validate_json(ORDER.read_text())
        SageMakerAsyncBackend(s3, runtime, "gpu", "work").dispatch(order, inference_id="job-1-abc")
        endpoint.assert_no_pending_responses()
    (call,) = asked
    return int(str(call["RequestTTLSeconds"]))


def test_an_order_is_kept_as_long_as_its_job_waits_for_it(lifetime_s: int) -> None:
    """A start from zero, then the rounds before it where all but one of the default's instances are missing."""
    config = Config()
    rounds = 2 * config.max_gpu_instances - 1
    assert lifetime_s >= Patience().start_s + rounds * MEASURED_SPEEDS[Lane.GPU].limit_s


def test_an_order_that_was_given_up_wakes_no_gpu_for_hours(lifetime_s: int) -> None:
    its_own_s = 6 * 3600
    assert 60 <= lifetime_s < its_own_s / 2
