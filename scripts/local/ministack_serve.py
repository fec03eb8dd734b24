"""Runs the AWS emulator with a few corrections. Started with the emulator's own Python, which has no package of ours.

Each correction reaches into MiniStack's internals, so it is tied to one version and refuses any other.
"""

import contextvars
import dataclasses
import importlib
import importlib.metadata
import json
import logging
import os
import pathlib
import re
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

PINNED_VERSION = "1.5.33"
AUTOSAVE_S = float(os.environ.get("CLEARTAKE_AUTOSAVE_S", "5"))

ROW_CHANGES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
SENDING = frozenset({"SendMessage", "SendMessageBatch"})
"""Not receiving and deleting: after a kill some messages come twice, as from any queue."""

app: Any
dynamodb: Any
iam_evaluator: Any
lambda_runtime: Any
lambda_service: Any
s3: Any
sns: Any
sqs: Any
stepfunctions: Any


def check_version() -> None:
    """Stop with the remedy if another MiniStack is installed."""
    found = importlib.metadata.version("ministack")
    if found != PINNED_VERSION:
        sys.exit(
            f"ministack {found} is installed, but the launcher's corrections fit {PINNED_VERSION} only. "
            "Remove .venv-emulator and run `make up` again."
        )


def send_small_answers_at_once() -> None:
    """Switch Nagle's algorithm off: the Lambda runtime API stalls two delayed ACKs (88 ms) an invocation otherwise."""
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def wait_less_for_logs() -> None:
    """Wait 3 ms instead of 50 ms for the first log line of an invocation that logs nothing."""
    for kind in vars(lambda_runtime).values():
        drain = kind.__dict__.get("_drain_stderr_bounded") if isinstance(kind, type) else None
        if drain is not None:
            drain.__defaults__ = (0.003, 0.002, 0.250)  # first line, idle, at most [s]


def boot_functions_in_turn() -> None:
    """Start as many environments at once as there are processors; MiniStack starts all, and none is up in time."""
    turns = threading.Semaphore(os.cpu_count() or 1)
    spawn = lambda_runtime.ProvidedWorker._spawn  # noqa: SLF001

    def spawn_in_turn(worker: Any, *arguments: Any, **options: Any) -> None:
        with turns:
            spawn(worker, *arguments, **options)

    lambda_runtime.ProvidedWorker._spawn = spawn_in_turn  # noqa: SLF001


def lose_failed_environments_alone() -> None:
    """Drop the environment that failed; MiniStack kills all of its function's, in the middle of their work."""
    acquire, invalidate, release = (
        lambda_service.acquire_worker,
        lambda_service.invalidate_worker,
        lambda_service.release_worker,
    )
    mine = threading.local()

    def acquire_noted(*arguments: Any, **options: Any) -> Any:
        mine.worker, reason = acquire(*arguments, **options)
        return mine.worker, reason

    def release_noted(worker: Any) -> None:
        mine.worker = None
        release(worker)

    def invalidate_mine(*arguments: Any, **options: Any) -> None:
        failed = getattr(mine, "worker", None)
        if failed is None:  # new code, say: it is for all of them
            invalidate(*arguments, **options)
            return
        with lambda_runtime._lock:  # noqa: SLF001
            for pool in lambda_runtime._workers.values():  # noqa: SLF001
                pool[:] = [worker for worker in pool if worker is not failed]
        lambda_runtime.kill_workers([failed])

    lambda_service.acquire_worker = acquire_noted
    lambda_service.invalidate_worker = invalidate_mine
    lambda_service.release_worker = release_noted


def accept_answers_without_body() -> None:
    """Send a function's answer whose body is null, as API Gateway does; MiniStack answers 500."""
    send_answer = app._send_response  # noqa: SLF001

    async def send_some_body(send: Any, status: int, headers: Any, body: Any, **options: Any) -> None:
        await send_answer(send, status, headers, b"" if body is None else body, **options)

    app._send_response = send_some_body  # noqa: SLF001


def enforce_heartbeats() -> None:
    """Fail a callback task whose worker stays silent for ``HeartbeatSeconds``; MiniStack stores the beats only."""
    invoke = stepfunctions._invoke_with_callback  # noqa: SLF001 - the emulator offers no hook

    def invoke_watched(resource: str, payload: Any, token: str, state: dict[str, Any]) -> Any:
        limit_s = state.get("HeartbeatSeconds")
        if limit_s:
            _in_background(_watch_heartbeat, token, float(limit_s))
        return invoke(resource, payload, token, state)

    stepfunctions._invoke_with_callback = invoke_watched  # noqa: SLF001


def _watch_heartbeat(token: str, limit_s: float) -> None:
    last_beat, last_change_s = None, time.monotonic()
    seen = False
    while True:
        time.sleep(min(1.0, limit_s / 4))
        task = stepfunctions._task_tokens.get(token)  # noqa: SLF001
        if task is None:
            # Gone after we saw it: answered. Never seen: still on its way, for one limit at most.
            if seen or time.monotonic() - last_change_s > limit_s:
                return
            continue
        seen = True
        if task["event"].is_set():
            return
        if task.get("heartbeat") != last_beat:
            last_beat, last_change_s = task.get("heartbeat"), time.monotonic()
        if time.monotonic() - last_change_s > limit_s:
            task["error"] = {"Error": "States.HeartbeatTimeout", "Cause": "Task heartbeat timed out"}
            task["event"].set()
            return


def fail_callbacks_with_their_function() -> None:
    """Fail a callback task at once if the function that should hand it over fails; MiniStack waits for the token."""
    call = stepfunctions._call_lambda  # noqa: SLF001

    def call_and_tell(function: str, payload: Any) -> Any:
        try:
            return call(function, payload)
        except stepfunctions._ExecutionError as error:  # noqa: SLF001
            token = payload.get("task_token") if isinstance(payload, dict) else None
            task = stepfunctions._task_tokens.get(token) if token else None  # noqa: SLF001
            if task is not None:
                task["error"] = {"Error": error.error, "Cause": error.cause}
                task["event"].set()
            raise

    stepfunctions._call_lambda = call_and_tell  # noqa: SLF001


def enforce_machine_timeouts() -> None:
    """End an execution after its machine's ``TimeoutSeconds``; MiniStack ignores the machine's own limit."""
    run, fail = stepfunctions._run_execution, stepfunctions._fail_execution  # noqa: SLF001

    def run_limited(arn: str) -> None:
        limit_s = _machine_timeout_s(arn)
        if limit_s is None:
            run(arn)
            return
        timer = threading.Timer(limit_s, contextvars.copy_context().run, args=(_time_out, arn))
        timer.daemon = True
        timer.start()
        try:
            run(arn)
        finally:
            timer.cancel()

    def fail_once(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    stepfunctions._run_execution = run_limited  # noqa: SLF001
    stepfunctions._fail_execution = fail_once  # noqa: SLF001


def _machine_timeout_s(arn: str) -> float | None:
    execution = stepfunctions._executions.get(arn)  # noqa: SLF001
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) if execution else None  # noqa: SLF001
    limit_s = json.loads(machine["definition"]).get("TimeoutSeconds") if machine else None
    return None if limit_s is None else float(limit_s)


def _time_out(arn: str) -> None:
    execution = stepfunctions._executions.get(arn)  # noqa: SLF001
    if execution is None or execution["status"] != "RUNNING":
        return
    execution.update(status="TIMED_OUT", stopDate=stepfunctions.now_iso(), error="States.Timeout")
    details = {"executionTimedOutEventDetails": {"error": "States.Timeout", "cause": ""}}
    stepfunctions._add_event(execution, "ExecutionTimedOut", details)  # noqa: SLF001
    stepfunctions._emit_execution_status_event(execution)  # noqa: SLF001


def journal_of(service: Any, name: str, actions: frozenset[str]) -> Any:
    """Return the journal of a service; our folder comes last, where none of its names can hide another."""
    sys.path.append(str(pathlib.Path(__file__).parent))
    return importlib.import_module("ministack_journal").Journal(service, name, actions)


def save_often() -> None:
    """Write the state every ``AUTOSAVE_S``: MiniStack saves at a clean stop only, and kill -9 would lose everything.

    Rows and messages are in journals besides. What a kill still loses is what Step Functions has begun since: the
    sweeper finds its jobs and uploads.
    """
    save, load, lock = app.save_all, app._load_persisted_state, threading.Lock()  # noqa: SLF001
    journals = (journal_of(dynamodb, "dynamodb", ROW_CHANGES), journal_of(sqs, "sqs", SENDING))
    for journal in journals:
        journal.begin()

    def save_alone(services: dict[str, Callable[[], Any]]) -> None:
        with lock:  # the last save at the stop must not meet one of ours half way
            save(services)
            for journal in journals:
                journal.forget_saved()

    def keep_saving() -> None:
        while True:
            time.sleep(AUTOSAVE_S)
            app.save_all(app._build_persistence_save_dict())  # noqa: SLF001

    def load_and_keep_saving() -> None:
        load()
        # Not before: on a busy machine loading takes longer than the first period, and nothing would replace all.
        threading.Thread(target=keep_saving, daemon=True, name="autosave").start()

    app.save_all = save_alone
    app._load_persisted_state = load_and_keep_saving  # noqa: SLF001
    logging.getLogger("persistence").setLevel(logging.WARNING)


def refuse_writes_on_request() -> None:
    """Answer 503 to writes of objects below the prefix that a file names, while it is there: what a drill asks for."""
    order = pathlib.Path(os.environ.get("CLEARTAKE_REFUSED_WRITES", ""))

    def refusing(write: Callable[..., Any]) -> Callable[..., Any]:
        def write_unless_refused(bucket: str, key: str, *arguments: Any) -> Any:
            if order.is_file() and key.startswith(order.read_text()):
                return s3._error("SlowDown", "Please reduce your request rate.", 503, f"/{bucket}/{key}")  # noqa: SLF001
            return write(bucket, key, *arguments)

        return write_unless_refused

    for name in ("_put_object", "_create_multipart_upload", "_upload_part", "_complete_multipart_upload"):
        setattr(s3, name, refusing(getattr(s3, name)))


def serve_versions_like_objects() -> None:
    """Honour ``Range`` and the ``response-*`` overrides also where a GET names a version.

    Without the first, every download in parts (boto3's from 8 MB on) puts whole files where parts belong.
    """
    get = s3._get_object  # noqa: SLF001

    def get_version(bucket: str, key: str, headers: dict[str, str], query: dict[str, Any] | None = None) -> Any:
        status, answered, body = get(bucket, key, headers, query)
        if status != 200 or not (query or {}).get("versionId"):
            return status, answered, body
        s3._apply_response_overrides(answered, query)  # noqa: SLF001
        wanted = s3._parse_range(headers["range"], len(body)) if headers.get("range") else None  # noqa: SLF001
        if wanted is None:
            return status, answered, body
        start, end = wanted
        answered["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
        answered["Content-Length"] = str(end + 1 - start)
        return 206, answered, body[start : end + 1]

    s3._get_object = get_version  # noqa: SLF001


def find_queues_on_another_port() -> None:
    """Keep a queue's address: who starts a kept home on another port had queues that no function listened to."""
    address_of = sqs._queue_url  # noqa: SLF001

    def known_address_of(name: str) -> str:
        return str(sqs._queue_name_to_url.get(name) or address_of(name))  # noqa: SLF001

    sqs._queue_url = known_address_of  # noqa: SLF001


POLICY_VARIABLE = re.compile(r"\$\{(.*?)\}")


def fill_policy_variables() -> None:
    """Put the caller's tags where a policy names them (``${aws:PrincipalTag/…}``); MiniStack compares the text."""
    first_match = iam_evaluator._first_match  # noqa: SLF001

    def first_filled(context: Any, statements: list[Any], effect: str) -> Any:
        keys = context.principal_keys
        return first_match(context, [_filled_statement(statement, keys) for statement in statements], effect)

    iam_evaluator._first_match = first_filled  # noqa: SLF001


def _filled_statement(statement: Any, keys: dict[str, Any]) -> Any:
    if not any("${" in text for text in (*statement.resources, str(statement.conditions))):
        return statement
    return dataclasses.replace(
        statement,
        resources=[_filled(text, keys) for text in statement.resources],
        conditions={
            operator: {key: [_filled(text, keys) for text in _listed(values)] for key, values in wanted.items()}
            for operator, wanted in statement.conditions.items()
        },
    )


def _filled(text: str, keys: dict[str, Any]) -> str:
    """Fill what is known; a variable that is not stays, and so matches nothing."""
    return POLICY_VARIABLE.sub(lambda name: str(keys.get(name[1].lower(), name[0])), text)


def _listed(values: Any) -> list[str]:
    return values if isinstance(values, list) else [str(values)]


def tell_of_success() -> None:
    """Send what an asynchronous invocation answered to its destination on success; MiniStack sends failures only."""
    begin, execute = lambda_service.invoke_async_with_retry, lambda_service._execute_function  # noqa: SLF001
    is_asynchronous: contextvars.ContextVar[bool] = contextvars.ContextVar("is_asynchronous", default=False)

    def begin_marked(function: dict[str, Any], event: dict[str, Any]) -> None:
        token = is_asynchronous.set(True)  # the invocation's thread runs in a copy of this context
        try:
            begin(function, event)
        finally:
            is_asynchronous.reset(token)

    def execute_and_tell(function: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = execute(function, event)
        topic = success_destination(function)
        if is_asynchronous.get() and topic and not result.get("error"):
            _publish(topic, success_record(event, result.get("body")))
        return result

    lambda_service.invoke_async_with_retry = begin_marked
    lambda_service._execute_function = execute_and_tell  # noqa: SLF001


def success_destination(function: dict[str, Any]) -> str:
    """Return the topic that the function's answers go to, or nothing."""
    config = function.get("event_invoke_config") or (function.get("event_invoke_configs") or {}).get("$LATEST") or {}
    return str(((config.get("DestinationConfig") or {}).get("OnSuccess") or {}).get("Destination") or "")


def success_record(event: dict[str, Any], answer: Any) -> dict[str, Any]:
    """Return what Lambda tells of an asynchronous invocation that went well."""
    return {
        "version": "1.0",
        "requestContext": {"condition": "Success", "approximateInvokeCount": 1},
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": json.loads(answer) if isinstance(answer, str | bytes) else answer,
    }


def _publish(topic: str, record: dict[str, Any]) -> None:
    sns._fanout(topic, lambda_service.new_uuid(), json.dumps(record), "Lambda result", "", {})  # noqa: SLF001


def _in_background(function: Callable[..., None], *arguments: object) -> None:
    # The emulator finds account and region in context variables, which a new thread does not inherit.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(function, *arguments), daemon=True).start()


def main() -> None:
    """Correct the emulator, then run it until SIGTERM."""
    global app, dynamodb, iam_evaluator, lambda_runtime, lambda_service  # noqa: PLW0603 - importable only with the emulator's Python
    global s3, sns, sqs, stepfunctions  # noqa: PLW0603
    check_version()
    send_small_answers_at_once()
    app = importlib.import_module("ministack.app")
    iam_evaluator = importlib.import_module("ministack.core.iam_evaluator")
    lambda_runtime = importlib.import_module("ministack.core.lambda_runtime")
    stepfunctions = importlib.import_module("ministack.services.stepfunctions")
    s3 = importlib.import_module("ministack.services.s3")
    sns = importlib.import_module("ministack.services.sns")
    sqs = importlib.import_module("ministack.services.sqs")
    dynamodb = importlib.import_module("ministack.services.dynamodb")
    lambda_service = importlib.import_module("ministack.services.lambda_svc")
    wait_less_for_logs()
    boot_functions_in_turn()
    lose_failed_environments_alone()
    accept_answers_without_body()
    serve_versions_like_objects()
    find_queues_on_another_port()
    refuse_writes_on_request()
    enforce_heartbeats()
    fail_callbacks_with_their_function()
    enforce_machine_timeouts()
    fill_policy_variables()
    tell_of_success()
    if AUTOSAVE_S > 0:
        save_often()
    app.main()


if __name__ == "__main__":
    main()
