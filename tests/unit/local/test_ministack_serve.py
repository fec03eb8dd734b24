"""The corrections of the emulator, on stand-ins for the parts they reach into."""

import contextvars
import importlib.metadata
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.local import ministack_serve


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a Step Functions service with one running execution."""
    execution = {"status": "RUNNING", "stateMachineArn": "machine"}

    def fail(execution: dict[str, Any], error: str, cause: str) -> None:
        execution.update(status="FAILED", error=error)

    fake = SimpleNamespace(
        _executions={"execution": execution},
        _state_machines={"machine": {"definition": '{"TimeoutSeconds": 0.1}'}},
        _task_tokens={},
        _run_execution=lambda *_: None,
        _fail_execution=fail,
        _invoke_with_callback=lambda *_: "answered",
        _add_event=lambda *_: None,
        _emit_execution_status_event=lambda _: None,
        now_iso=lambda: "now",
    )
    monkeypatch.setattr(ministack_serve, "stepfunctions", fake, raising=False)
    return fake


def test_another_version_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2.0.0")
    with pytest.raises(SystemExit, match=r"ministack 2\.0\.0 .* 1\.5\.33 only.*\.venv-emulator"):
        ministack_serve.check_version()


def test_a_silent_worker_loses_its_task(states: SimpleNamespace) -> None:
    task = states._task_tokens["token"] = {"event": threading.Event(), "error": None, "heartbeat": None}
    ministack_serve._watch_heartbeat("token", 0.1)
    assert task["event"].is_set()
    assert task["error"]["Error"] == "States.HeartbeatTimeout"


def test_a_worker_that_beats_keeps_its_task(states: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    task = states._task_tokens["token"] = {"event": threading.Event(), "error": None, "heartbeat": None}
    limit_s, now_s = 120.0, [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds
        task["heartbeat"] = f"{now_s[0] // 100}"  # the beats come every 100 s
        if now_s[0] > 5 * limit_s:
            states._task_tokens.clear()  # answered

    monkeypatch.setattr(ministack_serve, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now_s[0]))
    ministack_serve._watch_heartbeat("token", limit_s)
    assert task["error"] is None
    assert now_s[0] > 5 * limit_s


def test_a_machine_that_takes_too_long_times_out_once(states: SimpleNamespace) -> None:
    def slow(arn: str) -> None:
        deadline = time.monotonic() + 30
        while states._executions[arn]["status"] == "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.01)
        states._fail_execution(states._executions[arn], "Late", "")

    states._run_execution = slow
    ministack_serve.enforce_machine_timeouts()
    states._run_execution("execution")
    assert states._executions["execution"]["status"] == "TIMED_OUT"


def test_a_machine_in_time_is_left_alone(states: SimpleNamespace) -> None:
    states._state_machines["machine"]["definition"] = '{"TimeoutSeconds": 0.5}'
    ministack_serve.enforce_machine_timeouts()
    states._run_execution("execution")
    time.sleep(0.6)
    assert states._executions["execution"]["status"] == "RUNNING"


def test_only_steps_with_a_heartbeat_are_watched(states: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[object] = []
    monkeypatch.setattr(ministack_serve, "_in_background", lambda *given: watched.append(given[1:]))
    ministack_serve.enforce_heartbeats()
    for state in ({}, {"HeartbeatSeconds": 120}):
        assert states._invoke_with_callback("arn", {}, "token", state) == "answered"
    assert watched == [("token", 120.0)]


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a Lambda service that runs asynchronous invocations in threads, as MiniStack does."""

    def begin(function: dict[str, Any], event: dict[str, Any]) -> None:
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(fake._execute_function, function, event))
        thread.start()
        thread.join()

    fake = SimpleNamespace(
        published=[],
        new_uuid=lambda: "id",
        invoke_async_with_retry=begin,
        _execute_function=lambda function, event: {"body": {"answer": event["question"]}, **function["result"]},
    )
    topics = SimpleNamespace(_fanout=lambda topic, _id, body, *_: fake.published.append((topic, json.loads(body))))
    monkeypatch.setattr(ministack_serve, "lambda_service", fake, raising=False)
    monkeypatch.setattr(ministack_serve, "sns", topics, raising=False)
    ministack_serve.tell_of_success()
    return fake


def _function(**result: object) -> dict[str, Any]:
    destination = {"DestinationConfig": {"OnSuccess": {"Destination": "topic"}}}
    return {"result": result, "event_invoke_configs": {"$LATEST": destination}}


def test_what_an_asynchronous_invocation_answers_goes_to_its_destination(functions: SimpleNamespace) -> None:
    functions.invoke_async_with_retry(_function(), {"question": 6})
    ((topic, record),) = functions.published
    assert (topic, record["requestContext"]["condition"]) == ("topic", "Success")
    assert (record["requestPayload"], record["responsePayload"]) == ({"question": 6}, {"answer": 6})


def test_failures_calls_that_wait_and_functions_without_a_destination_are_left_alone(
    functions: SimpleNamespace,
) -> None:
    functions.invoke_async_with_retry(_function(error=True), {"question": 1})
    functions.invoke_async_with_retry({"result": {}}, {"question": 2})
    functions._execute_function(_function(), {"question": 3})
    assert functions.published == []


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Return a storage whose writes of objects may be refused."""
    fake = SimpleNamespace(_error=lambda code, _message, status, _resource: (status, {}, code.encode()))
    for name in ("_put_object", "_create_multipart_upload", "_upload_part", "_complete_multipart_upload"):
        setattr(fake, name, lambda *_: (200, {}, b""))
    fake.order = tmp_path / "refused-writes"
    monkeypatch.setenv("CLEARTAKE_REFUSED_WRITES", str(fake.order))
    monkeypatch.setattr(ministack_serve, "s3", fake, raising=False)
    ministack_serve.refuse_writes_on_request()
    return fake


def test_a_drill_has_writes_refused_below_a_prefix_and_for_as_long_as_it_likes(objects: SimpleNamespace) -> None:
    assert objects._put_object("audio", "out/x", b"", {})[0] == 200
    objects.order.write_text("out/")
    assert objects._put_object("audio", "out/x", b"", {})[0] == 503
    assert objects._upload_part("audio", "out/x", b"", {}, {})[0] == 503
    assert objects._put_object("audio", "in/x", b"", {})[0] == 200
    objects.order.unlink()
    assert objects._put_object("audio", "out/x", b"", {})[0] == 200


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a pool of environments of one function, and the service that takes them from it."""
    pool: list[str] = []
    runtime = SimpleNamespace(_lock=threading.Lock(), _workers={"function": pool}, killed=[], ProvidedWorker=object)
    runtime.kill_workers = runtime.killed.extend

    def acquire(name: str) -> tuple[str, str]:
        pool.append(name)
        return name, "spawn"

    fake = SimpleNamespace(
        pool=pool,
        runtime=runtime,
        acquire_worker=acquire,
        release_worker=lambda _: None,
        invalidate_worker=lambda _: pool.clear(),
    )
    monkeypatch.setattr(ministack_serve, "lambda_runtime", runtime, raising=False)
    monkeypatch.setattr(ministack_serve, "lambda_service", fake, raising=False)
    ministack_serve.lose_failed_environments_alone()
    return fake


def test_an_environment_that_fails_takes_no_other_along(environments: SimpleNamespace) -> None:
    environments.pool.append("busy")
    worker, _ = environments.acquire_worker("failing")
    environments.invalidate_worker("function")
    environments.release_worker(None)
    assert environments.pool == ["busy"]
    assert environments.runtime.killed == [worker]


def test_new_code_replaces_every_environment(environments: SimpleNamespace) -> None:
    worker, _ = environments.acquire_worker("old")
    environments.release_worker(worker)
    environments.invalidate_worker("function")
    assert environments.pool == []


def test_environments_boot_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = [0], [0]

    class Worker:
        def _spawn(self) -> None:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            time.sleep(0.02)
            at_once[0] -= 1

    monkeypatch.setattr(ministack_serve, "lambda_runtime", SimpleNamespace(ProvidedWorker=Worker), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    ministack_serve.boot_functions_in_turn()
    booting = [threading.Thread(target=Worker()._spawn) for _ in range(8)]
    for thread in booting:
        thread.start()
    for thread in booting:
        thread.join()
    assert most[0] <= 2


@dataclass
class Statement:
    """MiniStack's parsed statement, as far as it matters."""

    resources: list[str]
    conditions: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what MiniStack's evaluation gets to see of statements, for a caller with one tag."""
    fake = SimpleNamespace(_first_match=lambda _context, statements, _effect: statements)
    monkeypatch.setattr(ministack_serve, "iam_evaluator", fake, raising=False)
    ministack_serve.fill_policy_variables()
    caller = SimpleNamespace(principal_keys={"aws:principaltag/job": "j1-1"})
    return lambda *statements: fake._first_match(caller, list(statements), "Allow")


def test_a_policy_names_objects_and_rows_by_the_callers_tags(seen: Any) -> None:
    conditions = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["C#${aws:PrincipalTag/job}"]}}
    (filled,) = seen(Statement(["arn:aws:s3:::b/out/${aws:PrincipalTag/job}.*"], conditions))
    assert filled.resources == ["arn:aws:s3:::b/out/j1-1.*"]
    assert filled.conditions == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["C#j1-1"]}}


def test_a_tag_that_the_caller_has_not_names_nothing(seen: Any) -> None:
    resource = "arn:aws:s3:::b/in/${aws:PrincipalTag/upload}"
    (unfilled,) = seen(Statement([resource]))
    assert unfilled.resources == [resource]


def test_statements_without_variables_are_left_alone(seen: Any) -> None:
    plain = Statement(["*"], {"StringLike": {"s3:prefix": "in/*"}})
    assert seen(plain)[0] is plain


def test_nothing_is_saved_before_what_was_saved_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the first save came while the state was still being loaded: it replaced all with nothing."""
    done: list[str] = []
    service = SimpleNamespace(handle_request=None, get_state=None, _restore_state=None)
    fake = SimpleNamespace(save_all=None, _load_persisted_state=lambda: done.append("loaded"))
    for name, stand_in in (("app", fake), ("dynamodb", service), ("sqs", service)):
        monkeypatch.setattr(ministack_serve, name, stand_in, raising=False)
    begun = SimpleNamespace(start=lambda: done.append("saving begun"))
    monkeypatch.setattr(threading, "Thread", lambda **_: begun)
    ministack_serve.save_often()
    fake._load_persisted_state()
    assert done == ["loaded", "saving begun"]


def test_a_queue_is_found_where_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"old": "http://localhost:1/000000000000/old"}
    fake = SimpleNamespace(_queue_name_to_url=known, _queue_url=lambda name: f"http://localhost:2/000000000000/{name}")
    monkeypatch.setattr(ministack_serve, "sqs", fake, raising=False)
    ministack_serve.find_queues_on_another_port()
    assert [fake._queue_url(name) for name in ("old", "new")] == [known["old"], "http://localhost:2/000000000000/new"]
