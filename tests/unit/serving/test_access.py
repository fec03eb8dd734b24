"""The keys to an order: asked for when the work begins, renewed while it lasts; and what a refusal means."""

import io
import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import botocore.session
import pytest
from botocore.exceptions import EndpointConnectionError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpu_container.contract import (
    AccessGrant,
    AccessRefusal,
    ErrorCode,
    ObjectRef,
    ProbeFailure,
    ProbeOrder,
    WorkFailure,
    WorkOrder,
    WorkResult,
)
from gpu_container.serving import lambda_handler
from gpu_container.serving.access import Access, make_access
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.worker import Worker
from tests.unit.http_server import running

from .conftest import BUCKET, TOKEN, FakeEngine, client_error, to

REFUSAL = AccessRefusal()


@dataclass
class FakeFunction:
    """Answers as the function does; ``answers`` are taken in turn, the last one again and again."""

    answers: list[AccessGrant | AccessRefusal | Exception | dict[str, Any]]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        assert arguments["FunctionName"] == "lender"
        self.asked.append(json.loads(arguments["Payload"]))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, dict):
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(answer).encode())}
        return {"StatusCode": 200, "Payload": io.BytesIO(answer.model_dump_json().encode())}


def granted(name: str, *, minutes: float = 30) -> AccessGrant:
    expires_at = datetime.now(UTC) + timedelta(minutes=minutes)
    return AccessGrant(access_key_id=name, secret_access_key="secret", session_token="session", expires_at=expires_at)


Lend = Callable[..., tuple[Worker, FakeFunction]]


@pytest.fixture
def lend(worker: Worker, settings: ServingSettings) -> Lend:
    """Make a worker that is lent keys with these answers."""

    def make(*answers: Any) -> tuple[Worker, FakeFunction]:
        function = FakeFunction(list(answers))
        loader = botocore.session.Session().get_component("data_loader")
        access = Access(settings.model_copy(update={"access_function": "lender"}), function, loader)  # type: ignore[arg-type]
        return replace(worker, access=access), function

    return make


@pytest.fixture
def signers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return whose keys signed, in order, in what the worker asked of AWS."""
    seen: list[str] = []
    sign = botocore.auth.SigV4Auth.add_auth

    def noted(self: Any, request: Any) -> None:
        seen.append(self.credentials.access_key)
        sign(self, request)

    monkeypatch.setattr(botocore.auth.SigV4Auth, "add_auth", noted)
    return seen


def without_token(order: WorkOrder) -> WorkOrder:
    """Return the order without what moto cannot answer: heartbeats of task tokens."""
    return order.model_copy(update={"task_token": None})


def test_an_order_is_worked_on_with_its_own_keys_alone(order: WorkOrder, lend: Lend, signers: list[str]) -> None:
    worker, function = lend(granted("ORDER"))

    assert isinstance(worker.run(without_token(order)), WorkResult)

    assert set(signers) == {"ORDER"}
    assert len(function.asked) == 1


def test_the_worker_proves_that_it_has_the_order_and_names_no_object(order: WorkOrder, lend: Lend) -> None:
    worker, function = lend(REFUSAL)
    worker.run(order)
    assert function.asked == [
        {"schema_version": 1, "purpose": "work", "job_id": "job", "attempt": 2, "task_token": TOKEN}
    ]


def test_an_order_that_nobody_waits_for_ends_quietly_before_any_work(
    order: WorkOrder, lend: Lend, engine: FakeEngine, signers: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    worker, _ = lend(REFUSAL)

    outcome = worker.run(order)

    assert isinstance(outcome, WorkFailure)
    assert (outcome.error_code, outcome.retryable) == (ErrorCode.CANCELLED, False)
    assert (engine.calls, signers) == (0, [])
    assert "Traceback" not in caplog.text


def test_keys_are_renewed_while_the_work_lasts(
    order: WorkOrder, lend: Lend, engine: FakeEngine, signers: list[str]
) -> None:
    worker, function = lend(granted("FIRST", minutes=9), granted("SECOND"))

    assert isinstance(worker.run(without_token(order)), WorkResult)

    assert set(signers) == {"SECOND"}
    assert len(function.asked) == 2


def test_an_order_whose_keys_are_not_renewed_ends_as_a_cancelled_one(order: WorkOrder, lend: Lend) -> None:
    worker, _ = lend(granted("FIRST", minutes=9), REFUSAL)

    outcome = worker.run(order.model_copy(update={"task_token": None, "progress": None}))

    assert isinstance(outcome, WorkFailure)
    assert (outcome.error_code, outcome.retryable) == (ErrorCode.CANCELLED, False)


def test_the_heartbeat_hears_of_keys_that_are_not_renewed(order: WorkOrder, lend: Lend, engine: FakeEngine) -> None:
    worker, _ = lend(granted("FIRST", minutes=9), REFUSAL)

    outcome = worker.run(without_token(order))

    assert isinstance(outcome, WorkFailure)
    assert outcome.error_code is ErrorCode.CANCELLED
    assert engine.calls == 0


@pytest.mark.parametrize(
    "trouble",
    [
        client_error("TooManyRequestsException"),
        EndpointConnectionError(endpoint_url="http://lender"),
        {"errorType": "TransientError", "errorMessage": "AssumeRole failed"},
    ],
    ids=["throttled", "unreachable", "failed"],
)
def test_trouble_with_the_lender_is_no_cancellation(
    order: WorkOrder, lend: Lend, engine: FakeEngine, trouble: Any
) -> None:
    worker, _ = lend(trouble)

    outcome = worker.run(order)

    assert isinstance(outcome, WorkFailure)
    assert (outcome.error_code, outcome.retryable) == (ErrorCode.STORAGE_FAILED, True)
    assert engine.calls == 0


def test_trouble_with_renewing_while_the_keys_are_good_changes_nothing(order: WorkOrder, lend: Lend) -> None:
    worker, _ = lend(granted("FIRST", minutes=14), client_error("TooManyRequestsException"))
    assert isinstance(worker.run(without_token(order)), WorkResult)


def test_a_wet_track_that_is_missing_may_look_forbidden(
    order: WorkOrder, worker: Worker, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So S3 answers who may not list the bucket."""
    wet = ObjectRef(bucket=BUCKET, key="wet")
    s3 = worker.clients.s3
    look = s3.head_object

    def head_object(**named: Any) -> Any:
        try:
            return look(**named)
        except s3.exceptions.ClientError:
            raise client_error("403") from None

    monkeypatch.setattr(s3, "head_object", head_object)

    for key in ("first", "second"):
        assert isinstance(worker.run(to(order, key).model_copy(update={"wet": wet})), WorkResult)
    assert engine.computed == 1


def test_a_probe_asks_for_its_upload(
    lend: Lend, order: WorkOrder, settings: ServingSettings, monkeypatch: pytest.MonkeyPatch, signers: list[str]
) -> None:
    worker, function = lend(granted("UPLOAD"))
    monkeypatch.setattr(lambda_handler, "_settings", lambda: settings)
    monkeypatch.setattr(lambda_handler, "_access", lambda: worker.access)

    answer = lambda_handler.probe(ProbeOrder(input=order.input).model_dump(mode="json"), None)

    assert answer["error_code"] in {ErrorCode.INPUT_CORRUPT, ErrorCode.INPUT_UNSUPPORTED, ErrorCode.INPUT_NO_AUDIO}
    assert function.asked == [{"schema_version": 1, "purpose": "probe", "input_key": "in"}]
    assert set(signers) == {"UPLOAD"}


def test_a_probe_that_nobody_waits_for_answers_all_the_same(lend: Lend, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, _ = lend(REFUSAL)
    monkeypatch.setattr(lambda_handler, "_settings", lambda: worker.settings)
    monkeypatch.setattr(lambda_handler, "_access", lambda: worker.access)

    answer = lambda_handler.probe({"input": {"bucket": BUCKET, "key": "in"}}, None)

    assert ProbeFailure.model_validate(answer).error_code is ErrorCode.CANCELLED


def test_without_a_lender_the_processs_own_keys_are_used(settings: ServingSettings, aws: None) -> None:
    session = botocore.session.Session()
    assert make_access(settings, session) is None
    access = make_access(settings.model_copy(update={"access_function": "lender"}), session)
    assert access
    assert access.loader is session.get_component("data_loader")


def test_a_lender_that_gets_no_room_for_two_minutes_is_waited_for(
    settings: ServingSettings, order: WorkOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_s: list[float] = []

    async def answer(_: Request) -> Response:
        if sum(waited_s) < 120:
            return JSONResponse({}, 429, {"x-amzn-errortype": "TooManyRequestsException"})
        return Response(granted("UPLOAD").model_dump_json())

    lender = Starlette(routes=[Route("/{rest:path}", answer, methods=["POST"])])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "process")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    random.seed(7)  # of the jitter
    with running(lender) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=waited_s.append))
        access = make_access(settings.model_copy(update={"access_function": "lender"}), botocore.session.Session())
        assert access
        clients = access.to_probe(ProbeOrder(input=order.input))

    assert clients.s3.meta.service_model.service_name == "s3"
    assert 120 <= sum(waited_s) < 600


def test_neither_token_nor_keys_are_logged(order: WorkOrder, lend: Lend, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="gpu_container")
    worker, _ = lend(granted("KEYNAME", minutes=9), REFUSAL)
    worker.run(order)
    for secret in (TOKEN, "KEYNAME", "secret", "session"):
        assert secret not in caplog.text


def test_a_malformed_grant_is_not_shown(order: WorkOrder, lend: Lend, caplog: pytest.LogCaptureFixture) -> None:
    wrong = granted("KEYNAME").model_copy(update={"expires_at": "soon"})
    worker, _ = lend(wrong)
    with pytest.warns(UserWarning, match="serializer"):  # the fake's own
        assert isinstance(worker.run(order), WorkFailure)
    assert "KEYNAME" not in caplog.text
