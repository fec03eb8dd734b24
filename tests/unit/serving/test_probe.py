"""Probing, and the Lambda handlers around it and around the worker."""

import base64
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from gpu_container.contract import (
    AudioFacts,
    Checksum,
    ChecksumAlgorithm,
    ErrorCode,
    ProbeFailure,
    ProbeResult,
    WorkOrder,
)
from gpu_container.engine.audio_io import DecodeLimits
from gpu_container.engine.byte_io import ByteSource, FileSource
from gpu_container.engine.errors import EngineError
from gpu_container.serving import lambda_handler, probing
from gpu_container.serving.clients import Clients
from gpu_container.serving.probing import ProbeCrashError, ProbeTimeoutError
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.storage import StorageError
from gpu_container.serving.wiring import AudioEngine
from gpu_container.serving.worker import Worker
from lambdas.core.workflow import ASSET_INTAKE

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


def test_a_probe_whose_time_is_over_does_not_blame_the_file(tmp_path: Path) -> None:
    sf.write(tmp_path / "long", np.zeros((48_000 * 60, 2)), 48_000, format="FLAC")

    with pytest.raises(ProbeTimeoutError):
        probed(tmp_path / "long", limit_s=0.001)


def test_the_state_machine_knows_the_trouble_of_a_probe_by_its_name() -> None:
    tried = {error for retry in ASSET_INTAKE.step("Probe").retries for error in retry.errors}
    assert {error.__name__ for error in (ProbeTimeoutError, ProbeCrashError, StorageError)} <= tried


def test_what_hashing_takes_is_taken_from_the_probes_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sf.write(tmp_path / "talk", np.zeros((4_800, 2)), 48_000, format="WAV")
    digest = base64.b64encode(hashlib.sha256((tmp_path / "talk").read_bytes()).digest()).decode()
    seen: list[DecodeLimits] = []

    def probe(_: ByteSource, *, limits: DecodeLimits) -> AudioFacts:
        seen.append(limits)
        return FACTS

    class Slow(FileSource):
        def read_at(self, offset: int, size_bytes: int) -> bytes:
            time.sleep(0.2)
            return super().read_at(offset, size_bytes)

    monkeypatch.setattr(probing, "probe", probe)
    with Slow(tmp_path / "talk") as source:
        checksum = Checksum(algorithm=ChecksumAlgorithm.SHA256, value=digest)
        probing.answer(source, limit_s=20, memory_bytes=2**30, checksums=[checksum])

    (limits,) = seen
    assert limits.deadline_s is not None
    assert limits.deadline_s <= 19.8


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


def test_what_getting_keys_takes_is_taken_from_the_probes_time(
    handlers: Any, clients: Clients, settings: ServingSettings, order: WorkOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_s: list[float] = []

    def late(_: object) -> Clients:
        time.sleep(0.2)
        return clients

    def probe(_: ByteSource, *, limit_s: float, **_rest: Any) -> ProbeResult:
        given_s.append(limit_s)
        return ProbeResult(facts=FACTS)

    monkeypatch.setattr(lambda_handler, "_clients", late)
    monkeypatch.setattr(probing, "answer", probe)
    handlers.probe(probe_event(), None)

    assert settings.probe_limit_s - 100 < given_s[0] <= settings.probe_limit_s - 0.2


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
