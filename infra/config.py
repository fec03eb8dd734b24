"""The app's configuration: read from the CDK context once, here only; everything below gets typed values."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.alias_generators import to_camel

from gpu_container.contract import Dereverb, ReportLevel
from lambdas.core.routing import Lane, LaneSpeed

PRODUCT: Final = "cleartake"
STACK_PARTS: Final = ("data", "engine", "api", "ops")
"""In the order in which they are deployed: each uses only what stands before it."""
REPOSITORY: Final = Path(__file__).resolve().parent.parent
CODE_ASSETS: Final = REPOSITORY / "build" / "assets"

LAMBDA_RUNTIME: Final = "python3.13"
LAMBDA_PYTHON_PLATFORM: Final = "aarch64-manylinux2014"
"""Every zip function runs on arm64; its dependencies are resolved for it on any machine, without Docker."""

LOCAL_ACCOUNT: Final = "000000000000"
LOCAL_REGION: Final = "us-east-1"

IMAGE_BUILT_THERE: Final = "codebuild"
IMAGE_BUILT_HERE: Final = "local"

PYTHON_PLACEHOLDER: Final = "@@PYTHON@@"
BASE_URL_PLACEHOLDER: Final = "@@BASE_URL@@"
S3_URL_PLACEHOLDER: Final = "@@S3_URL@@"
SAGEMAKER_URL_PLACEHOLDER: Final = "@@SAGEMAKER_URL@@"
PLACEHOLDERS: Final = (PYTHON_PLACEHOLDER, BASE_URL_PLACEHOLDER, S3_URL_PLACEHOLDER, SAGEMAKER_URL_PLACEHOLDER)
"""Stand in the local templates for what only a launch knows, so that one synthesis serves every port and checkout."""

FEATURE_FLAGS: Final[Mapping[str, bool]] = {
    "@aws-cdk/aws-apigateway:disableCloudWatchRole": True,
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/aws-kms:aliasNameRef": True,
    "@aws-cdk/core:enablePartitionLiterals": True,
    "@aws-cdk/aws-lambda:recognizeLayerVersion": True,
    "@aws-cdk/core:checkSecretUsage": True,
}

_ORIGIN = re.compile(r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
_LOOPBACK_ORIGIN = re.compile(r"http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?")
_OURS = re.compile(r"[A-Za-z][A-Za-z0-9]*")
"""Context keys of the CDK itself carry punctuation (``aws:cdk:…``, ``@aws-cdk/…``); a plain word is meant for us."""


_IMAGE_BY_DIGEST = r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9][a-z0-9._/-]*@sha256:[0-9a-f]{64}"
"""A tag may be moved to other bytes; a digest names them."""


def _comma_separated(value: object) -> object:
    """Read ``a,b`` as a tuple: the command line can give a context value only as text."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


_A_FUNCTION: Final = LaneSpeed(
    # One processor of a server of 2023; a function has six. `python -m scripts.bench_engine` measures the network.
    mono={"dfn3": 0.011, "dfn3-ll": 0.011, "dfn3-hq": 0.044},
    stereo={"dfn3": 0.017, "dfn3-ll": 0.017, "dfn3-hq": 0.068},
    dereverb=0.027,
    report=0.02,
    codecs=0.012,
    limit_s=600,
)

MEASURED_SPEEDS: Final = {
    Lane.CPU: _A_FUNCTION,
    # The same function; a part's share of the work on one processor, and the assembly's.
    Lane.CPU_FAN_OUT: replace(_A_FUNCTION, part_s=1800, decode=0.004),
    # An estimate until one was measured: what is not the network runs on the instance's own processors.
    Lane.GPU: LaneSpeed(
        mono={"dfn3": 0.01, "dfn3-ll": 0.01, "dfn3-hq": 0.02},
        stereo={"dfn3": 0.01, "dfn3-ll": 0.01, "dfn3-hq": 0.02},
        dereverb=0.027,
        report=0.02,
        codecs=0.012,
        limit_s=2400,
    ),
}
"""Seconds of work for a second of audio, see `LaneSpeed`; ``limit_s`` is two thirds of what ends an invocation."""

_CPU_JOBS = 8
"""A new account runs ten functions at a time."""
_LOCAL_CPU_JOBS = 2
_WAF_WINDOW_S = 300


class Architecture(StrEnum):
    """Processors that Lambda offers, by its own names."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


class Config(BaseModel):
    """What may differ between two deployments; an unknown context key is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    local: bool = False
    """The variant for one machine: see ``docs/adr`` for the closed list of what it changes."""
    stage: Literal["dev", "stage", "prod"] = "dev"
    account: str | None = None
    region: str | None = None
    """Where to deploy; unset, the template fits any account and region."""
    bundle: bool = True
    """False leaves the dependencies out of the zip: for tests that look at templates only."""

    retention_days: int = Field(default=30, ge=1)
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365] = 30
    cors_origins: Annotated[tuple[str, ...], BeforeValidator(_comma_separated)] = ()
    """Origins of the pages that may call the API and use presigned links from a browser; none by default."""

    domain_name: str | None = None
    certificate_arn: str | None = None
    throttle_rate_per_s: int = Field(default=200, ge=1)
    throttle_burst: int = Field(default=400, ge=1)
    waf_requests_per_5min: int | None = Field(default=None, ge=100)
    """Of one address; unset, half of what the stage lets through. An address is an office with many clients, each of
    whom is held to rates of its own: this limit only keeps one address from shutting all others out."""

    image: str = Field(
        default=IMAGE_BUILT_THERE, pattern=rf"^({IMAGE_BUILT_THERE}|{IMAGE_BUILT_HERE}|{_IMAGE_BY_DIGEST})$"
    )
    """Where the container image comes from: built by CodeBuild in the account, by Docker on this machine, or there
    already: then the URI of the ``cpu`` target, with its digest."""
    gpu_image: str | None = Field(default=None, pattern=rf"^{_IMAGE_BY_DIGEST}$")
    """URI of the ``gpu`` target where ``image`` is one too."""
    models_mirror: str | None = Field(
        default=None, pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/([A-Za-z0-9._-]+/)*$"
    )
    """Folder of ``make models-mirror``, ending in a slash: CodeBuild takes model files from there first."""

    gpu_backend: Literal["sagemaker", "none"] = "sagemaker"
    """``none``: no GPU, every job on the CPU lane."""
    cpu_architecture: Architecture = Architecture.X86_64
    """Of the functions that run in the image: ``arm64`` is the cheaper one, and less measured."""
    cpu_memory_mib: int = Field(default=10_240, ge=2048, le=10_240)
    """Lambda gives processors by memory, six at most; new accounts may be held to 3008."""
    cpu_concurrency: int | None = Field(default=None, ge=1)
    """Files the CPU lane works on at once, kept free for it; unset, it shares the account's concurrency."""
    parts_at_once: int = Field(default=4, ge=1)
    """Functions that one file too long for one may have at a time."""
    lane_speeds: Annotated[dict[Lane, LaneSpeed], BeforeValidator(_from_json)] = MEASURED_SPEEDS

    gpu_instance_type: str = Field(default="ml.g4dn.xlarge", pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$")
    gpu_ami_version: str = Field(
        default="al2-ami-sagemaker-inference-gpu-3-1", pattern=r"^al2(023)?-ami-sagemaker-inference-gpu-[0-9-]+$"
    )
    """What SageMaker boots the instance with. Its own choice for g4dn and g5 has driver 470, for CUDA 11.4: there a
    container of CUDA 12 computes on the CPU. This one has driver 550; a family that came later may need a later one."""
    max_gpu_instances: int = Field(default=2, ge=1)
    gpu_concurrency: int = Field(default=4, ge=1)
    """Invocations one instance works on at a time: a GPU pays only when it is fed."""
    gpu_backlog_per_instance: int = Field(default=8, ge=1)
    max_active_total: int | None = Field(default=None, ge=1)
    """Jobs of all clients that may be in hand at once; unset, twice what the GPUs work on: one waits for each.
    Without a GPU, as many as the CPU lane works on."""

    dereverb: Dereverb = Dereverb.AUTO
    report: ReportLevel = ReportLevel.FULL
    """How much is measured of every enhancement; see ``docs/engine.md``."""

    timer_scale: float = Field(default=1.0, gt=0, le=1)
    """Shortens the sweep's waiting times for a drill, in the local variant only."""

    alarm_email: str | None = None
    monthly_budget_usd: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.domain_name is None) != (self.certificate_arn is None):
            raise ValueError("domainName and certificateArn go together")
        if self.monthly_budget_usd is not None and self.alarm_email is None:
            raise ValueError("monthlyBudgetUsd needs alarmEmail: somebody must be told")
        for origin in self.cors_origins:
            if not _ORIGIN.fullmatch(origin) and not (self.local and _LOOPBACK_ORIGIN.fullmatch(origin)):
                raise ValueError(f"corsOrigins: {origin!r} is not an origin such as https://app.example.com")
        if self.timer_scale != 1 and not self.local:
            raise ValueError("timerScale is for drills on one machine: AWS keeps the timers as they were chosen")
        if self.has_gpu and self.image_is_named == (self.gpu_image is None):
            raise ValueError("image and gpuImage name their digests together, or gpuBackend=none")
        return self

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self:
        """Read the configuration from a CDK context, whose values are text where they came from the command line."""
        return cls.model_validate({key: value for key, value in context.items() if _OURS.fullmatch(key)})

    @property
    def is_production(self) -> bool:
        """True where data must outlive the stack."""
        return self.stage == "prod"

    @property
    def image_is_named(self) -> bool:
        """True where nothing is built: the image lies in a registry."""
        return self.image not in {IMAGE_BUILT_THERE, IMAGE_BUILT_HERE}

    @property
    def active_total(self) -> int:
        """Slots that all clients share: enough to keep the lane fed, too few for one client to fill its backlog."""
        if self.max_active_total:
            return self.max_active_total
        if self.has_gpu:
            return 2 * self.max_gpu_instances * self.gpu_concurrency
        return self.cpu_concurrency or (_LOCAL_CPU_JOBS if self.local else _CPU_JOBS)

    @property
    def cpu_functions(self) -> int:
        """Functions of the CPU lane that may run at once, where every job in hand is a long one."""
        most = self.active_total * self.parts_at_once
        return min(most, self.cpu_concurrency) if self.cpu_concurrency else most

    @property
    def requests_of_an_address(self) -> int:
        """What the firewall takes from one address in five minutes."""
        return self.waf_requests_per_5min or max(100, self.throttle_rate_per_s * _WAF_WINDOW_S // 2)

    @property
    def has_gpu(self) -> bool:
        """True where there is a GPU lane."""
        return self.gpu_backend != "none"

    @property
    def speeds_json(self) -> str:
        """The speeds of the lanes that are deployed, as settings read them."""
        deployed = {lane: speed for lane, speed in self.lane_speeds.items() if lane is not Lane.GPU or self.has_gpu}
        return TypeAdapter(dict[Lane, LaneSpeed]).dump_json(deployed).decode()

    @property
    def deployment(self) -> str:
        """The product and its stage in one word, as the bill knows them."""
        return f"{PRODUCT}-{self.stage}"

    @property
    def cpu_function_name(self) -> str:
        """Name of the CPU lane's function; fixed, so that dispatch can name it before it exists."""
        return f"{PRODUCT}-{self.stage}-enhance-cpu"

    @property
    def fan_out_name(self) -> str:
        """Name of the fan-out's state machine; fixed, so that dispatch can name it before it exists."""
        return f"{PRODUCT}-{self.stage}-fan-out"

    @property
    def endpoint_name(self) -> str:
        """Name of the asynchronous endpoint; fixed, so that functions can name it before it exists."""
        return f"{PRODUCT}-{self.stage}-gpu"

    @property
    def public_base_url(self) -> str:
        """Origin of the links in answers; empty: each answer takes it from its request."""
        if self.local:
            return BASE_URL_PLACEHOLDER
        return f"https://{self.domain_name}" if self.domain_name else ""

    def stack_name(self, part: str) -> str:
        """Return the name of one of the app's stacks, such as ``cleartake-dev-data``."""
        return f"{PRODUCT}-{self.stage}-{part}"
