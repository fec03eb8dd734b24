"""SageMaker's container contract, route by route."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gpu_container.contract import ErrorCode, WorkOrder, WorkResult
from gpu_container.engine.errors import EngineError
from gpu_container.serving.app import MAX_ORDER_BYTES, make_app
from gpu_container.serving.models import ModelShelf
from gpu_container.serving.worker import Worker
from tests.unit.http_server import running

from .conftest import TOKEN, Call, FakeEngine, to


@contextmanager
def connected(worker: Worker) -> Iterator[httpx.Client]:
    with running(make_app(worker)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def wait_for_ping(client: httpx.Client, status: int) -> None:
    deadline = time.monotonic() + 5
    while client.get("/ping").status_code != status:
        assert time.monotonic() < deadline, f"/ping never answered {status}"
        time.sleep(0.005)


@pytest.fixture
def client(worker: Worker) -> Iterator[httpx.Client]:
    with connected(worker) as client:
        wait_for_ping(client, 200)
        yield client


def test_ping_waits_for_the_models(worker: Worker, order: WorkOrder) -> None:
    gate = threading.Event()

    def load(name: str) -> Any:
        gate.wait(5)
        return name

    with connected(replace(worker, models=ModelShelf(load))) as client:
        assert client.get("/ping").status_code == 503
        assert client.post("/invocations", content=order.model_dump_json()).status_code == 503
        gate.set()
        wait_for_ping(client, 200)


def test_ping_tells_of_models_that_cannot_be_loaded(worker: Worker) -> None:
    def load(_: str) -> Any:
        raise EngineError(ErrorCode.MODEL_UNAVAILABLE, "no such file")

    with connected(replace(worker, models=ModelShelf(load))) as client:
        wait_for_ping(client, 500)


def test_order_is_answered_with_its_result(client: httpx.Client, order: WorkOrder) -> None:
    answer = client.post("/invocations", content=order.model_dump_json(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content), "SageMaker insists on a length"
    assert WorkResult.model_validate_json(answer.content).job_id == order.job_id


@pytest.mark.parametrize(
    ("code", "status"),
    [(ErrorCode.INPUT_CORRUPT, 400), (ErrorCode.CANCELLED, 400), (ErrorCode.ENGINE_FAILED, 500)],
)
def test_failure_is_an_error_with_a_document(
    client: httpx.Client, order: WorkOrder, engine: FakeEngine, code: ErrorCode, status: int
) -> None:
    def during(_: Call) -> None:
        raise EngineError(code, "why")

    engine.during = during
    answer = client.post("/invocations", content=order.model_dump_json())

    assert answer.status_code == status
    assert answer.json() | {"schema_version": 1} == {
        "schema_version": 1,
        "outcome": "failed",
        "job_id": "job",
        "attempt": 2,
        "error_code": code.value,
        "message": "why",
        "retryable": status == 500,
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"job_id": "job"}'])
def test_malformed_order_is_refused(client: httpx.Client, engine: FakeEngine, body: bytes) -> None:
    answer = client.post("/invocations", content=body)

    assert (answer.status_code, answer.json()["error"]) == (400, "MalformedOrder")
    assert engine.calls == 0


def test_refusal_names_the_field_and_not_its_value(client: httpx.Client, order: WorkOrder) -> None:
    wrong = order.model_dump(mode="json") | {"strength": 101, "task_token": [TOKEN]}

    message = client.post("/invocations", json=wrong).json()["message"]

    assert "strength: less_than_equal" in message
    assert "task_token" in message
    assert TOKEN not in message


def test_newer_fields_are_ignored_but_a_newer_version_is_not(client: httpx.Client, order: WorkOrder) -> None:
    document = order.model_dump(mode="json")
    assert client.post("/invocations", json=document | {"since": "later"}).status_code == 200
    assert client.post("/invocations", json=document | {"schema_version": 99}).status_code == 400


def test_huge_body_is_refused_unread(client: httpx.Client) -> None:
    assert client.post("/invocations", content=b" " * (MAX_ORDER_BYTES + 1)).status_code == 413


def test_orders_over_the_limit_are_refused(client: httpx.Client, order: WorkOrder, engine: FakeEngine) -> None:
    begun, gate = threading.Event(), threading.Event()

    def during(_: Call) -> None:
        begun.set()
        gate.wait(5)

    engine.during = during
    body = order.model_dump_json()
    with ThreadPoolExecutor(1) as background:
        first = background.submit(client.post, "/invocations", content=body)
        assert begun.wait(5)
        second = client.post("/invocations", content=body)
        ping = client.get("/ping")
        gate.set()
        assert first.result(5).status_code == 200
    assert (second.status_code, second.json()["error"]) == (503, "Busy")
    assert (ping.status_code, ping.json()) == (200, {"status": "busy"}), "a busy container is not replaced"
    again = to(order, "again").model_dump_json()
    assert client.post("/invocations", content=again).status_code == 200, "the slot is free again"


def test_stopping_container_takes_no_orders(client: httpx.Client, worker: Worker, order: WorkOrder) -> None:
    worker.stopping.set()

    assert client.post("/invocations", content=order.model_dump_json()).status_code == 503


def test_other_methods_and_paths_are_not_served(client: httpx.Client) -> None:
    assert client.get("/invocations").status_code == 405
    assert client.get("/").status_code == 404
    assert json.loads(client.get("/ping").content) == {"status": "ready"}
