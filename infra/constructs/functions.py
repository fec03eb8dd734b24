"""One Lambda function: its own role, its own log group, its environment checked against its settings class."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration, Size
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.code_assets import local_container_code, orchestration_code
from infra.config import LAMBDA_RUNTIME, PRODUCT, PYTHON_PLACEHOLDER, Architecture, Config
from infra.constructs.images import ContainerImage
from infra.constructs.logs import log_group
from infra.constructs.publish import publish
from infra.nag import accept, accept_wildcard
from infra.outputs import function_output
from lambdas.core.workflow import FunctionName
from lambdas.settings import PREFIX, Settings

DEFAULT_TIMEOUT_S = 30

_ARCHITECTURES = {
    Architecture.X86_64: lambda_.Architecture.X86_64,
    Architecture.ARM64: lambda_.Architecture.ARM_64,
}

_SERVICE_VARIABLES = {"POWERTOOLS_SERVICE_NAME": PRODUCT, "POWERTOOLS_LOG_LEVEL": "INFO"}

_XRAY = "X-Ray has no resource-level permissions: PutTraceSegments and PutTelemetryRecords accept only '*'."
_RUNTIME = "python3.13 is the newest runtime for which every locked dependency has a wheel; one constant moves it."


@dataclass(frozen=True)
class Spec:
    """What a function is: everything about it but what it may do.

    Attributes
    ----------
    image_handler
        Set where the function runs in the container image: the handler in it.
    physical_name
        Set where another resource must name the function before it exists.
    concurrency
        Invocations that are kept for it, and that it may never exceed; None shares the account's.
    """

    name: FunctionName
    environment: Mapping[str, str]
    memory_mib: int = 512
    timeout_s: int = DEFAULT_TIMEOUT_S
    scratch_mib: int = 512
    image_handler: str | None = None
    physical_name: str | None = None
    concurrency: int | None = None


class ServiceFunction(Construct):
    """A function and the only role that runs it."""

    def __init__(
        self,
        scope: Construct,
        config: Config,
        spec: Spec,
        *,
        role: iam.Role | None = None,
        image: ContainerImage | None = None,
    ) -> None:
        super().__init__(scope, spec.name.value)
        self.name = spec.name
        self.role = role or function_role(self, spec.name)
        group = log_group(self, "Logs", config)
        group.grant_write(self.role)
        common = _common(config, spec, self.role, group)
        self.function = (
            _zip(self, config, spec, common) if _is_zip(config, spec) else _image(self, config, spec, image, common)
        )
        publish(self, function_output(spec.name.value), self.function.function_name)
        accept_wildcard(self.role, "*", _XRAY)
        accept(self, "AwsSolutions-L1", _RUNTIME)

    def allow(self, *statements: iam.PolicyStatement) -> "ServiceFunction":
        """Let the function do what ``statements`` say."""
        for statement in statements:
            self.role.add_to_policy(statement)
        return self


def function_role(scope: Construct, name: FunctionName) -> iam.Role:
    """Make the role of one function; it may do nothing yet."""
    return iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        description=f"Runs {name.value} and nothing else",
    )


def settings_environment(settings: type[Settings], config: Config, **values: str) -> dict[str, str]:
    """Name ``values`` as ``settings`` reads them; a missing or unknown name fails the synthesis, not the function."""
    values = {"retention_days": str(config.retention_days), "stage": config.stage, **values}
    if config.local:
        values = {**values, "s3_addressing": "path"}
    unknown = values.keys() - settings.model_fields.keys()
    missing = {name for name, info in settings.model_fields.items() if info.is_required()} - values.keys()
    if unknown or missing:
        raise ValueError(f"{settings.__name__}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    return {PREFIX + name.upper(): value for name, value in values.items()}


def entrypoint(name: FunctionName) -> str:
    """Return the handler of a zip function; the functions of all dialects share one."""
    module = "api" if name.value.endswith("Api") else re.sub(r"(?<=.)([A-Z])", r"_\1", name.value).lower()
    return f"lambdas.entrypoints.{module}.handler"


def _is_zip(config: Config, spec: Spec) -> bool:
    return config.local or spec.image_handler is None


def _common(config: Config, spec: Spec, role: iam.Role, group: logs.LogGroup) -> dict[str, Any]:
    local = {"CLEARTAKE_LOCAL_PYTHON": PYTHON_PLACEHOLDER} if config.local else {}
    return {
        "role": role,
        "log_group": group,
        "environment": {**_SERVICE_VARIABLES, **local, **spec.environment},
        "memory_size": spec.memory_mib,
        "timeout": Duration.seconds(spec.timeout_s),
        "ephemeral_storage_size": Size.mebibytes(spec.scratch_mib),
        "tracing": lambda_.Tracing.ACTIVE,
        "logging_format": lambda_.LoggingFormat.JSON,
        "function_name": spec.physical_name,
        "reserved_concurrent_executions": spec.concurrency,
        "description": f"{PRODUCT} {config.stage}: {spec.name.value}",
    }


def _zip(scope: Construct, config: Config, spec: Spec, common: dict[str, Any]) -> lambda_.Function:
    folder = orchestration_code(config) if spec.image_handler is None else local_container_code()
    runtime = lambda_.Runtime.PROVIDED_AL2023 if config.local else lambda_.Runtime(LAMBDA_RUNTIME)
    return lambda_.Function(
        scope,
        "Function",
        code=lambda_.Code.from_asset(str(folder)),
        handler=spec.image_handler or entrypoint(spec.name),
        runtime=runtime,
        architecture=lambda_.Architecture.X86_64 if config.local else lambda_.Architecture.ARM_64,
        **common,
    )


def _image(
    scope: Construct, config: Config, spec: Spec, image: ContainerImage | None, common: dict[str, Any]
) -> lambda_.Function:
    if image is None:
        raise ValueError(f"{spec.name} runs in the image, and got none")
    code = lambda_.DockerImageCode.from_ecr(
        image.repository, tag_or_digest=image.reference, cmd=[str(spec.image_handler)]
    )
    return lambda_.DockerImageFunction(
        scope, "Function", code=code, architecture=_ARCHITECTURES[config.cpu_architecture], **common
    )
