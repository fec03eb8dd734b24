"""Queue, executions, task tokens and the asynchronous endpoint."""

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpu_container.contract import WorkOrder, WorkResult
from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.core.jobs import Job
from lambdas.core.ports import Dispatched
from lambdas.core.workflow import INVOCATION_TIMEOUT_S

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
    """``admit.fifo``: one message group per client, so that a client's ticks are handled one at a time."""

    client: "SQSClient"
    queue_url: str

    def tick(self, client_id: str) -> None:
        """Say that this client's queue is worth a look."""
        with domain_errors():
            self.client.send_message(
                QueueUrl=self.queue_url,
                MessageBody=json.dumps({"client_id": client_id}),
                MessageGroupId=client_id,
                MessageDeduplicationId=str(uuid.uuid4()),  # each tick counts: the queue must never swallow one
            )


@dataclass(frozen=True)
class StepFunctionsWorkflow:
    """Executions named after the attempt."""

    client: "SFNClient"
    state_machine_arn: str

    def start(self, job: Job) -> None:
        """Start the attempt's execution; one that exists already counts as started."""
        document = {"job_id": job.id, "client_id": job.client_id, "attempt": job.attempt}
        with domain_errors():
            try:
                self.client.start_execution(
                    stateMachineArn=self.state_machine_arn, name=job.execution_name, input=json.dumps(document)
                )
            except ClientError as error:
                if code_of(error) != "ExecutionAlreadyExists":
                    raise

    def status(self, job: Job) -> str | None:
        """Return the status of the attempt's execution, None if there is none."""
        arn = f"{self.state_machine_arn.replace(':stateMachine:', ':execution:')}:{job.execution_name}"
        with domain_errors():
            try:
                return self.client.describe_execution(executionArn=arn)["status"]
            except ClientError as error:
                if code_of(error) == "ExecutionDoesNotExist":
                    return None
                raise


@dataclass(frozen=True)
class StepFunctionsTasks:
    """Task tokens; one that is no longer wanted is not an error."""

    client: "SFNClient"

    def succeed(self, token: str, result: WorkResult) -> None:
        """End the task well."""
        with domain_errors():
            try:
                self.client.send_task_success(taskToken=token, output=result.model_dump_json())
            except ClientError as error:
                _ignore_unwanted(error)

    def fail(self, token: str, error: str, cause: str) -> None:
        """End the task badly."""
        with domain_errors():
            try:
                self.client.send_task_failure(taskToken=token, error=error, cause=cause[:MAX_CAUSE_LENGTH])
            except ClientError as refused:
                _ignore_unwanted(refused)

    def heartbeat(self, token: str) -> None:
        """Keep the task alive."""
        with domain_errors():
            try:
                self.client.send_task_heartbeat(taskToken=token)
            except ClientError as error:
                _ignore_unwanted(error)


def _ignore_unwanted(error: ClientError) -> None:
    if code_of(error) not in UNWANTED:
        raise error


@dataclass(frozen=True)
class SageMakerAsyncBackend:
    """The GPU lane: a SageMaker asynchronous endpoint, or its look-alike on one machine."""

    s3: "S3Client"
    runtime: "SageMakerRuntimeClient"
    endpoint_name: str
    work_bucket: str

    def dispatch(self, order: WorkOrder, *, inference_id: str) -> Dispatched:
        """Write the order to the work bucket and point the endpoint at it."""
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
            )
        return Dispatched(answer.get("OutputLocation"), answer.get("FailureLocation"))
