"""What each entry point reads from its environment: one frozen class per entry point, read once in ``bootstrap``.

``infra`` sets exactly these variables (a test compares both), so the names stand here and nowhere else.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Json

from gpu_container.contract import Dereverb, ReportLevel
from lambdas.core.routing import Lane, LaneSpeed
from lambdas.core.webhooks import RETRY_DELAYS_S

PREFIX = "CLEARTAKE_"


class Settings(BaseModel):
    """Base of all settings; importing it needs no environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    s3_addressing: Literal["virtual", "path"] = "virtual"
    """``path`` only on one machine, where bucket host names do not resolve."""
    retention_days: int = 30
    """As the buckets' lifecycle rules have it."""
    stage: str = "dev"
    """Of the deployment; every metric carries it."""

    @classmethod
    def variables(cls) -> frozenset[str]:
        """Return the names of the environment variables this class reads."""
        return frozenset(PREFIX + name.upper() for name in cls.model_fields)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from ``environment``; raises ``pydantic.ValidationError`` naming what is missing."""
        given = {name: environment.get(PREFIX + name.upper()) for name in cls.model_fields}
        return cls.model_validate({name: value for name, value in given.items() if value is not None})


class ApiSettings(Settings):
    """Of the functions that serve one dialect."""

    dialect: str
    audio_bucket: str
    admit_queue_url: str
    signing_key_id: str
    presign_role_arn: str
    public_base_url: str = ""
    """Origin of the links in answers; empty: taken from the request (domain and stage)."""
    s3_public_endpoint: str = ""
    """Where clients reach S3, if it is not the endpoint the function itself uses."""
    upload_url_ttl_s: int = 900
    download_url_ttl_s: int = 300
    stop_queue_url: str = ""
    outcome_queue_url: str = ""
    """Of a dialect whose clients can cancel."""
    erase_queue_url: str = ""
    """Of a dialect whose clients can delete."""
    delivery_queue_url: str = ""
    webhook_key_id: str = ""
    """Of a dialect whose clients can have webhooks."""
    fetch_queue_url: str = ""
    """Of a dialect whose clients can name URLs."""
    allow_loopback: bool = False
    """On one machine only: clients' URLs may lead to the machine itself."""
    cors_origins: Json[tuple[str, ...]] = ()
    """Of the pages that may call from a browser."""


class TokenSettings(Settings):
    """Of the token endpoint, the only one that may sign."""

    signing_key_id: str
    token_ttl_s: int = 86_399


class IntakeSettings(Settings):
    """Of the steps that settle an upload."""

    audio_bucket: str
    admit_queue_url: str
    outcome_queue_url: str
    erase_queue_url: str


class AdmitSettings(Settings):
    """Of the admission queue's consumer, the only one that starts jobs' executions."""

    state_machine_arn: str
    admit_queue_url: str
    max_active_total: int


class JobStepsSettings(Settings):
    """Of the steps that claim, verify, finish and tell of a job."""

    audio_bucket: str
    admit_queue_url: str
    outcome_queue_url: str
    gpu_instance_type: str = ""
    gpu_concurrency: int = 1
    cpu_memory_mib: int
    cpu_architecture: Literal["x86_64", "arm64"]
    """What the lanes run on, for the metric of costs."""


class DispatchSettings(Settings):
    """Of the step that hands a job to a lane."""

    audio_bucket: str
    work_bucket: str
    speeds: Json[dict[Lane, LaneSpeed]]
    """Of the lanes that are deployed, and of no other."""
    cpu_function: str
    fan_out_machine_arn: str
    endpoint_name: str = ""
    dereverb: Dereverb = Dereverb.AUTO
    report: ReportLevel = ReportLevel.FULL
    sagemaker_endpoint_url: str = ""
    """Set on one machine only: where the look-alike of the asynchronous endpoint listens."""


class AccessSettings(Settings):
    """Of the function that lends workers the keys to their orders."""

    work_role_arn: str
    dereverb: Dereverb = Dereverb.AUTO
    """As dispatch has it: the wet track's key tells of it."""


class CompleteSettings(Settings):
    """Of the function that hears of the lanes' ends and of requests to stop, and ends tasks."""

    work_bucket: str


class SweepSettings(Settings):
    """Of the minute's sweep and the rule on failed executions."""

    state_machine_arn: str
    work_bucket: str
    admit_queue_url: str
    outcome_queue_url: str
    erase_queue_url: str
    intake_machine_arn: str
    timer_scale: float = 1.0
    """What the sweep's waiting times are multiplied with; other than 1 only in a drill on one machine."""


class EraseSettings(Settings):
    """Of the function that erases deleted assets, the only one that deletes objects."""

    audio_bucket: str
    work_bucket: str
    admit_queue_url: str
    stop_queue_url: str
    outcome_queue_url: str


class WebhookSettings(Settings):
    """Of the function that makes a delivery of each end of a job for each webhook; it calls nobody."""

    delivery_queue_url: str


class DeliverSettings(Settings):
    """Of the function that calls receivers, the only one that opens the secrets they are signed with."""

    delivery_queue_url: str
    delivery_dead_letters_url: str
    webhook_key_id: str
    allow_loopback: bool = False
    """True on one machine only, where receivers are the machine's own."""
    webhook_retry_delays_s: Json[tuple[float, ...]] = RETRY_DELAYS_S


class FetchSettings(Settings):
    """Of the function that fetches recordings."""

    table: str = ""
    """It sees none."""
    audio_bucket: str
    fetch_queue_url: str
    fetch_failure_queue_url: str
    allow_loopback: bool = False
    """True on one machine only."""


class FetchLostSettings(Settings):
    """Of the function that tells of what killed the one that fetches."""

    table: str = ""
    """It sees none."""
    fetch_failure_queue_url: str
