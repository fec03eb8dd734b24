"""Probing in a child process, and the Lambda handlers around it and around the worker."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu_container.contract import ErrorCode, ProbeFailure, ProbeResult, WorkOrder
from gpu_container.serving import lambda_handler, sandbox
from gpu_container.serving.clients import Clients
from gpu_container.serving.sandbox import ProbeCrashError, probe_in_child
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.storage import StorageError
from gpu_container.serving.worker import Worker

from .conftest import BUCKET, FACTS

DECODERS = {
    "answers": "print(PROBE_RESULT)",
    "refuses": "print(PROBE_FAILURE); sys.exit(3)",
    "hangs": "time.sleep(60)",
    "crashes": "os.kill(os.getpid(), signal.SIGSEGV)",
    "spins": "resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass",
    "breaks": "sys.exit('the file says: secret')",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.fixture
def probe_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Probe with one of the decoders above in place of the engine's."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sandbox, "_MODULE", "decoder")

    def probe(name: str, *, limit_s: float = 20) -> ProbeResult | ProbeFailure:
        result = ProbeResult(facts=FACTS).model_dump_json()
        refused = ProbeFailure(error_code=ErrorCode.INPUT_EMPTY, message="no frames").model_dump_json()
        code = "import os, resource, signal, sys, time\n"
        code += f"PROBE_RESULT = {result!r}\nPROBE_FAILURE = {refused!r}\n"
        (tmp_path / "decoder.py").write_text(code + DECODERS[name])
        return probe_in_child(tmp_path / "input", limit_s=limit_s, memory_bytes=2**30)

    return probe


def test_answer_and_refusal_come_through(probe_with: Any) -> None:
    assert probe_with("answers") == ProbeResult(facts=FACTS)
    assert probe_with("refuses") == ProbeFailure(error_code=ErrorCode.INPUT_EMPTY, message="no frames")


@pytest.mark.parametrize(("name", "limit_s"), [("hangs", 0.3), ("crashes", 20), ("spins", 20)])
def test_file_that_brings_the_decoder_down_is_corrupt(probe_with: Any, name: str, limit_s: float) -> None:
    answer = probe_with(name, limit_s=limit_s)

    assert (answer.outcome, answer.error_code) == ("failed", ErrorCode.INPUT_CORRUPT)


@pytest.mark.parametrize("name", ["breaks", "killed"])
def test_our_own_trouble_is_not_blamed_on_the_file(probe_with: Any, name: str) -> None:
    with pytest.raises(ProbeCrashError) as caught:
        probe_with(name)
    assert "secret" not in str(caught.value)


def test_child_gets_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sandbox, "_MODULE", "decoder")
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.setenv(name, "secret")
    seen = tmp_path / "seen.json"
    (tmp_path / "decoder.py").write_text(
        "import json, os, pathlib\n"
        f"pathlib.Path({str(seen)!r}).write_text(json.dumps(list(os.environ)))\n"
        "raise SystemExit(9)"
    )

    with pytest.raises(ProbeCrashError):
        probe_in_child(tmp_path / "input", limit_s=20, memory_bytes=2**30)

    assert not [name for name in json.loads(seen.read_text()) if name.startswith("AWS_")]


@pytest.fixture
def handlers(settings: ServingSettings, clients: Clients, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(lambda_handler, "_settings", lambda: settings)
    monkeypatch.setattr(lambda_handler, "_clients", lambda: clients)
    monkeypatch.setattr(lambda_handler, "_worker", lambda: worker)
    return lambda_handler


def probe_event(key: str = "in") -> dict[str, Any]:
    return {"schema_version": 1, "input": {"bucket": BUCKET, "key": key}}


def test_probe_handler_answers_with_a_document(
    handlers: Any, order: WorkOrder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[bytes] = []

    def probe(path: Path, **_: Any) -> ProbeResult:
        seen.append(path.read_bytes())
        return ProbeResult(facts=FACTS)

    monkeypatch.setattr(lambda_handler, "probe_in_child", probe)
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
