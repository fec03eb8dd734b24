"""Cancelling, telling, erasing and limits, through the real handlers and the real adapters."""

from typing import Any

import boto3
import pytest

from lambdas import bootstrap
from lambdas.adapters.aws.messaging import StepFunctionsWorkflow
from lambdas.adapters.system import SystemClock
from lambdas.core.errors import TransientError
from lambdas.core.services.deletion import DeletionService
from lambdas.core.services.jobs import JobAdministration
from lambdas.entrypoints import admit
from tests.integration.cloud import AUDIO, WORK, Cloud, Context
from tests.integration.test_flow import enhance, show, upload
from tests.ports.conftest import TABLE


@pytest.fixture
def caller(cloud: Cloud) -> dict[str, str]:
    return cloud.sign_in("acme", max_active=1, max_queued=2)


def operator(cloud: Cloud) -> JobAdministration:
    return bootstrap.job_administration(
        TABLE,
        admit_queue_url=cloud.queue_url,
        stop_queue_url=cloud.queues["stops"],
        outcome_queue_url=cloud.queues["outcomes"],
    )


def delete(cloud: Cloud, asset: dict[str, Any], caller: dict[str, str]) -> None:
    erase = bootstrap.housekeeping_service().erasing
    DeletionService(bootstrap.erase_service().assets, erase, SystemClock()).delete(caller["x-api-key"], asset["id"])


def test_every_end_is_told_once(cloud: Cloud, caller: dict[str, str]) -> None:
    job = enhance(cloud, caller, upload(cloud, caller)).body
    assert cloud.outcomes() == []
    cloud.drain()
    (told,) = cloud.outcomes()
    assert (told["job_id"], told["status"], told["error_code"]) == (job["id"], "succeeded", None)
    assert told["finished_at"] == show(cloud, caller, job)["finished_processing_at"]
    cloud.sweep()
    assert cloud.outcomes() == []


def test_a_cancelled_job_is_failed_in_adobes_words(cloud: Cloud, caller: dict[str, str]) -> None:
    job = enhance(cloud, caller, upload(cloud, caller)).body
    operator(cloud).cancel(job["id"])
    assert show(cloud, caller, job)["status"] == "failed"
    assert [told["status"] for told in cloud.outcomes()] == ["cancelled"]
    assert cloud.drain() == 0


def test_cancelling_a_dispatched_job_ends_its_task_and_frees_its_slot(cloud: Cloud, caller: dict[str, str]) -> None:
    from lambdas.core.services.execution import JobRef

    job = enhance(cloud, caller, upload(cloud, caller)).body
    bootstrap.admission_service().admit([caller["x-api-key"]])
    bootstrap.dispatch_service().dispatch(JobRef(caller["x-api-key"], job["id"], 1), "token")
    operator(cloud).cancel(job["id"])
    cloud.deliver_stops()
    assert cloud.tasks.answers["token"].args[0] == "Job.Cancelled"
    client = bootstrap.client_administration(TABLE).clients.get(caller["x-api-key"])
    assert client is not None
    assert not client.leases


def test_more_than_may_wait_is_refused_as_too_many(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = upload(cloud, caller)
    jobs = [enhance(cloud, caller, asset, strength) for strength in (1, 2)]
    assert [job.status for job in jobs] == [202, 202]
    refused = enhance(cloud, caller, asset, 3)
    assert (refused.status, refused.body) == (429, {"error_code": "429050", "message": "Too many requests"})
    assert int(refused.headers["Retry-After"]) > 0
    cloud.drain()
    assert enhance(cloud, caller, asset, 3).status == 202


def test_a_deleted_asset_leaves_nothing_behind(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = upload(cloud, caller)
    job = enhance(cloud, caller, asset).body
    cloud.drain()
    cloud.s3.put_object(
        Bucket=AUDIO, Key=f"out/{caller['x-api-key']}/{asset['id']}/{job['id']}-1.report.json", Body=b"{}"
    )
    cloud.s3.put_object(Bucket=WORK, Key=f"wet/{caller['x-api-key']}/{asset['id']}/v1/dfn3-auto", Body=b"wet")
    waiting = enhance(cloud, caller, asset, 7).body
    delete(cloud, asset, caller)
    assert cloud.call("GET", f"/audio_services/v1/assets/{asset['id']}", headers=caller).status == 404
    assert enhance(cloud, caller, asset, 8).status == 404
    assert cloud.deliver_erasing() == {"batchItemFailures": []}
    for bucket in (AUDIO, WORK):
        for kind in ("Versions", "DeleteMarkers"):
            left = cloud.s3.list_object_versions(Bucket=bucket).get(kind, [])
            assert not [one["Key"] for one in left if asset["id"] in one["Key"] and "orders/" not in one["Key"]]
    for gone in (job, waiting):
        path = f"/audio_services/v1/assets/{asset['id']}/speech_enhancements/{gone['id']}"
        assert cloud.call("GET", path, headers=caller).status == 404
    assert sorted(told["status"] for told in cloud.outcomes()) == ["cancelled", "succeeded"]


def test_a_failed_admission_comes_again_in_seconds(
    cloud: Cloud, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    enhance(cloud, caller, upload(cloud, caller))

    def away(*_arguments: object) -> None:
        raise TransientError("Step Functions is away")

    sqs = boto3.client("sqs")
    (message,) = sqs.receive_message(QueueUrl=cloud.queue_url, VisibilityTimeout=600)["Messages"]
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    postponed: list[int] = []
    delivery = bootstrap.admit_delivery()
    with monkeypatch.context() as patched:
        patched.setattr(StepFunctionsWorkflow, "start", away)
        patched.setattr(type(delivery), "postpone", lambda _self, _handle, seconds: postponed.append(seconds))
        answer = admit.handler({"Records": [record]}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": message["MessageId"]}]}
    assert postponed == [admit.FIRST_DELAY_S]
    assert [admit.delay_s(received) for received in (1, 2, 3, 9)] == [5, 10, 20, admit.MAX_DELAY_S]
    delivery.postpone(message["ReceiptHandle"], 0)
    assert cloud.drain() == 1


def test_an_operator_sees_every_job_and_its_place(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = upload(cloud, caller)
    jobs = [enhance(cloud, caller, asset, strength).body for strength in (1, 2)]
    listed = operator(cloud).list()
    assert [job.id for job in listed] == [job["id"] for job in reversed(jobs)]
    assert [operator(cloud).queue_position(job) for job in reversed(listed)] == [1, 2]
    cloud.drain()
    assert {job.status.value for job in operator(cloud).list(client_id=caller["x-api-key"])} == {"succeeded"}
