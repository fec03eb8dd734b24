"""Probing, and the Lambda handlers around it and around the worker."""

import base64
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from gpu_container.contract import Checksum, ChecksumAlgorithm, ErrorCode, ProbeFailure, ProbeResult, WorkOrder
from gpu_container.engine.byte_io import ByteSource, FileSource
from gpu_container.engine.errors import EngineError
from gpu_container.serving import lambda_handler, probing
from gpu_container.serving.clients import Clients
from gpu_container.serving.probing import ProbeCrashError
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.storage import StorageError
from gpu_container.serving.wiring import AudioEngine
from gpu_container.serving.worker import Worker

from .conftest import BUCKET, FACTS


def _probe_that_raises(code: ErrorCode) -> Any:
    def probe(*_: object, **__: object) -> None:
        raise EngineError(code, "what happened")

    return probe


def probed(path: Path, *, limit_s: float) -> ProbeResult | ProbeFailure:
    with FileSource(path) as source:
        return probing.answer(source, limit_s=limit_s, memory_bytes=2**30)


def test_a_good_file_is_described_and_a_bad_one_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    sf.write(good, np.zeros((4_800, 2)), 48_000, format="WAV")
    bad.write_bytes(b"not audio")

    described = probed(good, limit_s=20)
    refused = probed(bad, limit_s=20)

    assert isinstance(described, ProbeResult)
    assert (described.facts.container, described.facts.channels, described.facts.frames) == ("wav", 2, 4_800)
    assert isinstance(refused, ProbeFailure)
    assert refused.error_code is ErrorCode.INPUT_CORRUPT


def test_a_probe_that_takes_too_long_blames_the_file(tmp_path: Path) -> None:
    sf.write(tmp_path / "long", np.zeros((48_000 * 60, 2)), 48_000, format="FLAC")

    answer = probed(tmp_path / "long", limit_s=0.001)

    assert isinstance(answer, ProbeFailure)
    assert answer.error_code is ErrorCode.INPUT_CORRUPT


@pytest.mark.parametrize("algorithm", ChecksumAlgorithm)
def test_a_file_that_is_not_the_declared_one_is_refused(tmp_path: Path, algorithm: ChecksumAlgorithm) -> None:
    sf.write(tmp_path / "talk", np.zeros((600_000, 2)), 48_000, format="WAV", subtype="DOUBLE")  # more than one block
    body = (tmp_path / "talk").read_bytes()

    def declared(data: bytes) -> Checksum:
        return Checksum(algorithm=algorithm, value=base64.b64encode(hashlib.new(algorithm, data).digest()).decode())

    def answer(checksum: Checksum) -> ProbeResult | ProbeFailure:
        with FileSource(tmp_path / "talk") as source:
            return probing.answer(source, limit_s=20, memory_bytes=2**30, checksums=[checksum])

    assert len(body) > probing._BLOCK_BYTES
    assert isinstance(answer(declared(body)), ProbeResult)
    refused = answer(declared(body[:-1] + b"x"))
    assert isinstance(refused, ProbeFailure)
    assert (refused.error_code, refused.error_code.is_input_fault) == (ErrorCode.INPUT_CHECKSUM_MISMATCH, True)
    assert algorithm in refused.message


def test_our_own_trouble_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "input").touch()
    monkeypatch.setattr(probing, "probe", _probe_that_raises(ErrorCode.ENGINE_FAILED))

    with pytest.raises(ProbeCrashError):
        probed(tmp_path / "input", limit_s=20)


@pytest.fixture
def handlers(settings: ServingSettings, clients: Clients, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(lambda_handler, "_settings", lambda: settings)
    monkeypatch.setattr(lambda_handler, "_clients", lambda _: clients)
    monkeypatch.setattr(lambda_handler, "_worker", lambda: worker)
    return lambda_handler


def probe_event(key: str = "in") -> dict[str, Any]:
    return {"schema_version": 1, "input": {"bucket": BUCKET, "key": key}}


def test_probe_handler_answers_with_a_document(
    handlers: Any, order: WorkOrder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[bytes] = []

    def probe(source: ByteSource, **_: Any) -> ProbeResult:
        seen.append(source.read_at(0, 100))
        return ProbeResult(facts=FACTS)

    monkeypatch.setattr(probing, "answer", probe)
    answer = handlers.probe(probe_event(), None)

    assert json.loads(json.dumps(answer)) == answer
    assert ProbeResult.model_validate(answer).facts == FACTS
    assert seen == [b"speech"]
    assert list(tmp_path.iterdir()) == []


def test_probe_handler_raises_what_a_retry_can_help(handlers: Any) -> None:

    with pytest.raises(StorageError):
        handlers.probe(probe_event("absent"), None)


def test_enhance_handler_carries_out_an_order(handlers: Any, order: WorkOrder) -> None:
    answer = handlers.enhance(order.model_dump(mode="json"), None)

    assert (answer["outcome"], answer["job_id"]) == ("ok", "job")


def test_probe_needs_neither_onnxruntime_nor_http() -> None:
    """The probe's cold start is what a client waits for after an upload."""
    import subprocess

    code = (
        "import gpu_container.serving.lambda_handler, sys\n"
        "sys.exit(','.join({'onnxruntime', 'starlette', 'uvicorn'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.stderr.strip() == ""


def test_a_function_gives_its_one_order_every_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(lambda_handler, "_settings", ServingSettings)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4, 5})
    assert lambda_handler._worker.__wrapped__().engine == AudioEngine(jobs=6)
