"""The CPU lane's function, its fan-out, what the lanes leave behind, and whether the GPU's endpoint is awake."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gpu_container.contract import WorkOrder
from lambdas.adapters.aws.errors import code_of, domain_errors
from lambdas.adapters.aws.s3 import S3Answers
from lambdas.core.errors import DomainError
from lambdas.core.ports import Dispatched

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient
    from types_boto3_stepfunctions.client import SFNClient

logger = logging.getLogger(__name__)

WARMTH_KNOWN_FOR_S = 30.0


@dataclass(frozen=True)
class LambdaBackend:
    """The CPU lane: the container as a function. Its end, well or badly, goes to the topics that ``complete`` hears."""

    client: "LambdaClient"
    function_name: str

    def dispatch(self, order: WorkOrder, *, inference_id: str) -> Dispatched:
        """Start the function with the order; the inference's id travels along and comes back in the notice."""
        document = {**order.model_dump(mode="json"), "inference_id": inference_id}
        with domain_errors():
            self.client.invoke(
                FunctionName=self.function_name, InvocationType="Event", Payload=json.dumps(document).encode()
            )
        return Dispatched(None, None)


@dataclass(frozen=True)
class StateMachineBackend:
    """The CPU lane's fan-out: an execution named after the inference, whose end EventBridge tells ``complete``."""

    client: "SFNClient"
    state_machine_arn: str

    def dispatch(self, order: WorkOrder, *, inference_id: str) -> Dispatched:
        """Start the execution; one that exists already counts as started. Its output is the worker's answer."""
        document = {"order": order.model_dump(mode="json")}
        with domain_errors():
            try:
                self.client.start_execution(
                    stateMachineArn=self.state_machine_arn, name=inference_id, input=json.dumps(document)
                )
            except ClientError as error:
                if code_of(error) != "ExecutionAlreadyExists":
                    raise
        return Dispatched(execution_arn(self.state_machine_arn, inference_id), None)


def execution_arn(state_machine_arn: str, name: str) -> str:
    """Return the ARN of the execution of this name."""
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


@dataclass(frozen=True)
class LaneAnswers:
    """Reads what every lane leaves behind: objects of the work bucket, and outputs of executions."""

    objects: S3Answers
    executions: "SFNClient"

    def read(self, location: str) -> bytes | None:
        """Return the document, or None where there is none (yet)."""
        if not _is_execution(location):
            return self.objects.read(location)
        status, output = self._described(location)
        return output.encode() if status == "SUCCEEDED" else None

    def is_watched(self, location: str) -> bool:
        """Return whether the location is an execution that runs."""
        return _is_execution(location) and self._described(location)[0] == "RUNNING"

    def _described(self, arn: str) -> tuple[str, str]:
        """Return the status and the output of an execution; both are empty where there is none."""
        with domain_errors():
            try:
                found = self.executions.describe_execution(executionArn=arn)
            except ClientError as error:
                if code_of(error) == "ExecutionDoesNotExist":
                    return "", ""
                raise
        return found["status"], found.get("output", "")


def _is_execution(location: str) -> bool:
    return location.startswith("arn:")


@dataclass
class EndpointWarmth:
    """Asks SageMaker for the endpoint's instances, and remembers the answer for half a minute."""

    client: Any
    endpoint_name: str
    now_s: Callable[[], float] = time.monotonic
    _known: tuple[float, bool] | None = field(default=None, init=False)

    def is_warm(self) -> bool:
        """Return whether an instance is in service; False where SageMaker does not say."""
        if self._known is None or self.now_s() - self._known[0] > WARMTH_KNOWN_FOR_S:
            self._known = (self.now_s(), self._ask())
        return self._known[1]

    def _ask(self) -> bool:
        try:
            with domain_errors():
                found = self.client.describe_endpoint(EndpointName=self.endpoint_name)
        except DomainError:
            logger.exception("the endpoint's state cannot be read")
            return False
        return any(variant.get("CurrentInstanceCount", 0) > 0 for variant in found.get("ProductionVariants", ()))


class AlwaysWarm:
    """The endpoint's look-alike on one machine."""

    def is_warm(self) -> bool:
        """Return True: it runs as long as the local cloud does."""
        return True
