"""Cancelling and telling on a running cloud: the operator's command, the enforced permissions, the real queues."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lambdas.core.services.webhooks import CreateWebhook, WebhookService
from lambdas.core.webhooks import WebhookEndpoint
from tests.e2e.cloud import Api, Cloud
from tests.e2e.receivers import until
from tests.e2e.test_faults import container_of, wait_until_running


def make_client(cloud: Cloud, counter: list[int]) -> Api:
    made = cloud.cleartake("clients", "create", "one-at-a-time", "--max-active", "1").stdout
    client_id, secret = (re.search(rf"client_{name}\s+(\S+)", made)[1] for name in ("id", "secret"))  # type: ignore[index]
    return Api(cloud.credentials["base_url"], client_id, secret, counter)


def outcomes(webhooks: WebhookService, endpoint: WebhookEndpoint) -> dict[str, str]:
    """Return what was told of which job."""
    payloads = [json.loads(one.payload) for one in webhooks.list_deliveries(endpoint.client_id, endpoint.id)]
    return {payload["data"]["enhancement_id"]: payload["data"]["status"] for payload in payloads}


def execution_of(cloud: Cloud, job: dict[str, Any]) -> str:
    arn = cloud.outputs["EnhancementMachineArn"].replace(":stateMachine:", ":execution:")
    return str(cloud.aws("stepfunctions").describe_execution(executionArn=f"{arn}:{job['id']}-1")["status"])


@contextmanager
def held(process: int) -> Iterator[None]:
    """Keep a process from going on: nothing is over before a person's commands are, however quick the machine."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_running_and_queued_jobs_are_cancelled_and_the_next_one_runs(
    api: Api, cloud: Cloud, webhooks: WebhookService, recording: bytes
) -> None:
    api = make_client(cloud, api.counter)
    endpoint = webhooks.create(CreateWebhook(api.client_id, "http://127.0.0.1:9/nobody-listens")).endpoint
    asset = api.upload(recording * 12)
    running = api.enhance(asset["id"], 10).json()
    wait_until_running(cloud, api, running)
    with held(container_of(cloud)):
        queued, kept = (api.enhance(asset["id"], strength).json() for strength in (20, 30))
        assert "queue position" in cloud.cleartake("all-jobs", "show", queued["id"]).stdout
        assert "cancelled" in cloud.cleartake("all-jobs", "cancel", queued["id"]).stdout
        assert "cancelled" in cloud.cleartake("all-jobs", "cancel", running["id"]).stdout
    assert [api.finished(job)["status"] for job in (running, queued, kept)] == ["failed", "failed", "succeeded"]
    ids = {job["id"] for job in (running, queued, kept)}
    expected = {running["id"]: "cancelled", queued["id"]: "cancelled", kept["id"]: "succeeded"}
    until(lambda: outcomes(webhooks, endpoint) == expected)
    webhooks.delete(api.client_id, endpoint.id)
    assert execution_of(cloud, running) == "SUCCEEDED"
    listed = cloud.cleartake("all-jobs", "list", "--client", api.client_id).stdout
    assert all(job_id in listed for job_id in ids)
    assert cloud.cleartake("all-jobs", "cancel", kept["id"], check=False).returncode == 1
    assert "queued: 0, running: 0" in cloud.cleartake("status").stdout


def test_a_deleted_asset_is_erased_by_the_function_that_alone_may(api: Api, cloud: Cloud, recording: bytes) -> None:
    asset = api.upload(recording)
    job = api.finished(api.enhance(asset["id"], 40).json())
    table, key = cloud.outputs["TableName"], {"pk": {"S": f"C#{api.client_id}"}, "sk": {"S": f"A#{asset['id']}"}}
    cloud.aws("dynamodb").update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET #status = :deleted, updated_at = :long_ago",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":deleted": {"S": "deleted"}, ":long_ago": {"S": "2024-01-01T00:00:00.000Z"}},
    )
    message = json.dumps({"client_id": api.client_id, "asset_id": asset["id"]})
    cloud.aws("sqs").send_message(QueueUrl=cloud.outputs["EraseQueueUrl"], MessageBody=message)
    deadline = time.monotonic() + 60
    while "Item" in cloud.aws("dynamodb").get_item(TableName=table, Key=key):
        assert time.monotonic() < deadline, "the asset was never erased"
        time.sleep(0.2)
    for bucket in ("AudioBucketName", "WorkBucketName"):
        left = cloud.aws("s3").list_object_versions(Bucket=cloud.outputs[bucket])
        keys = [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in left.get(kind, [])]
        assert not [key for key in keys if asset["id"] in key]
    assert api.http.get(job["download_url"], headers=api.headers).status_code == 404


def test_a_deleted_enhancement_leaves_its_recording_and_nothing_else(api: Api, cloud: Cloud, recording: bytes) -> None:
    """Under enforced permissions: the API asks, and the function that alone may erases."""
    asset = api.upload(recording)
    kept, gone = (api.finished(api.enhance(asset["id"], strength).json()) for strength in (40, 60))

    def keys_of(job: dict[str, Any]) -> list[str]:
        listed = cloud.aws("s3").list_object_versions(Bucket=cloud.outputs["AudioBucketName"])
        versions = [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in listed.get(kind, [])]
        return [key for key in versions if job["id"] in key]

    assert len(keys_of(gone)) > 1
    path = f"/v1/enhancements/{gone['id']}"
    assert api.call("DELETE", path).status_code == 204
    assert [api.call(method, path).status_code for method in ("DELETE", "GET")] == [404, 404]
    until(lambda: not keys_of(gone))
    assert api.download(kept).status_code == 200
    assert api.enhance(asset["id"], 60).status_code == 202
