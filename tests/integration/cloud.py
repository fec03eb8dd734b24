"""The whole product in one process on moto: real API Gateway, S3, SQS and SNS events through the real handlers.

The state machines are walked by their own table (``lambdas.core.workflow``), so a step that the table names and
no function answers fails here first.
"""

import base64
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import boto3
import requests
from aws_lambda_powertools.utilities.typing import LambdaContext

from gpu_container.contract import PartOrder, PartResult, ProbeOrder, WorkFailure, WorkOrder, WorkResult
from lambdas import bootstrap
from lambdas.core.workflow import (
    ASSET_INTAKE,
    END,
    ENHANCEMENT,
    ERROR_KEY,
    FAN_OUT,
    ITEM,
    WHOLE_STATE,
    Each,
    FunctionName,
    Machine,
    Retry,
    Step,
)
from lambdas.dialects.common import Route
from lambdas.dialects.registry import DIALECTS, DOCS_ROUTES, FALLBACK, TOKEN_ROUTE
from lambdas.entrypoints import admit, api, complete, dispatch, docs, erase, intake, job_steps, sweep, token
from lambdas.entrypoints.steps import EXECUTION_EVENT
from tests.ports.conftest import TABLE, create_table, state_machine

AUDIO, WORK = "audio-bucket", "work-bucket"
BASE_URL = "https://speech.example.com"
FREE = {"mono": {"dfn3": 0}, "stereo": {"dfn3": 0}, "dereverb": 0, "report": 0, "codecs": 0, "limit_s": 60}
"""The speed of a lane that everything fits."""

QUEUES = ("stops", "outcomes", "erasing", "deliveries", "dead-deliveries", "fetching", "fetch-failures")

Handler = Callable[[dict[str, Any], Any], Any]

OWN: dict[Route, Handler] = {TOKEN_ROUTE: token.handler} | dict.fromkeys(DOCS_ROUTES, docs.handler)
"""What functions of their own answer."""


class Context(LambdaContext):
    """The few facts Powertools asks for."""

    def __init__(self) -> None:
        self._function_name = "test"
        self._memory_limit_in_mb = 128
        self._invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:test"
        self._aws_request_id = str(uuid.uuid4())


class StateFailedError(Exception):
    """A state failed and nothing caught it."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any
    text: str


@dataclass
class Cloud:
    """``probe`` and ``work`` are the container: order in, answer out."""

    probe: Callable[[ProbeOrder], dict[str, Any]]
    work: Callable[[WorkOrder], WorkResult | WorkFailure]
    dispatched: list[WorkOrder] = field(default_factory=list)
    resolvers: dict[str, Any] = field(default_factory=dict)
    parts: list[PartOrder] = field(default_factory=list)
    waited_s: float = 0.0
    """What all executions together have waited between tries; no test does."""

    def __post_init__(self) -> None:
        create_table()
        s3 = boto3.client("s3")
        for bucket in (AUDIO, WORK):
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=AUDIO, VersioningConfiguration={"Status": "Enabled"})
        self.s3 = s3
        key = boto3.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
        sqs = boto3.client("sqs")
        queue = sqs.create_queue(QueueName="admit.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        self.queues = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in QUEUES}
        role = boto3.client("iam").create_role(RoleName="presign", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        self.queue_url = queue
        self.machine_arn, self.fan_out_arn = state_machine("Enhancement"), state_machine("FanOut")
        self.environment = {
            "TABLE": TABLE,
            "DIALECT": "adobe",
            "AUDIO_BUCKET": AUDIO,
            "WORK_BUCKET": WORK,
            "ADMIT_QUEUE_URL": queue,
            "STOP_QUEUE_URL": self.queues["stops"],
            "OUTCOME_QUEUE_URL": self.queues["outcomes"],
            "ERASE_QUEUE_URL": self.queues["erasing"],
            "DELIVERY_QUEUE_URL": self.queues["deliveries"],
            "DELIVERY_DEAD_LETTERS_URL": self.queues["dead-deliveries"],
            "FETCH_QUEUE_URL": self.queues["fetching"],
            "FETCH_FAILURE_QUEUE_URL": self.queues["fetch-failures"],
            "WEBHOOK_KEY_ID": boto3.client("kms").create_key()["KeyMetadata"]["KeyId"],
            "WEBHOOK_RETRY_DELAYS_S": "[0.5, 0.5]",
            "ALLOW_LOOPBACK": "true",
            "INTAKE_MACHINE_ARN": self.machine_arn.replace("Enhancement", "AssetIntake"),
            "MAX_ACTIVE_TOTAL": "100",
            "SIGNING_KEY_ID": key,
            "PRESIGN_ROLE_ARN": role,
            "WORK_ROLE_ARN": role,
            "PUBLIC_BASE_URL": BASE_URL,
            "STATE_MACHINE_ARN": self.machine_arn,
            "ENDPOINT_NAME": "enhance",
            "GPU_INSTANCE_TYPE": "ml.g4dn.xlarge",
            "GPU_CONCURRENCY": "2",
            "CPU_MEMORY_MIB": "3008",
            "CPU_ARCHITECTURE": "arm64",
            "CPU_FUNCTION": "enhance-cpu",
            "FAN_OUT_MACHINE_ARN": self.fan_out_arn,
            "SPEEDS": json.dumps({"gpu": FREE}),
        }
        self.cpu = FakeFunctions()
        self.functions: dict[FunctionName, Handler] = {
            FunctionName.INTAKE: intake.handler,
            FunctionName.PROBE: lambda event, _context: self.probe(ProbeOrder.model_validate(event)),
            FunctionName.JOB_STEPS: job_steps.handler,
            FunctionName.DISPATCH: dispatch.handler,
            FunctionName.ENHANCE_CPU: self._enhance_cpu,
        }

    # --- the client's side

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        raw: str | None = None,
    ) -> Answer:
        event = _proxy_event(method, path, raw if raw is not None else json.dumps(body) if body is not None else None)
        event["headers"].update(headers or {})
        event["multiValueHeaders"] = {name: [value] for name, value in event["headers"].items()}
        answer = self._answer(path.partition("?")[0], event)
        found = {name: values[-1] for name, values in (answer.get("multiValueHeaders") or {}).items()}
        text = answer.get("body") or ""
        is_json = "json" in found.get("Content-Type", "")
        return Answer(answer["statusCode"], found, json.loads(text) if is_json and text else None, text)

    def _answer(self, path: str, event: dict[str, Any]) -> dict[str, Any]:
        """Let the function answer that API Gateway would choose."""
        own = next((name for route, name in OWN.items() if route.matches(event["httpMethod"], path)), None)
        if own is None:
            return dict(self._resolver(path).resolve(event, Context()))
        answer: dict[str, Any] = own(event, Context())
        return answer | {"multiValueHeaders": {name: [value] for name, value in answer["headers"].items()}}

    def _resolver(self, path: str) -> Any:
        """Return the resolver of the dialect that owns the path, as API Gateway would choose its function."""
        owner = next((one for one in DIALECTS if path.startswith(one.prefixes)), FALLBACK)
        if owner.name not in self.resolvers:
            self.resolvers[owner.name] = owner.build(api.SERVICES[owner.name])
        return self.resolvers[owner.name]

    def sign_in(self, name: str, *, max_active: int = 5, max_queued: int = 100) -> dict[str, str]:
        """Make a client and return the two headers of its calls."""
        administration = bootstrap.client_administration(TABLE)
        client, secret = administration.create(name, max_active=max_active, max_queued=max_queued)
        event = _proxy_event("POST", "/ims/token/v3", None)
        event["queryStringParameters"] = {
            "grant_type": "client_credentials",
            "client_id": client.id,
            "client_secret": secret,
        }
        answer = json.loads(token.handler(event, Context())["body"])
        return {"x-api-key": client.id, "authorization": f"Bearer {answer['access_token']}"}

    def put(self, asset: dict[str, Any], data: bytes) -> int:
        """PUT to the asset's presigned URL."""
        headers = {"Content-Type": asset["content_type"]}
        if asset["checksum"]:
            headers["Content-MD5"] = asset["checksum"]
        return requests.put(asset["upload_url"], data=data, headers=headers, timeout=5).status_code

    # --- AWS's side

    def uploaded(self, asset_id: str, client_id: str) -> dict[str, Any]:
        """Deliver S3's "Object Created" event, as EventBridge does, to the intake machine."""
        event = {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": AUDIO}, "object": {"key": f"in/{client_id}/{asset_id}"}},
        }
        return self.run(ASSET_INTAKE, event)

    def drain(self) -> int:
        """Deliver the admission queue's messages and run every execution that they start."""
        ran = 0
        while (
            batch := boto3.client("sqs")
            .receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            .get("Messages")
        ):
            records = _records(batch)
            before = self._executions(self.machine_arn)
            answer = admit.handler({"Records": records}, Context())
            assert answer == {"batchItemFailures": []}
            for message in batch:
                boto3.client("sqs").delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
            for arn in self._executions(self.machine_arn) - before:
                document = boto3.client("stepfunctions").describe_execution(executionArn=arn)["input"]
                self.run(ENHANCEMENT, json.loads(document))
                ran += 1
        return ran

    def outcomes(self) -> list[dict[str, Any]]:
        """Take what was told of ended jobs."""
        return [json.loads(record["body"]) for record in self._take("outcomes")]

    def deliver_stops(self) -> None:
        if records := self._take("stops"):
            complete.handler({"Records": records}, Context())

    def deliver_erasing(self) -> Any:
        return erase.handler({"Records": self._take("erasing")}, Context())

    def _take(self, queue: str) -> list[dict[str, Any]]:
        answer = boto3.client("sqs").receive_message(QueueUrl=self.queues[queue], MaxNumberOfMessages=10)
        return _records(answer.get("Messages", []))

    def sweep(self) -> Any:
        return sweep.handler({}, Context())

    def run(self, machine: Machine, state: dict[str, Any]) -> dict[str, Any]:
        """Walk a state machine's table."""
        name = machine.steps[0].name
        while name != END:
            step = machine.step(name)
            try:
                answer = self._persist(step, state)
            except Exception as error:
                if step.catch is None:
                    raise StateFailedError(step.name) from error
                what, cause = _named(error)
                state = {**state, ERROR_KEY: {"Error": what, "Cause": cause}}
                name = step.catch
                continue
            if step.result_key == WHOLE_STATE:
                state = answer
            elif step.result_key:
                state = _kept(state, step.result_key, answer)
            name = step.branches.get(answer.get("outcome", ""), step.next) if isinstance(answer, dict) else step.next
        return state

    def _persist(self, step: Step, state: dict[str, Any]) -> Any:
        """Try a step as often as its table says; the waits, half of the longest with full jitter, are added up."""
        tried: Counter[Retry] = Counter()
        while True:
            try:
                return self._invoke(step, state)
            except Exception as error:
                name, _ = _named(error)
                retry = next((retry for retry in step.retries if name in retry.errors), None)
                if retry is None or tried[retry] == retry.attempts:
                    raise
                delay_s = retry.interval_s * retry.backoff ** tried[retry]
                self.waited_s += min(delay_s, retry.max_delay_s or delay_s) / 2
                tried[retry] += 1

    def _invoke(self, step: Step, state: dict[str, Any]) -> Any:
        function = self.functions[step.function]
        if step.each:
            return [_plain(function(event, Context())) for event in _events(step.each, state)]
        if step.payload is not None:
            return _plain(function(_at(step.payload, state), Context()))
        if not step.callback:
            return _plain(function({"step": step.name, "state": state}, Context()))
        return self._callback(function, step, state)

    def _callback(self, function: Handler, step: Step, state: dict[str, Any]) -> Any:
        """Dispatch, let the container work, deliver the lane's notice and see how the task was answered."""
        task_token, before = f"token-{uuid.uuid4()}", self._executions(self.fan_out_arn)
        function({"step": step.name, "state": state, "task_token": task_token}, Context())
        if self.cpu.events:
            return self._on_cpu(self.cpu.events.pop(), task_token)
        if started := self._executions(self.fan_out_arn) - before:
            return self._fanned_out(started.pop(), task_token)
        listed = self.s3.list_objects_v2(Bucket=WORK, Prefix=f"orders/{state['job_id']}-{state['attempt']}-")
        (found,) = listed["Contents"]
        inference_id = found["Key"].removeprefix("orders/").removesuffix(".json")
        body = self.s3.get_object(Bucket=WORK, Key=found["Key"])["Body"].read()
        order = WorkOrder.model_validate_json(body)
        self.dispatched.append(order)
        try:
            notice = self.leave_answer(inference_id, self.work(order))
        except MemoryError:  # killed: there is no answer, only what the endpoint itself says
            notice = _notice(inference_id, None, failure_reason="The model container closed the connection")
        complete.handler(notice, Context())
        complete.handler(notice, Context())  # SNS may deliver twice
        return self.tasks.outcome(task_token)

    def _on_cpu(self, event: dict[str, Any], task_token: str) -> Any:
        """Let the function work and deliver what Lambda says of its end, twice."""
        order = WorkOrder.model_validate(event)
        self.dispatched.append(order)
        try:
            condition, payload = "Success", self.work(order).model_dump(mode="json")
        except MemoryError as error:
            condition, payload = "RetriesExhausted", {"errorType": "Runtime.ExitError", "errorMessage": str(error)}
        record = {"requestContext": {"condition": condition}, "requestPayload": event, "responsePayload": payload}
        for _ in range(2):
            complete.handler({"Records": [{"Sns": {"Message": json.dumps(record)}}]}, Context())
        return self.tasks.outcome(task_token)

    def _fanned_out(self, arn: str, task_token: str) -> Any:
        """Walk the fan-out's table and deliver what EventBridge says of its end, twice."""
        execution = boto3.client("stepfunctions").describe_execution(executionArn=arn)
        detail: dict[str, Any] = {"executionArn": arn, "name": execution["name"], "output": None}
        try:
            answer = self.run(FAN_OUT, json.loads(execution["input"]))
        except StateFailedError as error:
            detail |= {"status": "FAILED", "error": "States.ExceedToleratedFailureThreshold", "cause": str(error)}
        else:
            detail |= {"status": "SUCCEEDED", "output": json.dumps(answer)}
        event = {"source": "aws.states", "detail-type": EXECUTION_EVENT, "detail": detail}
        for _ in range(2):
            complete.handler(event, Context())
        return self.tasks.outcome(task_token)

    def _enhance_cpu(self, event: dict[str, Any], _context: object) -> dict[str, Any]:
        if "part" not in event:
            order = WorkOrder.model_validate(event)
            self.dispatched.append(order)
            return self.work(order).model_dump(mode="json")
        part = PartOrder.model_validate(event)
        self.parts.append(part)
        return PartResult(
            job_id=part.order.job_id, attempt=part.order.attempt, number=part.part.number, seconds=1
        ).model_dump(mode="json")

    def leave_answer(self, inference_id: str, answer: WorkResult | WorkFailure) -> dict[str, Any]:
        """Do what the endpoint does when the container has answered: write it down and send the notice."""
        good = isinstance(answer, WorkResult)
        key = f"async/{'out' if good else 'failed'}/{inference_id}.out"
        self.s3.put_object(Bucket=WORK, Key=key, Body=answer.model_dump_json().encode())
        if good:
            return _notice(inference_id, f"s3://{WORK}/{key}")
        return _notice(inference_id, None, failure_reason="Received server error (500) from primary")

    def _executions(self, machine_arn: str) -> set[str]:
        found = boto3.client("stepfunctions").list_executions(stateMachineArn=machine_arn)
        return {execution["executionArn"] for execution in found["executions"]}

    def use_tasks(self, tasks: "RecordingTasks") -> None:
        self.tasks = tasks


class TaskFailedError(Exception):
    """A task failed by this name, through its token or because its function never ran: (error, cause)."""


def _named(error: Exception) -> tuple[str, str]:
    """Return an error's name and cause as Step Functions has them."""
    if isinstance(error, TaskFailedError):
        name, cause = error.args
        return str(name), str(cause)
    return type(error).__name__, str(error)


@dataclass
class RecordingTasks:
    """Stands in for SendTaskSuccess and SendTaskFailure, which moto has not; the first answer counts."""

    answers: dict[str, Any] = field(default_factory=dict)
    heartbeats: list[str] = field(default_factory=list)

    def succeed(self, token: str, result: WorkResult) -> bool:
        return self._answer(token, result.model_dump(mode="json"))

    def fail(self, token: str, error: str, cause: str) -> bool:
        return self._answer(token, TaskFailedError(error, cause))

    def heartbeat(self, token: str) -> bool:
        self.heartbeats.append(token)
        return token not in self.answers

    def _answer(self, token: str, answer: Any) -> bool:
        waits = token not in self.answers
        self.answers.setdefault(token, answer)
        return waits

    def outcome(self, token: str) -> Any:
        answer = self.answers[token]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class FakeRuntime:
    """SageMaker's runtime, which moto has not for asynchronous calls."""

    def invoke_endpoint_async(self, **arguments: Any) -> dict[str, str]:
        name = arguments["InferenceId"]
        return {
            "OutputLocation": f"s3://{WORK}/async/out/{name}.out",
            "FailureLocation": f"s3://{WORK}/async/failed/{name}.out",
        }


@dataclass
class FakeFunctions:
    """Lambda, of which moto would want Docker: takes asynchronous invocations."""

    events: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, **arguments: Any) -> dict[str, int]:
        assert (arguments["FunctionName"], arguments["InvocationType"]) == ("enhance-cpu", "Event")
        self.events.append(json.loads(arguments["Payload"]))
        return {"StatusCode": 202}


def _notice(inference_id: str, output_location: str | None, *, failure_reason: str = "") -> dict[str, Any]:
    """Return SageMaker's notice of an inference's end, as SNS delivers it."""
    message = {
        "inferenceId": inference_id,
        "invocationStatus": "Completed" if output_location else "Failed",
        "responseParameters": {"outputLocation": output_location} if output_location else {},
        "failureReason": failure_reason,
    }
    return {"Records": [{"Sns": {"Message": json.dumps(message)}}]}


def md5_of(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _records(messages: Iterable[Any]) -> list[dict[str, Any]]:
    """Return messages as Lambda gets them from SQS."""
    return [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {"ApproximateReceiveCount": "1"},
        }
        for message in messages
    ]


def _plain(answer: Any) -> Any:
    """Lambda's answers travel as JSON."""
    return json.loads(json.dumps(answer))


def _events(each: Each, state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a map calls its function with."""
    return [
        {name: item if path == ITEM else _at(path, state) for name, path in each.payload.items()}
        for item in _at(each.items, state)
    ]


def _kept(state: dict[str, Any], key: str, answer: Any) -> dict[str, Any]:
    """Return the state with an answer in it, as ``ResultPath`` puts it there."""
    name, _, rest = key.partition(".")
    return {**state, name: _kept(state.get(name, {}), rest, answer) if rest else answer}


def _at(path: str, state: dict[str, Any]) -> Any:
    value: Any = state
    for name in path.removeprefix("$.").split("."):
        value = value[name]
    return value


def _proxy_event(method: str, path: str, body: str | None) -> dict[str, Any]:
    query = parse_qs(path.partition("?")[2])
    return {
        "resource": path.partition("?")[0],
        "path": path.partition("?")[0],
        "httpMethod": method,
        "headers": {"content-type": "application/json"},
        "multiValueHeaders": {"content-type": ["application/json"]},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "httpMethod": method,
            "path": path,
            "stage": "prod",
            "domainName": "abc.execute-api.us-east-1.amazonaws.com",
            "requestId": str(uuid.uuid4()),
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": body,
        "isBase64Encoded": False,
    }
