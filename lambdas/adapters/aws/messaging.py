"""Queue, executions, task tokens and the asynchronous endpoint."""

import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gpu_container.contract import WorkOrder, WorkResult
from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.adapters.aws.lanes import execution_arn
from lambdas.core.assets import Asset
from lambdas.core.clock import to_text
from lambdas.core.jobs import Job
from lambdas.core.ports import Dispatched, JobOutcome
from lambdas.core.workflow import INVOCATION_TIMEOUT_S, ORDER_LIFETIME_S

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_sagemaker_runtime.client import SageMakerRuntimeClient
    from types_boto3_sqs.client import SQSClient
    from types_boto3_stepfunctions.client import SFNClient

UNWANTED = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})
"""Answers of Step Functions to a token that has been answered, has timed out or never was."""

MAX_CAUSE_LENGTH = 32_768


@dataclass(frozen=True)
class SqsAdmissionQueue:
    """``admit.fifo``: one message group per client, so that a client's ticks are handled one at a time.

    Attributes
    ----------
    group
        Another group for all ticks: the sweeper's own must not wait behind one whose admission died. Such a message
        comes again only after the queue's visibility timeout, six minutes, and holds up its group until then.
    """

    client: "SQSClient"
    queue_url: str
    group: str | None = None

    def tick(self, client_id: str) -> None:
        """Say that this client's queue is worth a look."""
        with domain_errors():
            self.client.send_message(
                QueueUrl=self.queue_url,
                MessageBody=json.dumps({"client_id": client_id}),
                MessageGroupId=self.group or client_id,
                MessageDeduplicationId=str(uuid.uuid4()),  # each tick counts: the queue must never swallow one
            )


@dataclass(frozen=True)
class SqsOutcomeQueue:
    """Where the ends of jobs are told."""

    client: "SQSClient"
    queue_url: str

    def tell(self, outcome: JobOutcome) -> None:
        """Send the outcome as JSON."""
        _send(self.client, self.queue_url, {**asdict(outcome), "finished_at": to_text(outcome.finished_at)})


@dataclass(frozen=True)
class SqsStopQueue:
    """Where the end of an execution is asked for: ``complete`` reads it, because only it may answer tasks."""

    client: "SQSClient"
    queue_url: str

    def ask(self, job: Job) -> None:
        """Ask for the end of the job's present attempt."""
        document = {"client_id": job.client_id, "job_id": job.id, "attempt": job.attempt}
        _send(self.client, self.queue_url, document)


@dataclass(frozen=True)
class SqsEraseQueue:
    """Where the erasing of what was deleted is asked for."""

    client: "SQSClient"
    queue_url: str

    def ask(self, client_id: str, asset_id: str) -> None:
        """Ask for the erasing of one asset."""
        _send(self.client, self.queue_url, {"client_id": client_id, "asset_id": asset_id})

    def ask_for_job(self, client_id: str, job_id: str) -> None:
        """Ask for the erasing of one job's results."""
        _send(self.client, self.queue_url, {"client_id": client_id, "job_id": job_id})


@dataclass(frozen=True)
class SqsDelivery:
    """The messages that a function is just handling."""

    client: "SQSClient"
    queue_url: str

    def postpone(self, receipt_handle: str, seconds: int) -> None:
        """Have a message delivered again after ``seconds`` instead of the queue's whole visibility timeout."""
        with domain_errors():
            self.client.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
            )


def _send(client: "SQSClient", queue_url: str, document: dict[str, Any]) -> None:
    with domain_errors():
        client.send_message(QueueUrl=queue_url, MessageBody=json.dumps(document))


@dataclass(frozen=True)
class StepFunctionsWorkflow:
    """Executions named after the attempt."""

    client: "SFNClient"
    state_machine_arn: str

    def start(self, job: Job) -> None:
        """Start the attempt's execution; one that exists already counts as started."""
        document = {"job_id": job.id, "client_id": job.client_id, "attempt": job.attempt}
        _start(self.client, self.state_machine_arn, job.execution_name, document)

    def status(self, job: Job) -> str | None:
        """Return the status of the attempt's execution, None if there is none."""
        arn = execution_arn(self.state_machine_arn, job.execution_name)
        with domain_errors():
            try:
                return self.client.describe_execution(executionArn=arn)["status"]
            except ClientError as error:
                if code_of(error) == "ExecutionDoesNotExist":
                    return None
                raise


@dataclass(frozen=True)
class StepFunctionsIntakes:
    """Executions of the intake, named so that each is started once."""

    client: "SFNClient"
    state_machine_arn: str

    def start(self, asset: Asset, again: int) -> None:
        """Start it with as much of S3's event as its first step reads."""
        event = {"detail": {"object": {"key": asset.object_key}}}
        _start(self.client, self.state_machine_arn, f"{asset.id}-{again}", event)


def _start(client: "SFNClient", state_machine_arn: str, name: str, document: dict[str, Any]) -> None:
    """Start an execution; one of that name that exists already counts as started."""
    with domain_errors():
        try:
            client.start_execution(stateMachineArn=state_machine_arn, name=name, input=json.dumps(document))
        except ClientError as error:
            if code_of(error) != "ExecutionAlreadyExists":
                raise


@dataclass(frozen=True)
class StepFunctionsTasks:
    """Task tokens; one that is no longer wanted is not an error, but an answer."""

    client: "SFNClient"

    def succeed(self, token: str, result: WorkResult) -> bool:
        """End the task well."""
        return _was_waited_for(lambda: self.client.send_task_success(taskToken=token, output=result.model_dump_json()))

    def fail(self, token: str, error: str, cause: str) -> bool:
        """End the task badly."""
        shortened = cause[:MAX_CAUSE_LENGTH]
        return _was_waited_for(lambda: self.client.send_task_failure(taskToken=token, error=error, cause=shortened))

    def heartbeat(self, token: str) -> bool:
        """Keep the task alive."""
        return _was_waited_for(lambda: self.client.send_task_heartbeat(taskToken=token))


def _was_waited_for(call: Callable[[], object]) -> bool:
    with domain_errors():
        try:
            call()
        except ClientError as error:
            if code_of(error) not in UNWANTED:
                raise
            return False
    return True


@dataclass(frozen=True)
class SageMakerAsyncBackend:
    """The GPU lane: a SageMaker asynchronous endpoint, or its look-alike on one machine."""

    s3: "S3Client"
    runtime: "SageMakerRuntimeClient"
    endpoint_name: str
    work_bucket: str

    def dispatch(self, order: WorkOrder, *, inference_id: str) -> Dispatched:
        """Write the order to the work bucket and point the endpoint at it.

        One that nobody has begun after `ORDER_LIFETIME_S` leaves the endpoint's queue: its job went elsewhere long ago.
        """
        key = f"orders/{inference_id}.json"
        with domain_errors():
            self.s3.put_object(
                Bucket=self.work_bucket,
                Key=key,
                Body=order.model_dump_json().encode(),
                ContentType="application/json",
            )
            answer = self.runtime.invoke_endpoint_async(
                EndpointName=self.endpoint_name,
                InputLocation=f"s3://{self.work_bucket}/{key}",
                InferenceId=inference_id,
                ContentType="application/json",
                InvocationTimeoutSeconds=INVOCATION_TIMEOUT_S,
                RequestTTLSeconds=ORDER_LIFETIME_S,
            )
        return Dispatched(answer.get("OutputLocation"), answer.get("FailureLocation"))
