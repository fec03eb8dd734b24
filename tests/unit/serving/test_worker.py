"""One order from start to end: what is read, written, told and left behind."""

import hashlib
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from gpu_container.contract import (
    EnhancementReport,
    ErrorCode,
    ObjectRef,
    ReportLevel,
    WaveformPeaks,
    WorkFailure,
    WorkOrder,
    WorkResult,
)
from gpu_container.engine.errors import EngineError
from gpu_container.serving.models import ModelShelf
from gpu_container.serving.wiring import AudioEngine
from gpu_container.serving.worker import S3Wet, Worker

from .conftest import BUCKET, FACTS, KEY, TOKEN, Call, FakeEngine, FakeStepFunctions, client_error, to, until

ENHANCED = b"enhanced:speech"


def failure(worker: Worker, order: WorkOrder) -> WorkFailure:
    outcome = worker.run(order)
    assert isinstance(outcome, WorkFailure)
    return outcome


def wait_until_cancelled(call: Call) -> None:
    until(call.is_cancelled)
    raise EngineError(ErrorCode.CANCELLED, "cancelled")


def output_versions() -> list[Any]:
    return boto3.client("s3").list_object_versions(Bucket=BUCKET, Prefix="out").get("Versions", [])


def test_result_describes_what_was_stored(worker: Worker, order: WorkOrder, tmp_path: Path) -> None:
    result = worker.run(order)

    assert isinstance(result, WorkResult)
    stored = boto3.client("s3").get_object(Bucket=BUCKET, Key="out")
    assert stored["Body"].read() == ENHANCED
    assert stored["ContentType"] == "audio/wav"
    assert result.output == ObjectRef(bucket=BUCKET, key="out", version_id=stored["VersionId"])
    assert (result.size_bytes, result.sha256) == (len(ENHANCED), hashlib.sha256(ENHANCED).hexdigest())
    assert (result.facts, result.warnings, result.model) == (FACTS, ("quiet",), "dfn3")
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_never_replaced(worker: Worker, order: WorkOrder) -> None:
    first = worker.run(order)

    assert isinstance(first, WorkResult)
    assert failure(worker, order).retryable
    assert [version["VersionId"] for version in output_versions()] == [first.output.version_id]


def test_output_larger_than_one_part_goes_in_parts(
    worker: Worker, order: WorkOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_container.serving.storage.PART_BYTES", 8)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)

    result = worker.run(order)

    assert isinstance(result, WorkResult)
    assert result.output.version_id == output_versions()[0]["VersionId"]


def test_reads_the_pinned_version(worker: Worker, order: WorkOrder) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key="in", Body=b"a later upload")

    worker.run(order)

    assert boto3.client("s3").get_object(Bucket=BUCKET, Key="out")["Body"].read() == ENHANCED


def test_first_beat_comes_before_the_work(
    worker: Worker, order: WorkOrder, engine: FakeEngine, row: Any, steps: FakeStepFunctions
) -> None:
    seen: list[Any] = []
    engine.during = lambda _: seen.append((row.get_item(Key=KEY)["Item"], list(steps.tokens)))

    worker.run(order)

    item, tokens = seen[0]
    assert item["status"] == "running"
    assert item["started_at"] <= item["heartbeat_at"]
    assert item["heartbeat_at"].endswith("Z")
    assert item["version"] == 7
    assert tokens[0] == TOKEN


def test_progress_only_grows(
    worker: Worker, order: WorkOrder, engine: FakeEngine, row: Any, steps: FakeStepFunctions
) -> None:
    def during(call: Call) -> None:
        call.on_progress(50.0, 100.0)
        call.on_progress(10.0, 100.0)
        told = len(steps.tokens)
        until(lambda: len(steps.tokens) >= told + 2)

    engine.during = during
    worker.run(order)

    assert float(row.get_item(Key=KEY)["Item"]["progress"]) == pytest.approx(48.5)


def test_heartbeats_go_on_during_the_work(
    worker: Worker, order: WorkOrder, engine: FakeEngine, row: Any, steps: FakeStepFunctions
) -> None:
    seen: list[Any] = []

    def during(_: Call) -> None:
        seen.append(row.get_item(Key=KEY)["Item"]["started_at"])
        until(lambda: len(steps.tokens) >= 3)

    engine.during = during
    worker.run(order)
    assert row.get_item(Key=KEY)["Item"]["started_at"] == seen[0], "a later beat moved the start"
    beats = len(steps.tokens)
    time.sleep(0.1)

    assert beats >= 3
    assert len(steps.tokens) == beats, "beats after the end"


def test_order_without_token_and_row_needs_neither(worker: Worker, order: WorkOrder, steps: FakeStepFunctions) -> None:
    result = worker.run(order.model_copy(update={"task_token": None, "progress": None}))

    assert isinstance(result, WorkResult)
    assert steps.tokens == []


@pytest.mark.parametrize(
    "change", [{"attempt": 3}, {"status": "failed"}, {"status": "queued"}], ids=["superseded", "ended", "requeued"]
)
def test_unwanted_attempt_does_no_work(
    worker: Worker, order: WorkOrder, engine: FakeEngine, row: Any, change: dict[str, Any]
) -> None:
    before = {**KEY, "status": "running", "attempt": 2, "progress": 12} | change
    row.put_item(Item=before)

    outcome = failure(worker, order)

    assert (outcome.error_code, outcome.retryable) == (ErrorCode.CANCELLED, False)
    assert engine.calls == 0
    assert row.get_item(Key=KEY)["Item"] == before


@pytest.mark.parametrize("refusal", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_refused_token_stops_the_engine(
    worker: Worker, order: WorkOrder, engine: FakeEngine, steps: FakeStepFunctions, refusal: str
) -> None:
    def during(call: Call) -> None:
        steps.refusal = refusal
        wait_until_cancelled(call)

    engine.during = during
    outcome = failure(worker, order)

    assert (outcome.error_code, outcome.retryable) == (ErrorCode.CANCELLED, False)
    assert output_versions() == []


def test_attempt_cancelled_at_the_last_block_leaves_no_output(
    worker: Worker, order: WorkOrder, engine: FakeEngine, row: Any
) -> None:
    def during(call: Call) -> None:
        row.update_item(
            Key=KEY,
            UpdateExpression="SET #s = :s",
            ExpressionAttributeNames={"#s": "status"},
            ExpressionAttributeValues={":s": "failed"},
        )
        until(call.is_cancelled)

    engine.during = during

    assert failure(worker, order).error_code is ErrorCode.CANCELLED
    assert output_versions() == []


def test_throttled_heartbeat_does_not_stop_the_work(worker: Worker, order: WorkOrder, steps: FakeStepFunctions) -> None:
    steps.refusal = "ThrottlingException"

    assert isinstance(worker.run(order), WorkResult)


def test_stopping_worker_hands_the_order_back(worker: Worker, order: WorkOrder, engine: FakeEngine) -> None:
    def during(call: Call) -> None:
        worker.stopping.set()
        wait_until_cancelled(call)

    engine.during = during
    outcome = failure(worker, order)

    assert (outcome.error_code, outcome.retryable) == (ErrorCode.ENGINE_FAILED, True)


@pytest.mark.parametrize(
    ("code", "retryable"),
    [(ErrorCode.INPUT_CORRUPT, False), (ErrorCode.INPUT_EMPTY, False), (ErrorCode.ENGINE_FAILED, True)],
)
def test_engine_error_keeps_its_code(
    worker: Worker, order: WorkOrder, engine: FakeEngine, code: ErrorCode, retryable: bool
) -> None:
    def during(_: Call) -> None:
        raise EngineError(code, "as the engine says")

    engine.during = during
    outcome = failure(worker, order)

    assert (outcome.error_code, outcome.retryable, outcome.message) == (code, retryable, "as the engine says")
    assert (outcome.job_id, outcome.attempt) == ("job", 2)


def test_unexpected_error_is_a_document_too(worker: Worker, order: WorkOrder, engine: FakeEngine) -> None:
    def during(_: Call) -> None:
        raise ZeroDivisionError("s3://secret/path")

    engine.during = during
    outcome = failure(worker, order)

    assert (outcome.error_code, outcome.message) == (ErrorCode.ENGINE_FAILED, "ZeroDivisionError")


@pytest.mark.parametrize("ref", [ObjectRef(bucket=BUCKET, key="absent"), ObjectRef(bucket="no-such-bucket", key="in")])
def test_missing_input_cannot_be_helped_by_a_retry(worker: Worker, order: WorkOrder, ref: ObjectRef) -> None:
    outcome = failure(worker, order.model_copy(update={"input": ref}))

    assert (outcome.error_code, outcome.retryable) == (ErrorCode.STORAGE_FAILED, False)


def test_output_that_cannot_be_written_may_be_retried(
    worker: Worker, order: WorkOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise client_error("SlowDown")

    monkeypatch.setattr(worker.clients.s3, "put_object", refuse)
    outcome = failure(worker, order)

    assert (outcome.error_code, outcome.retryable) == (ErrorCode.STORAGE_FAILED, True)
    assert outcome.message == "upload: SlowDown"


def test_work_that_fails_midway_leaves_no_parts(
    worker: Worker, order: WorkOrder, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def during(_: Call) -> None:
        raise EngineError(ErrorCode.INPUT_CORRUPT, "damaged")

    monkeypatch.setattr("gpu_container.serving.storage.PART_BYTES", 8)
    engine.during = during
    failure(worker, order)

    assert output_versions() == []
    assert not boto3.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_report_and_pictures_lie_beside_the_result(worker: Worker, order: WorkOrder) -> None:
    result = worker.run(order.model_copy(update={"report": ReportLevel.FULL}))

    assert isinstance(result, WorkResult)
    extras = {name: getattr(result, name) for name in ("report", "spectrogram", "waveform", "peaks")}
    assert {name: ref.key for name, ref in extras.items()} == {
        "report": "out.report.json",
        "spectrogram": "out.spectrogram.png",
        "waveform": "out.waveform.png",
        "peaks": "out.peaks.json",
    }
    stored = {name: boto3.client("s3").get_object(Bucket=BUCKET, Key=ref.key) for name, ref in extras.items()}
    assert stored["spectrogram"]["ContentType"] == "image/png"
    report = EnhancementReport.model_validate_json(stored["report"]["Body"].read())
    assert (report.output, report.strength) == (FACTS, 80)
    assert WaveformPeaks.model_validate_json(stored["peaks"]["Body"].read()).length == 1


def test_without_a_report_the_result_lies_alone(worker: Worker, order: WorkOrder) -> None:
    result = worker.run(order)

    assert isinstance(result, WorkResult)
    assert (result.report, result.spectrogram) == (None, None)
    assert [version["Key"] for version in output_versions()] == ["out"]


def test_second_strength_takes_the_kept_wet_track(worker: Worker, order: WorkOrder, engine: FakeEngine) -> None:
    with_wet = order.model_copy(update={"wet": ObjectRef(bucket=BUCKET, key="wet")})
    inferences = []
    for strength in (40, 80):
        result = worker.run(to(with_wet, f"out-{strength}").model_copy(update={"strength": strength}))
        assert isinstance(result, WorkResult)
        inferences.append(result.network_inferences)

    assert inferences == [2, 0]
    assert engine.computed == 1


def test_wet_track_of_another_engine_is_made_anew(worker: Worker, order: WorkOrder, engine: FakeEngine) -> None:
    with_wet = order.model_copy(update={"wet": ObjectRef(bucket=BUCKET, key="wet")})
    worker.run(with_wet)
    engine.version = "2"

    assert isinstance(worker.run(to(with_wet, "again")), WorkResult)
    assert engine.computed == 2


def test_a_wet_track_that_another_worker_kept_meanwhile_stays(
    worker: Worker, order: WorkOrder, engine: FakeEngine
) -> None:
    with_wet = order.model_copy(update={"wet": ObjectRef(bucket=BUCKET, key="wet")})
    other = replace(worker, engine=FakeEngine())

    def during(_: Call) -> None:
        engine.during = None
        # Both looked before either had kept one; then the other was quicker.
        wet = S3Wet(worker.clients, with_wet.wet, engine.wet_version("dfn3"))
        with wet.kept() as kept:
            assert kept is None
            assert isinstance(other.run(to(with_wet, "other")), WorkResult)
            with wet.keep() as sink:
                sink.write_at(0, b"late")

    engine.during = during
    assert isinstance(worker.run(with_wet), WorkResult)

    versions = boto3.client("s3").list_object_versions(Bucket=BUCKET, Prefix="wet")["Versions"]
    assert len(versions) == 1
    assert boto3.client("s3").get_object(Bucket=BUCKET, Key="wet")["Body"].read() == b"wet:speech"


def test_trouble_while_the_codec_reads_may_be_retried(
    worker: Worker, order: WorkOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> Any:
        raise client_error("SlowDown")

    real = replace(worker, engine=AudioEngine(), models=ModelShelf(lambda _: None))  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(worker.clients.s3, "get_object", refuse)
    outcome = failure(real, order)

    assert (outcome.error_code, outcome.retryable) == (ErrorCode.STORAGE_FAILED, True)
    assert outcome.message == "download: SlowDown"


def test_model_is_loaded_once(worker: Worker, order: WorkOrder) -> None:
    loaded: list[str] = []

    def load(name: str) -> Any:
        loaded.append(name)
        return name

    busy = replace(worker, models=ModelShelf(load))
    for number, model in enumerate(("dfn3", "dfn3-ll", "dfn3")):
        assert isinstance(busy.run(to(order, f"out-{number}").model_copy(update={"model": model})), WorkResult)
    assert loaded == ["dfn3", "dfn3-ll"]


def test_logs_name_the_job_and_never_the_token(
    worker: Worker, order: WorkOrder, caplog: pytest.LogCaptureFixture, steps: FakeStepFunctions
) -> None:
    steps.refusal = "ThrottlingException"
    with caplog.at_level(logging.DEBUG):
        worker.run(order)

    told = [str(vars(record)) for record in caplog.records if record.name.startswith("gpu_container")]
    assert told
    assert not [line for line in told if TOKEN in line or "speech" in line]
