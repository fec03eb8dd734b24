"""The whole product where there is no GPU: every job on the CPU lane's function."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cloud import Api, Cloud

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cloud_without_gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path_factory.mktemp("cpu"), gpu_backend="none")
    try:
        cloud.cleartake("up", timeout_s=500)
        yield cloud
    finally:
        cloud.cleartake("down", check=False)


@pytest.fixture(scope="module")
def caller(cloud_without_gpu: Cloud) -> Api:
    known = cloud_without_gpu.credentials
    return Api(known["base_url"], known["client_id"], known["client_secret"], [0])


def _row(cloud: Cloud, api: Api, job: dict[str, Any]) -> dict[str, Any]:
    key = {"pk": {"S": f"C#{api.client_id}"}, "sk": {"S": f"J#{job['id']}"}}
    row: dict[str, Any] = cloud.aws("dynamodb").get_item(TableName=cloud.outputs["TableName"], Key=key)["Item"]
    return row


def test_a_function_enhances_and_reports_progress(caller: Api, cloud_without_gpu: Cloud, recording: bytes) -> None:
    asset = caller.upload(recording)
    done = caller.finished(caller.enhance(asset["id"], 93).json())
    assert done["status"] == "succeeded"
    answer = caller.download(done)
    assert answer.headers["content-type"] == "audio/mpeg"
    assert len(answer.content) > 10_000
    row = _row(cloud_without_gpu, caller, done)
    assert (row["lane"]["S"], row["attempt"]["N"]) == ("cpu", "1")
    assert "heartbeat_at" in row


def test_a_function_that_dies_is_told_of_at_once(caller: Api, cloud_without_gpu: Cloud, recording: bytes) -> None:
    asset = caller.upload(recording)
    functions = cloud_without_gpu.aws("lambda")
    name = cloud_without_gpu.outputs["FunctionEnhanceCpu"]
    handler = functions.get_function_configuration(FunctionName=name)["Handler"]
    functions.update_function_configuration(FunctionName=name, Handler="gpu_container.serving.lambda_handler.gone")
    try:
        began = time.monotonic()
        done = caller.finished(caller.enhance(asset["id"], 40).json())
        assert time.monotonic() - began < 100  # told by the platform, not found by the sweeper after two minutes each
    finally:
        functions.update_function_configuration(FunctionName=name, Handler=handler)
    assert done["status"] == "failed"
    row = _row(cloud_without_gpu, caller, done)
    assert (row["attempt"]["N"], row["error_code"]["S"]) == ("3", "engine_failed")


@pytest.fixture
def fanned_out(cloud_without_gpu: Cloud) -> Iterator[Cloud]:
    """Leave dispatch no lane but the fan-out, and make its parts four seconds long."""
    functions, name = cloud_without_gpu.aws("lambda"), cloud_without_gpu.outputs["FunctionDispatch"]
    before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    speeds = json.loads(before["CLEARTAKE_SPEEDS"])
    speeds["cpu-fan-out"]["part_s"] = 4
    only = {"CLEARTAKE_SPEEDS": json.dumps({"cpu-fan-out": speeds["cpu-fan-out"]})}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": before | only})
    try:
        yield cloud_without_gpu
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def test_a_file_is_made_in_parts_and_put_together(caller: Api, fanned_out: Cloud, recording: bytes) -> None:
    asset = caller.upload(recording)
    began = time.monotonic()
    asked, told = caller.enhance(asset["id"], 70).json(), 0
    while "finished_at" not in (row := _row(fanned_out, caller, asked)):
        assert time.monotonic() - began < 100  # told by the event, not found by the sweeper after two minutes
        told = max(told, len(row.get("part_steps", {}).get("NS", ())))
        time.sleep(0.1)
    done = caller.finished(asked)
    assert told == 30  # ten for each part
    assert row["started_at"]["S"] <= row["heartbeat_at"]["S"]
    assert done["status"] == "succeeded"
    assert len(caller.download(done).content) > 10_000
    assert _row(fanned_out, caller, done)["lane"]["S"] == "cpu-fan-out"
    states = fanned_out.aws("stepfunctions")
    (execution,) = states.list_executions(stateMachineArn=fanned_out.outputs["FanOutMachineArn"])["executions"]
    (run,) = states.list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
    assert states.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]["succeeded"] == 3


def test_status_asks_for_no_endpoint(cloud_without_gpu: Cloud) -> None:
    done = cloud_without_gpu.cleartake("status")
    assert "sagemaker" not in done.stdout
