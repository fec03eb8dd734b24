"""Parts of one order: each made once, kept beside one another, taken up by the order itself."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import numpy as np
import pytest
import soundfile as sf

from gpu_container.contract import ErrorCode, ObjectRef, Part, PartOrder, PartResult, WorkFailure, WorkOrder, WorkResult
from gpu_container.engine.errors import EngineError
from gpu_container.engine.stft import Real
from gpu_container.serving import lambda_handler
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.wiring import make_worker
from gpu_container.serving.worker import PartFailedError, Worker
from lambdas.adapters.aws import items
from lambdas.core.jobs import Job, JobStatus
from tests.engine.signals import error_db, noisy_voice

from .conftest import BUCKET, KEY, TOKEN, Call, FakeEngine, FakeStepFunctions, client_error, to, until

PARTS = (Part(number=0, start_s=0, end_s=5), Part(number=1, start_s=5, end_s=10), Part(number=2, start_s=10))

NEVER = datetime.min.replace(tzinfo=UTC)


@pytest.fixture
def whole(order: WorkOrder) -> WorkOrder:
    """Return an order whose wet track lies in parts."""
    place = ObjectRef(bucket=BUCKET, key="wet/client/asset/1/dfn3-auto")
    return order.model_copy(update={"wet": place, "parts": PARTS})


def make(worker: Worker, order: WorkOrder, part: Part) -> PartResult:
    outcome = worker.run_part(PartOrder(order=order, part=part))
    assert isinstance(outcome, PartResult)
    return outcome


def kept_keys() -> list[str]:
    listed = boto3.client("s3").list_object_versions(Bucket=BUCKET, Prefix="wet/").get("Versions", [])
    return sorted(version["Key"] for version in listed)


def test_parts_are_kept_beside_one_another_and_taken_up(worker: Worker, whole: WorkOrder, engine: FakeEngine) -> None:
    made = [make(worker, whole, part) for part in PARTS]
    result = worker.run(whole)

    assert [(one.number, one.attempt, one.network_inferences) for one in made] == [(0, 2, 1), (1, 2, 1), (2, 2, 1)]
    assert kept_keys() == [f"wet/client/asset/1/dfn3-auto.parts/{name}" for name in ("0-5", "10-end", "5-10")]
    assert isinstance(result, WorkResult)
    assert result.network_inferences == 0


def test_the_whole_tells_what_its_parts_took(worker: Worker, whole: WorkOrder) -> None:
    took = [make(worker, whole, part).model_copy(update={"seconds": 1.5}) for part in PARTS]
    result = worker.run(whole.model_copy(update={"part_results": tuple(took)}))

    assert isinstance(result, WorkResult)
    assert (result.parts_seconds, result.seconds < 1.5) == (4.5, True)


def test_a_part_that_is_kept_costs_nothing(worker: Worker, whole: WorkOrder, engine: FakeEngine) -> None:
    for expected in (1, 0):
        assert make(worker, whole, PARTS[1]).network_inferences == expected

    assert engine.calls == 1
    assert len(kept_keys()) == 1


def test_a_part_of_another_engine_is_made_anew(worker: Worker, whole: WorkOrder, engine: FakeEngine) -> None:
    make(worker, whole, PARTS[0])
    engine.version = "2"

    assert make(worker, whole, PARTS[0]).network_inferences == 1


@pytest.fixture
def job(row: Any) -> Callable[[], Job]:
    """Make the row that of a whole job; return what reads it."""
    now = datetime.now(UTC)
    made = Job("job", "client", "asset", 80, "dfn3", now, now, status=JobStatus.DISPATCHED, attempt=2)
    row.put_item(Item=items.from_job(made, expires_at=None))
    return lambda: items.to_job(row.get_item(Key=KEY)["Item"])


@pytest.fixture
def beat(steps: FakeStepFunctions) -> Callable[[], None]:
    """Return what waits until a whole beat has begun and ended."""

    def wait() -> None:
        before = len(steps.tokens)
        until(lambda: len(steps.tokens) >= before + 2)

    return wait


def test_each_part_counts_once_and_the_assembly_goes_on_from_there(
    worker: Worker, whole: WorkOrder, engine: FakeEngine, job: Callable[[], Job], beat: Callable[[], None]
) -> None:
    seen, begun = [], []
    for part in (PARTS[2], PARTS[0], PARTS[0], PARTS[1]):
        make(worker, whole, part)
        seen.append(round(job().progress, 1))
        begun.append((job().started_at, job().started_percent))

    def during(call: Call) -> None:
        seen.append(round(job().progress, 1))
        call.on_progress(50.0, 100.0)
        beat()
        seen.append(round(job().progress, 1))

    engine.during = during
    worker.run(whole)

    assert seen == [16.7, 33.3, 33.3, 50.0, 50.0, 73.5]
    ((first, percent),) = set(begun)
    assert (job().started_percent, percent) == (50.0, 0.0)
    assert (job().started_at or NEVER) > (first or NEVER) > NEVER


def test_a_part_tells_how_far_it_is(
    worker: Worker, whole: WorkOrder, engine: FakeEngine, job: Callable[[], Job], beat: Callable[[], None]
) -> None:
    seen: list[float] = []

    def during(call: Call) -> None:
        for completed_s in (0.4, 3.7, 1.0):
            call.on_progress(completed_s, 5.0)
            beat()
            seen.append(round(job().progress, 1))

    engine.during = during
    make(worker, whole, PARTS[0])

    assert seen == [0.0, 11.7, 11.7]
    assert job().status is JobStatus.RUNNING


def test_what_parts_have_told_ends_with_their_attempt(
    worker: Worker, whole: WorkOrder, row: Any, job: Callable[[], Job]
) -> None:
    make(worker, whole, PARTS[0])
    cancelled, again = job().cancelled(datetime.now(UTC)), job().requeued(datetime.now(UTC))
    row.put_item(Item=items.from_job(cancelled, expires_at=None))
    assert round(job().progress, 1) == 16.7
    row.put_item(Item=items.from_job(again, expires_at=None))
    late = worker.run_part(PartOrder(order=whole, part=PARTS[1]))
    assert isinstance(late, WorkFailure)
    assert (job().progress, job().started_at, job().started_percent) == (0.0, None, 0.0)


def test_a_part_keeps_the_task_alive(
    worker: Worker, whole: WorkOrder, engine: FakeEngine, row: Any, steps: FakeStepFunctions
) -> None:
    engine.during = lambda _: until(lambda: len(steps.tokens) >= 2)

    make(worker, whole, PARTS[0])

    item = row.get_item(Key=KEY)["Item"]
    assert item["status"] == "running"
    assert item["heartbeat_at"].endswith("Z")
    assert len(steps.tokens) >= 2
    assert set(steps.tokens) == {TOKEN}


def test_a_part_that_nobody_wants_any_more_ends(
    worker: Worker, whole: WorkOrder, engine: FakeEngine, steps: FakeStepFunctions
) -> None:
    def during(call: Call) -> None:
        steps.refusal = "TaskTimedOut"
        until(call.is_cancelled)
        raise EngineError(ErrorCode.CANCELLED, "cancelled")

    engine.during = during
    outcome = worker.run_part(PartOrder(order=whole, part=PARTS[0]))

    assert isinstance(outcome, WorkFailure)
    assert (outcome.error_code, outcome.retryable) == (ErrorCode.CANCELLED, False)
    assert kept_keys() == []


def test_a_fault_of_the_input_is_a_document(worker: Worker, whole: WorkOrder, engine: FakeEngine) -> None:
    def during(_: Call) -> None:
        raise EngineError(ErrorCode.INPUT_CORRUPT, "damaged")

    engine.during = during
    outcome = worker.run_part(PartOrder(order=whole, part=PARTS[0]))

    assert isinstance(outcome, WorkFailure)
    assert (outcome.error_code, outcome.retryable, outcome.attempt) == (ErrorCode.INPUT_CORRUPT, False, 2)


@pytest.mark.parametrize("trouble", [EngineError(ErrorCode.ENGINE_FAILED, "ours"), ZeroDivisionError("secret")])
def test_what_a_retry_can_help_is_raised(
    worker: Worker, whole: WorkOrder, engine: FakeEngine, trouble: Exception
) -> None:
    def during(_: Call) -> None:
        raise trouble

    engine.during = during
    with pytest.raises(PartFailedError) as caught:
        worker.run_part(PartOrder(order=whole, part=PARTS[0]))

    assert str(caught.value).startswith("engine_failed: ")
    assert "secret" not in str(caught.value)


def test_storage_that_refuses_a_part_is_tried_again(
    worker: Worker, whole: WorkOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> Any:
        raise client_error("SlowDown")

    monkeypatch.setattr(worker.clients.s3, "put_object", refuse)
    with pytest.raises(PartFailedError, match="storage_failed: upload: SlowDown"):
        worker.run_part(PartOrder(order=whole, part=PARTS[0]))


def test_an_order_whose_part_is_missing_may_be_retried(worker: Worker, whole: WorkOrder) -> None:
    for part in PARTS[:2]:
        make(worker, whole, part)
    outcome = worker.run(whole)

    assert isinstance(outcome, WorkFailure)
    assert (outcome.error_code, outcome.retryable) == (ErrorCode.ENGINE_FAILED, True)


def test_the_function_tells_parts_from_orders(
    worker: Worker, whole: WorkOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lambda_handler, "_worker", lambda: worker)

    parts = [lambda_handler.enhance(PartOrder(order=whole, part=part).model_dump(mode="json"), None) for part in PARTS]
    result = lambda_handler.enhance({**whole.model_dump(mode="json"), "inference_id": "j-2"}, None)

    assert [PartResult.model_validate(part).number for part in parts] == [0, 1, 2]
    assert WorkResult.model_validate(result).network_inferences == 0


def test_the_engine_itself_in_parts(aws: None, settings: ServingSettings) -> None:
    voice = noisy_voice(seconds=14.2, rate_hz=48_000)
    file = io.BytesIO()
    sf.write(file, voice.T, 48_000, format="WAV", subtype="FLOAT")
    boto3.client("s3").put_object(Bucket=BUCKET, Key="in", Body=file.getvalue())
    worker = make_worker(settings)
    alone = WorkOrder(
        job_id="job",
        attempt=1,
        input=ObjectRef(bucket=BUCKET, key="in"),
        output=ObjectRef(bucket=BUCKET, key="out"),
        content_type="audio/wav",
        strength=80,
        model="dfn3",
    )
    expected = _sound(worker.run(alone))
    whole = to(alone, "whole").model_copy(update={"wet": ObjectRef(bucket=BUCKET, key="wet/it"), "parts": PARTS})

    for part in PARTS:
        assert make(worker, whole, part).network_inferences > 0
    result = worker.run(whole)

    assert isinstance(result, WorkResult)
    assert (result.network_inferences, result.facts.frames) == (0, voice.shape[1])
    assert error_db(_sound(result), expected) < -40


def _sound(result: object) -> Real:
    assert isinstance(result, WorkResult)
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key=result.output.key)["Body"].read()
    samples, _ = sf.read(io.BytesIO(body), dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples.T)
