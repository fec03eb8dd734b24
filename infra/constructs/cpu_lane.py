"""The CPU lane: the container image as one function for each file, started asynchronously by ``dispatch``."""

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import Config
from infra.constructs.functions import ServiceFunction, Spec
from infra.constructs.images import ContainerImage
from infra.constructs.notices import Notices
from infra.constructs.work_role import WorkRole
from lambdas.core.workflow import CPU_INVOCATION_TIMEOUT_S, FunctionName

_HANDLER = "gpu_container.serving.lambda_handler.enhance"
_MAX_WAIT_S = 3600
"""Of an order for room; the sweeper gives its attempt up long before, unless other orders are being worked on."""


def cpu_lane(
    scope: Construct,
    config: Config,
    *,
    keys: WorkRole,
    notices: Notices,
    image: ContainerImage | None,
) -> ServiceFunction:
    """Make the function; by itself it may ask for the keys to its order, and have its end told."""
    spec = Spec(
        FunctionName.ENHANCE_CPU,
        {**keys.environment, **({"CLEARTAKE_S3_ADDRESSING": "path"} if config.local else {})},
        memory_mib=config.cpu_memory_mib,
        timeout_s=CPU_INVOCATION_TIMEOUT_S,
        image_handler=_HANDLER,
        physical_name=config.cpu_function_name,
        concurrency=config.cpu_concurrency,
    )
    lane = ServiceFunction(scope, config, spec, image=image)
    _tell_of_ends(lane, notices)
    return lane.allow(keys.allow_asking(), *notices.allow_publishing())


def _tell_of_ends(lane: ServiceFunction, notices: Notices) -> None:
    """Have Lambda itself say how an invocation ended, so that a crash is told like any other end.

    Written out because the CDK's destinations would also grant ``kms:GenerateDataKey*``.
    """
    config = lambda_.CfnEventInvokeConfig
    lambda_.CfnEventInvokeConfig(
        lane,
        "Ends",
        function_name=lane.function.function_name,
        qualifier="$LATEST",
        # A new attempt is the state machine's affair: it has a name of its own, and the row knows of it.
        maximum_retry_attempts=0,
        maximum_event_age_in_seconds=_MAX_WAIT_S,
        destination_config=config.DestinationConfigProperty(
            on_success=config.OnSuccessProperty(destination=notices.success.topic_arn),
            on_failure=config.OnFailureProperty(destination=notices.error.topic_arn),
        ),
    ).node.add_dependency(lane.role)


def cpu_function_arn(scope: Construct, config: Config) -> str:
    """Return the ARN of the function, which need not exist yet."""
    return Stack.of(scope).format_arn(
        service="lambda",
        resource="function",
        resource_name=config.cpu_function_name,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
