"""The whole flow in one process: handler → presign → S3 event → every step of both machines → download."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import requests

from gpu_container.contract import ErrorCode, ProbeResult, WorkFailure, WorkOrder, WorkResult
from lambdas import bootstrap
from lambdas.adapters.system import SystemClock
from lambdas.core.routing import Lane
from lambdas.core.services.assets import CreateAsset
from lambdas.core.services.enhancements import Wish
from lambdas.core.services.execution import JobRef
from lambdas.core.services.failures import NO_CAPACITY, classify
from lambdas.core.workflow import ENHANCEMENT, GPU_START_LIMIT_S, OUT_OF_TIME, SWEEP_INTERVAL_S, FunctionName
from tests.integration.cloud import BASE_URL, FREE, Cloud, TaskFailedError, md5_of
from tests.integration.conftest import FACTS, GOOD, POISON, pretend_work

ASSETS = "/audio_services/v1/assets"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def caller(cloud: Cloud) -> dict[str, str]:
    return cloud.sign_in("acme")


def create(cloud: Cloud, caller: dict[str, str], data: bytes = GOOD, **changes: Any) -> dict[str, Any]:
    body = {
        "filename": "earhart-aviation.wav",
        "byte_size": len(data),
        "checksum": md5_of(data),
        "content_type": "audio/wav",
    } | changes
    answer = cloud.call("POST", ASSETS, body, headers=caller)
    assert answer.status == 201, answer.text
    asset: dict[str, Any] = answer.body
    return asset


def upload(cloud: Cloud, caller: dict[str, str], data: bytes = GOOD, **changes: Any) -> dict[str, Any]:
    asset = create(cloud, caller, data, **changes)
    assert cloud.put(asset, data) == 200
    cloud.uploaded(asset["id"], caller["x-api-key"])
    return asset


def enhance(cloud: Cloud, caller: dict[str, str], asset: dict[str, Any], strength: Any = 93) -> Any:
    path = f"{ASSETS}/{asset['id']}/speech_enhancements"
    return cloud.call("POST", path, {"strength": strength}, headers=caller)


def show(cloud: Cloud, caller: dict[str, str], job: dict[str, Any]) -> dict[str, Any]:
    path = f"{ASSETS}/{job['asset_id']}/speech_enhancements/{job['id']}"
    answer = cloud.call("GET", path, headers=caller)
    assert answer.status == 200
    body: dict[str, Any] = answer.body
    return body


def test_from_upload_to_download(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = create(cloud, caller)
    assert asset["status"] == "waiting_for_upload"
    assert TIME.fullmatch(asset["created_at"])
    assert set(asset) == {
        "id", "filename", "upload_url", "status", "created_at", "updated_at", "byte_size", "content_type", "checksum",
    }  # fmt: skip
    assert "content-length%3Bcontent-md5%3Bcontent-type%3Bhost" in asset["upload_url"]
    assert cloud.put(asset, GOOD) == 200
    cloud.uploaded(asset["id"], caller["x-api-key"])

    ready = cloud.call("GET", f"{ASSETS}/{asset['id']}", headers=caller).body
    assert (ready["status"], ready["upload_url"]) == ("ready_for_processing", None)

    accepted = enhance(cloud, caller, asset)
    assert accepted.status == 202
    job = accepted.body
    assert {name: job[name] for name in job if name not in {"id", "requested_processing_at"}} == {
        "strength": 93,
        "download_url": None,
        "asset_id": asset["id"],
        "finished_processing_at": None,
        "status": "queued",
        "model_id": "v1",
    }
    assert show(cloud, caller, job)["status"] == "queued"
    assert cloud.drain() == 1

    done = show(cloud, caller, job)
    assert done["status"] == "succeeded"
    assert TIME.fullmatch(done["finished_processing_at"])
    printed = f"{BASE_URL}/audio_services/api/assets/{asset['id']}/speech_enhancements/{job['id']}/download"
    assert done["download_url"] == printed
    for path in (printed.removeprefix(BASE_URL), printed.removeprefix(BASE_URL).replace("/api/", "/v1/")):
        found = cloud.call("GET", path, headers=caller)
        assert found.status == 302
        answer = requests.get(found.headers["Location"], timeout=5)
        assert answer.content == GOOD
        assert "earhart-aviation-enhanced-93p.wav" in answer.headers["Content-Disposition"]
        assert answer.headers["Content-Type"] == "audio/wav"
    assert cloud.dispatched[0].input.version_id


def test_events_that_come_twice_or_late_change_nothing(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = upload(cloud, caller)
    before = cloud.call("GET", f"{ASSETS}/{asset['id']}", headers=caller).body
    cloud.put(asset, b"RIFF other byte")  # a later PUT of the same length to the same URL
    cloud.uploaded(asset["id"], caller["x-api-key"])
    assert cloud.call("GET", f"{ASSETS}/{asset['id']}", headers=caller).body == before
    job = enhance(cloud, caller, asset).body
    cloud.drain()
    assert cloud.drain() == 0
    done = show(cloud, caller, job)
    for _ in range(2):
        cloud.sweep()
        assert show(cloud, caller, job) == done
    path = f"{ASSETS}/{asset['id']}/speech_enhancements/{job['id']}/download"
    answer = requests.get(cloud.call("GET", path, headers=caller).headers["Location"], timeout=5)
    assert answer.content == GOOD


def test_bytes_that_are_not_audio_make_the_asset_invalid(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = upload(cloud, caller, b"no audio at all")
    shown = cloud.call("GET", f"{ASSETS}/{asset['id']}", headers=caller).body
    assert (shown["status"], shown["upload_url"]) == ("invalid_upload", None)
    refused = enhance(cloud, caller, asset)
    assert (refused.status, refused.body) == (422, {"error_code": None, "message": "Asset is not enhanceable"})


def test_a_poisoned_file_fails_at_once_and_frees_its_slot(cloud: Cloud) -> None:
    caller = cloud.sign_in("single", max_active=1)
    poisoned = enhance(cloud, caller, upload(cloud, caller, POISON)).body
    good = enhance(cloud, caller, upload(cloud, caller)).body
    cloud.drain()
    assert show(cloud, caller, poisoned)["status"] == "failed"
    assert show(cloud, caller, poisoned)["finished_processing_at"]
    assert show(cloud, caller, good)["status"] == "succeeded"
    assert len([order for order in cloud.dispatched if order.job_id == poisoned["id"]]) == 1


def test_a_failure_of_ours_is_tried_three_times(cloud: Cloud, caller: dict[str, str]) -> None:
    attempts: Iterator[int] = iter(range(10))

    def flaky(order: WorkOrder) -> Any:
        if next(attempts) < 2:
            return WorkFailure(
                job_id=order.job_id,
                attempt=order.attempt,
                error_code=ErrorCode.ENGINE_FAILED,
                message="out of memory",
                retryable=True,
            )
        return pretend_work(order)

    cloud.work = flaky
    job = enhance(cloud, caller, upload(cloud, caller)).body
    cloud.drain()
    assert show(cloud, caller, job)["status"] == "succeeded"
    assert [order.attempt for order in cloud.dispatched] == [1, 2, 3]


@pytest.mark.parametrize("deaths", [2, 3])
def test_a_worker_that_is_killed_is_tried_twice_more(cloud: Cloud, caller: dict[str, str], deaths: int) -> None:
    def killed(order: WorkOrder) -> Any:
        if order.attempt <= deaths:
            raise MemoryError
        return pretend_work(order)

    cloud.work = killed
    job = enhance(cloud, caller, upload(cloud, caller)).body
    cloud.drain()
    stored = bootstrap.sweep_service().jobs.get(caller["x-api-key"], job["id"])
    assert stored is not None
    assert [order.attempt for order in cloud.dispatched] == [1, 2, 3]
    expected = ("succeeded", None) if deaths == 2 else ("failed", "engine_failed")
    assert (show(cloud, caller, job)["status"], stored.error_code) == expected


def test_without_a_gpu_for_twenty_minutes_the_cpu_does_the_work(
    cloud: Cloud, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARTAKE_SPEEDS", json.dumps({"gpu": FREE, "cpu": FREE}))
    monkeypatch.setenv("CLEARTAKE_SAGEMAKER_ENDPOINT_URL", "http://127.0.0.1:1")  # a lane that calls itself warm
    job = enhance(cloud, caller, upload(cloud, caller)).body
    bootstrap.admission_service().admit([caller["x-api-key"]])
    ref = JobRef(caller["x-api-key"], job["id"], 1)
    bootstrap.dispatch_service().dispatch(ref, "token")
    assert cloud.sweep()["failed"] == 0
    monkeypatch.setattr(
        SystemClock, "now", lambda _self: datetime.now(UTC) + timedelta(seconds=GPU_START_LIMIT_S + SWEEP_INTERVAL_S)
    )
    assert cloud.sweep()["failed"] == 1
    assert cloud.tasks.answers["token"].args[0] == NO_CAPACITY
    bootstrap.execution_service().fail(ref, classify(*cloud.tasks.answers["token"].args))
    cloud.drain()
    assert show(cloud, caller, job)["status"] == "succeeded"
    stored = bootstrap.sweep_service().jobs.get(caller["x-api-key"], job["id"])
    assert stored is not None
    assert (stored.lane, stored.attempt) == (Lane.CPU, 2)


def test_a_result_that_is_not_what_was_probed_is_refused(cloud: Cloud, caller: dict[str, str]) -> None:
    def short(order: WorkOrder) -> Any:
        result = pretend_work(order)
        return result.model_copy(update={"facts": result.facts.model_copy(update={"frames": 4})})  # type: ignore[union-attr]

    cloud.work = short
    job = enhance(cloud, caller, upload(cloud, caller)).body
    cloud.drain()
    assert show(cloud, caller, job)["status"] == "failed"
    assert len(cloud.dispatched) == 3


def test_the_same_strength_again_only_after_a_failure(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = upload(cloud, caller, POISON)
    assert enhance(cloud, caller, asset).status == 202
    again = enhance(cloud, caller, asset)
    assert (again.status, again.body["message"]) == (
        422,
        "Speech enhancement already exists for specified asset, model and strength.",
    )
    cloud.drain()
    assert enhance(cloud, caller, asset).status == 202


def test_one_at_a_time_is_adobes_order(cloud: Cloud) -> None:
    caller = cloud.sign_in("single", max_active=1)
    asset = upload(cloud, caller)
    jobs = [enhance(cloud, caller, asset, strength).body for strength in (10, 20, 30)]
    cloud.drain()
    assert [order.job_id for order in cloud.dispatched] == [job["id"] for job in jobs]


def test_an_upload_that_was_asked_to_be_enhanced_starts_by_itself(cloud: Cloud, caller: dict[str, str]) -> None:
    command = CreateAsset(caller["x-api-key"], "talk.wav", len(GOOD), "audio/wav")
    submissions = bootstrap.native_services().submissions
    made = submissions.submit(command.client_id, command, Wish(strength=80))
    assert made.asset is not None
    asset = made.asset.asset
    boto3.client("s3").put_object(Bucket="audio-bucket", Key=asset.object_key, Body=GOOD)
    state = cloud.uploaded(asset.id, asset.client_id)
    cloud.uploaded(asset.id, asset.client_id)
    assert cloud.drain() == 1
    assert state["enqueued"]["job_id"] == made.job.id
    job = {"asset_id": asset.id, "id": made.job.id}
    done = show(cloud, caller, job)
    assert (done["status"], done["strength"]) == ("succeeded", 80)


def test_an_execution_that_timed_out_is_recovered(cloud: Cloud, caller: dict[str, str]) -> None:
    from lambdas.entrypoints import sweep
    from tests.integration.cloud import Context

    job = enhance(cloud, caller, upload(cloud, caller)).body
    assert bootstrap.admission_service().admit([caller["x-api-key"]]) == 1
    document = f'{{"job_id": "{job["id"]}", "client_id": "{caller["x-api-key"]}", "attempt": 1}}'
    event = {
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"status": "TIMED_OUT", "input": document},
    }
    assert sweep.handler(event, Context()) == {"recovered": True}
    assert sweep.handler(event, Context()) == {"recovered": False}
    cloud.drain()
    assert show(cloud, caller, job)["status"] == "succeeded"
    assert [order.attempt for order in cloud.dispatched] == [2]


def test_a_second_dispatch_of_an_attempt_outlives_the_first(cloud: Cloud, caller: dict[str, str]) -> None:
    from lambdas.entrypoints import complete
    from tests.integration.cloud import Context

    job = enhance(cloud, caller, upload(cloud, caller)).body
    bootstrap.admission_service().admit([caller["x-api-key"]])
    ref = JobRef(caller["x-api-key"], job["id"], 1)
    for token in ("first", "second"):  # Step Functions retried the step: the token is a new one
        bootstrap.dispatch_service().dispatch(ref, token)
    orders = {
        order.task_token: (found["Key"].removeprefix("orders/").removesuffix(".json"), order)
        for found in cloud.s3.list_objects_v2(Bucket="work-bucket", Prefix="orders/")["Contents"]
        for order in [
            WorkOrder.model_validate_json(cloud.s3.get_object(Bucket="work-bucket", Key=found["Key"])["Body"].read())
        ]
    }
    stale_id, stale = orders["first"]
    cancelled = WorkFailure(
        job_id=stale.job_id, attempt=1, error_code=ErrorCode.CANCELLED, message="unwanted", retryable=False
    )
    complete.handler(cloud.leave_answer(stale_id, cancelled), Context())
    live_id, live = orders["second"]
    complete.handler(cloud.leave_answer(live_id, pretend_work(live)), Context())
    assert cloud.tasks.answers["second"]["outcome"] == "ok"


def test_a_probe_that_fails_of_the_platform_condemns_no_file(cloud: Cloud, caller: dict[str, str]) -> None:
    from tests.integration.cloud import StateFailedError

    class StorageError(Exception):
        pass

    good = cloud.probe

    def away(_order: object) -> Any:
        raise StorageError

    cloud.probe = away
    asset = create(cloud, caller)
    assert cloud.put(asset, GOOD) == 200
    with pytest.raises(StateFailedError):
        cloud.uploaded(asset["id"], caller["x-api-key"])
    waiting = cloud.call("GET", f"{ASSETS}/{asset['id']}", headers=caller).body
    assert waiting["status"] == "waiting_for_upload"
    cloud.probe = good
    assert cloud.put(waiting, GOOD) == 200
    cloud.uploaded(asset["id"], caller["x-api-key"])
    assert cloud.call("GET", f"{ASSETS}/{asset['id']}", headers=caller).body["status"] == "ready_for_processing"


@pytest.mark.parametrize("error", OUT_OF_TIME)
def test_a_file_that_takes_too_long_to_read_is_too_long_and_not_damaged(
    cloud: Cloud, caller: dict[str, str], error: str
) -> None:
    def slow(_order: object) -> Any:
        raise TaskFailedError(error, "not read within 840 s")

    cloud.probe = slow
    asset = create(cloud, caller)
    assert cloud.put(asset, GOOD) == 200
    cloud.uploaded(asset["id"], caller["x-api-key"])

    shown = cloud.call("GET", f"{ASSETS}/{asset['id']}", headers=caller).body
    stored = bootstrap.intake_service().assets.get(caller["x-api-key"], asset["id"].rpartition(":")[2])
    assert shown["status"] == "invalid_upload"
    assert stored is not None
    assert stored.error_code == "input_too_long"
    assert "damaged" not in str(stored.error_message)


@pytest.mark.parametrize("step", ["Claim", "Dispatch", "Verify", "Succeed", "Notify"])
@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "TransientError"])
def test_two_minutes_without_functions_or_table_cost_no_attempt(
    cloud: Cloud, caller: dict[str, str], step: str, error: str
) -> None:
    """Most of all where the audio is already there: what was paid for is not thrown away."""
    asset = upload(cloud, caller)
    function = ENHANCEMENT.step(step).function
    works = cloud.functions[function]
    since_s: list[float] = []

    def busy(event: dict[str, Any], context: Any) -> Any:
        if event["step"] == step:
            since_s.append(cloud.waited_s)
            if cloud.waited_s - since_s[0] < 120:
                raise TaskFailedError(error, "Rate Exceeded")
        return works(event, context)

    cloud.functions[function] = busy
    job = enhance(cloud, caller, asset).body
    cloud.drain()

    assert len(since_s) > 1
    assert show(cloud, caller, job)["status"] == "succeeded"
    assert len(cloud.dispatched) == 1
    assert [told["job_id"] for told in cloud.outcomes()] == [job["id"]]


def test_a_failure_is_written_down_however_long_the_platform_is_away(cloud: Cloud) -> None:
    caller = cloud.sign_in("acme")
    works, since_s = cloud.functions[FunctionName.JOB_STEPS], []

    def busy(event: dict[str, Any], context: Any) -> Any:
        if event["step"] == "Fail":
            since_s.append(cloud.waited_s)
            if cloud.waited_s - since_s[0] < 120:
                raise TaskFailedError("Lambda.TooManyRequestsException", "Rate Exceeded")
        return works(event, context)

    cloud.functions[FunctionName.JOB_STEPS] = busy
    job = enhance(cloud, caller, upload(cloud, caller, POISON)).body
    cloud.drain()

    assert show(cloud, caller, job)["status"] == "failed"


def test_a_job_whose_execution_never_started_goes_back_to_the_queue(cloud: Cloud, caller: dict[str, str]) -> None:
    job = enhance(cloud, caller, upload(cloud, caller)).body
    jobs = bootstrap.sweep_service().jobs
    queued = jobs.get(caller["x-api-key"], job["id"])
    assert queued is not None
    long_ago = queued.requested_at.replace(year=2020)
    jobs.admit(queued.admitted(long_ago), max_active_total=10)  # and then admission died
    assert cloud.sweep()["recovered"] == 1
    cloud.drain()
    assert show(cloud, caller, job)["status"] == "succeeded"
    assert cloud.dispatched[0].attempt == 1


@pytest.fixture
def on_cpu(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("CLEARTAKE_SPEEDS", json.dumps({"cpu": FREE}))
    return cloud


def test_without_a_gpu_a_function_does_the_work(on_cpu: Cloud, caller: dict[str, str]) -> None:
    asset = upload(on_cpu, caller)
    job = enhance(on_cpu, caller, asset).body
    assert on_cpu.drain() == 1
    assert show(on_cpu, caller, job)["status"] == "succeeded"
    assert [order.attempt for order in on_cpu.dispatched] == [1]


def test_poison_on_the_function_is_the_files_fault(on_cpu: Cloud, caller: dict[str, str]) -> None:
    job = enhance(on_cpu, caller, upload(on_cpu, caller, POISON)).body
    assert on_cpu.drain() == 1
    assert show(on_cpu, caller, job)["status"] == "failed"


def test_a_function_out_of_memory_is_tried_again(on_cpu: Cloud, caller: dict[str, str]) -> None:
    def work(order: WorkOrder) -> Any:
        if order.attempt < 3:
            raise MemoryError("Runtime exited with error: signal: killed")
        return pretend_work(order)

    on_cpu.work = work
    job = enhance(on_cpu, caller, upload(on_cpu, caller)).body
    on_cpu.drain()
    assert show(on_cpu, caller, job)["status"] == "succeeded"
    assert [order.attempt for order in on_cpu.dispatched] == [1, 2, 3]


@pytest.fixture
def fanned_out(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Every file is an hour long and too long for one function."""
    hour = FACTS.model_copy(update={"frames": 3600 * FACTS.rate_hz, "duration_s": 3600.0})
    cloud.probe = lambda _order: ProbeResult(facts=hour).model_dump(mode="json")

    def work(order: WorkOrder) -> WorkResult | WorkFailure:
        result = pretend_work(order)
        return result.model_copy(update={"facts": hour}) if isinstance(result, WorkResult) else result

    cloud.work = work
    lanes = {"cpu": FREE | {"codecs": 1}, "cpu-fan-out": FREE | {"part_s": 900}}
    monkeypatch.setenv("CLEARTAKE_SPEEDS", json.dumps(lanes))
    return cloud


def test_a_file_too_long_for_one_function_is_made_in_parts(fanned_out: Cloud, caller: dict[str, str]) -> None:
    job = enhance(fanned_out, caller, upload(fanned_out, caller)).body
    assert fanned_out.drain() == 1
    assert show(fanned_out, caller, job)["status"] == "succeeded"
    assert [(part.part.start_s, part.part.end_s) for part in fanned_out.parts] == [
        (0, 900),
        (900, 1800),
        (1800, 2700),
        (2700, None),
    ]
    (order,) = fanned_out.dispatched
    assert order.parts == tuple(part.part for part in fanned_out.parts)
    assert {part.order.wet for part in fanned_out.parts} == {order.wet}


def test_poison_in_parts_is_the_files_fault(fanned_out: Cloud, caller: dict[str, str]) -> None:
    job = enhance(fanned_out, caller, upload(fanned_out, caller, POISON)).body
    fanned_out.drain()
    assert show(fanned_out, caller, job)["status"] == "failed"
    assert len(fanned_out.dispatched) == 1


def test_a_fan_out_that_dies_is_tried_again(fanned_out: Cloud, caller: dict[str, str]) -> None:
    work, calls = fanned_out.work, iter(range(10))

    def dying(order: WorkOrder) -> Any:
        if next(calls) < 2:
            raise MemoryError
        return work(order)

    fanned_out.work = dying
    job = enhance(fanned_out, caller, upload(fanned_out, caller)).body
    fanned_out.drain()
    assert show(fanned_out, caller, job)["status"] == "succeeded"
    assert [order.attempt for order in fanned_out.dispatched] == [1, 2, 3]
