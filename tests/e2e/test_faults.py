"""Faults injected into a running cloud: what happens, and what the client sees of it. See docs/faults.md."""

import json
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import Api, Cloud, md5_of

LONG = 12
"""Repetitions of the recording: long enough to be met in the middle."""


def row_of(cloud: Cloud, api: Api, job: dict[str, Any]) -> dict[str, Any]:
    """Return the job's row, plain."""
    key = {"pk": {"S": f"C#{api.client_id}"}, "sk": {"S": f"J#{job['id']}"}}
    item = cloud.aws("dynamodb").get_item(TableName=cloud.outputs["TableName"], Key=key, ConsistentRead=True)["Item"]
    return {name: next(iter(value.values())) for name, value in item.items()}


def wait_until_running(cloud: Cloud, api: Api, job: dict[str, Any], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while (status := row_of(cloud, api, job)["status"]) != "running":
        assert time.monotonic() < deadline, f"still {status}"
        time.sleep(0.02)


def container_of(cloud: Cloud) -> int:
    """Return the process number of the container that the endpoint's look-alike runs."""
    parent = json.loads((cloud.home / "run" / "sagemaker.json").read_text())["pid"]
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    served = [int(one) for one in children if b"gpu_container.serving" in Path(f"/proc/{one}/cmdline").read_bytes()]
    return served[0]


def leases_of(cloud: Cloud, api: Api) -> dict[str, Any]:
    key = {"pk": {"S": f"C#{api.client_id}"}, "sk": {"S": "META"}}
    found = cloud.aws("dynamodb").get_item(TableName=cloud.outputs["TableName"], Key=key, ConsistentRead=True)
    leases: dict[str, Any] = found["Item"]["leases"]["M"]
    return leases


def test_a_corrupted_upload_leaves_the_asset_waiting_for_the_right_bytes(api: Api, recording: bytes) -> None:
    asset = api.create(recording)
    headers = {"Content-Type": asset["content_type"], "Content-MD5": md5_of(recording)}
    damaged = recording[:100] + bytes([recording[100] ^ 1]) + recording[101:]
    refused = api.put(asset["upload_url"], damaged, headers)
    assert (refused.status_code, "BadDigest" in refused.text) == (400, True)
    assert api.asset(asset["id"])["status"] == "waiting_for_upload"
    assert api.put(asset["upload_url"], recording, headers).status_code == 200
    assert api.settled(asset["id"])["status"] == "ready_for_processing"


def test_the_same_enhancement_asked_for_eight_times_at_once_is_made_once(api: Api, recording: bytes) -> None:
    asset = api.upload(recording)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.enhance(asset["id"], 33), range(8)))
    assert Counter(answer.status_code for answer in answers) == {202: 1, 422: 7}
    (made,) = (answer.json() for answer in answers if answer.status_code == 202)
    assert api.finished(made)["status"] == "succeeded"


def test_a_worker_killed_in_mid_file_costs_an_attempt_and_nothing_else(
    api: Api, cloud: Cloud, recording: bytes
) -> None:
    job = api.enhance(api.upload(recording * LONG)["id"], 34).json()
    wait_until_running(cloud, api, job)
    os.kill(container_of(cloud), signal.SIGKILL)
    assert api.finished(job, timeout_s=240)["status"] == "succeeded"
    row = row_of(cloud, api, job)
    assert (row["attempt"], row.get("error_code")) == ("2", None)


def test_an_execution_stopped_by_an_operator_fails_its_job_and_frees_its_slot(
    api: Api, cloud: Cloud, recording: bytes
) -> None:
    states = cloud.aws("stepfunctions")  # made before there is any hurry
    job = api.enhance(api.upload(recording * LONG)["id"], 35).json()
    wait_until_running(cloud, api, job)
    assert job["id"] in leases_of(cloud, api)
    execution = cloud.outputs["EnhancementMachineArn"].replace(":stateMachine:", ":execution:")
    states.stop_execution(executionArn=f"{execution}:{job['id']}-1")
    assert api.finished(job)["status"] == "failed"
    row = row_of(cloud, api, job)
    assert (row["attempt"], row["error_code"]) == ("1", "internal")
    assert job["id"] not in leases_of(cloud, api)
    assert api.finished(api.enhance(job["asset_id"], 36).json(), timeout_s=240)["status"] == "succeeded"


@pytest.mark.slow
def test_a_job_met_in_mid_file_by_a_restart_ends_all_the_same(tmp_path: Path, recording: bytes) -> None:
    cloud = Cloud(tmp_path / "home")
    try:
        cloud.cleartake("up")
        known = cloud.credentials
        api = Api(known["base_url"], known["client_id"], known["client_secret"], [0])
        job = api.enhance(api.upload(recording * LONG)["id"], 37).json()
        wait_until_running(cloud, api, job)
        cloud.cleartake("down")
        cloud.cleartake("up")
        assert api.finished(job, timeout_s=300)["status"] == "succeeded"
        assert not leases_of(cloud, api)
    finally:
        cloud.cleartake("down", check=False)
