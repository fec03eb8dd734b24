"""The only place where the core meets its adapters. One function per entry point; each reads its settings once."""

import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from lambdas.adapters.aws.client_buckets import ClientBuckets, connection
from lambdas.adapters.aws.dynamodb import (
    DynamoAssetStore,
    DynamoAttemptStore,
    DynamoBatchStore,
    DynamoClientRegistry,
    DynamoLaneLog,
    DynamoRateCounter,
    DynamoUsageStore,
)
from lambdas.adapters.aws.job_repository import DynamoJobRepository
from lambdas.adapters.aws.kms import KmsTokenSigner, KmsTokenVerifier
from lambdas.adapters.aws.lanes import (
    AlwaysWarm,
    EndpointWarmth,
    LambdaBackend,
    LaneAnswers,
    StateMachineBackend,
)
from lambdas.adapters.aws.messaging import (
    SageMakerAsyncBackend,
    SqsAdmissionQueue,
    SqsDelivery,
    SqsEraseQueue,
    SqsOutcomeQueue,
    SqsStopQueue,
    StepFunctionsIntakes,
    StepFunctionsTasks,
    StepFunctionsWorkflow,
)
from lambdas.adapters.aws.s3 import (
    Addressing,
    PresignClient,
    S3Answers,
    S3AudioLinks,
    S3AudioObjects,
    S3Eraser,
    S3MultipartUploads,
    s3_config,
)
from lambdas.adapters.aws.sources import S3ObjectSink, SqsFetchFailureQueue, SqsFetchQueue
from lambdas.adapters.aws.sts import StsIssuer
from lambdas.adapters.aws.telemetry import EmfTelemetry
from lambdas.adapters.aws.tombstones import DynamoTombstoneStore
from lambdas.adapters.aws.webhooks import DynamoDeliveryStore, DynamoWebhookStore, KmsSecretSealer, SqsDeliveryQueue
from lambdas.adapters.caching import CachingClientRegistry
from lambdas.adapters.egress import Egress
from lambdas.adapters.system import RandomIds, SystemClock
from lambdas.core.costs import Hardware, busy_usd_per_s
from lambdas.core.egress import EgressPolicy
from lambdas.core.ports import ComputeBackend, Warmth
from lambdas.core.retention import Retention
from lambdas.core.routing import Lane
from lambdas.core.services.access import AccessService
from lambdas.core.services.admission import AdmissionService
from lambdas.core.services.assets import AssetService
from lambdas.core.services.authentication import Authenticator, KeyAuthenticator, TokenService
from lambdas.core.services.batches import BatchService
from lambdas.core.services.cancelling import CancelService
from lambdas.core.services.clients import ClientAdministration
from lambdas.core.services.completion import CompletionService
from lambdas.core.services.deletion import DeletionService, EnhancementDeletion, EraseService
from lambdas.core.services.deliveries import AnnounceService, DeliveryService
from lambdas.core.services.enhancements import DownloadService, EnhancementService
from lambdas.core.services.execution import DispatchService, ExecutionService, Processing
from lambdas.core.services.housekeeping import HousekeepingService
from lambdas.core.services.intake import IntakeService
from lambdas.core.services.jobs import JobAdministration
from lambdas.core.services.lanes import Lanes
from lambdas.core.services.listing import JobListing
from lambdas.core.services.outcomes import OutcomeService
from lambdas.core.services.rates import RateLimiter
from lambdas.core.services.sources import FetchService, SourceService
from lambdas.core.services.submission import SubmissionService
from lambdas.core.services.sweeping import SweepService
from lambdas.core.services.uploads import UploadService
from lambdas.core.services.waiting import WaitingJobs
from lambdas.core.services.webhooks import WebhookService
from lambdas.core.telemetry import NoTelemetry, Telemetry
from lambdas.core.workflow import Patience
from lambdas.dialects.adobe.services import AdobeServices
from lambdas.dialects.adobe_v2.services import AdobeV2Services
from lambdas.dialects.native.services import NativeServices
from lambdas.settings import (
    AccessSettings,
    AdmitSettings,
    ApiSettings,
    CompleteSettings,
    DeliverSettings,
    DispatchSettings,
    EraseSettings,
    FetchLostSettings,
    FetchSettings,
    IntakeSettings,
    JobStepsSettings,
    Settings,
    SweepSettings,
    TokenSettings,
    WebhookSettings,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table
    from types_boto3_s3.client import S3Client

CLOCK = SystemClock()
IDS = RandomIds()

SIDE_BY_SIDE = 32
"""Jobs the sweep looks at at a time: a thousand in some seconds."""

SWEEPER = "sweeper"
"""Its message group in the queue of admissions."""

RETRIES = Config(
    retries={"mode": "standard", "max_attempts": 3},
    connect_timeout=3,
    read_timeout=15,
    max_pool_connections=SIDE_BY_SIDE,
)
NO_RETRIES = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=3, read_timeout=15)
"""For the lanes: an invocation sent twice runs twice. Step Functions retries, with a token of its own."""


@lru_cache
def api_settings() -> ApiSettings:
    """Return the settings of a function that serves a dialect."""
    return ApiSettings.read(os.environ)


@lru_cache
def adobe_services() -> AdobeServices:
    """Wire Adobe's dialect."""
    settings = api_settings()
    table, assets, links = _table(settings.table), _assets(settings), _links()
    enhancements = _enhancements(settings, settings.admit_queue_url)
    return AdobeServices(
        authenticator=Authenticator(_known_clients(), _token_verifier(), CLOCK),
        rates=RateLimiter(DynamoRateCounter(table), CLOCK),
        assets=AssetService(assets, links, CLOCK, IDS),
        enhancements=enhancements,
        downloads=DownloadService(enhancements, links),
        public_base_url=settings.public_base_url,
    )


@lru_cache
def adobe_v2_services() -> AdobeV2Services:
    """Wire version 2 of Adobe's API: what version 1 has, and deleting."""
    settings, first = api_settings(), adobe_services()
    return AdobeV2Services(
        authenticator=first.authenticator,
        rates=first.rates,
        assets=first.assets,
        enhancements=first.enhancements,
        downloads=first.downloads,
        deletion=DeletionService(_assets(settings), _erasing(settings.erase_queue_url), CLOCK),
    )


@lru_cache
def native_services() -> NativeServices:
    """Wire the native dialect."""
    settings = api_settings()
    table, assets, links = _table(settings.table), _assets(settings), _links()
    asset_service, jobs = AssetService(assets, links, CLOCK, IDS), _jobs(settings)
    enhancements = _enhancements(settings, settings.admit_queue_url)
    webhooks = webhook_service(
        settings.table,
        delivery_queue_url=settings.delivery_queue_url,
        webhook_key_id=settings.webhook_key_id,
        allow_loopback=settings.allow_loopback,
    )
    sources = source_service(settings, fetch_queue_url=settings.fetch_queue_url, allow_loopback=settings.allow_loopback)
    submissions = SubmissionService(asset_service, upload_service(), sources, enhancements, webhooks, IDS)
    outcomes = _outcomes(settings, settings.outcome_queue_url)
    batches = DynamoBatchStore(table, Retention(settings.retention_days))
    return NativeServices(
        authenticator=KeyAuthenticator(_known_clients(), _token_verifier(), CLOCK),
        rates=RateLimiter(DynamoRateCounter(table), CLOCK),
        assets=asset_service,
        uploads=upload_service(),
        submissions=submissions,
        batches=BatchService(submissions, jobs, batches, CLOCK, IDS),
        listing=JobListing(jobs, assets, CLOCK),
        downloads=DownloadService(enhancements, links),
        cancelling=_cancelling(settings, settings.stop_queue_url, settings.admit_queue_url, outcomes),
        deletion=DeletionService(assets, _erasing(settings.erase_queue_url), CLOCK),
        enhancement_deletion=EnhancementDeletion(jobs, outcomes, _erasing(settings.erase_queue_url), CLOCK),
        usage=DynamoUsageStore(table),
        webhooks=webhooks,
        clock=CLOCK,
        ids=IDS,
        sleep=time.sleep,
        upload_url_ttl_s=settings.upload_url_ttl_s,
        download_url_ttl_s=settings.download_url_ttl_s,
        public_base_url=settings.public_base_url,
    )


@lru_cache
def upload_service() -> UploadService:
    """Wire uploads in parts, for the dialects that offer them."""
    settings = api_settings()
    uploads = S3MultipartUploads(settings.audio_bucket, _presigner(), settings.upload_url_ttl_s)
    return UploadService(_assets(settings), uploads, CLOCK, IDS)


@lru_cache
def _known_clients() -> CachingClientRegistry:
    return CachingClientRegistry(DynamoClientRegistry(_table(api_settings().table)), CLOCK)


@lru_cache
def _token_verifier() -> KmsTokenVerifier:
    return KmsTokenVerifier(boto3.client("kms", config=RETRIES), api_settings().signing_key_id)


def _links() -> S3AudioLinks:
    settings = api_settings()
    return S3AudioLinks(
        bucket=settings.audio_bucket,
        presigner=_presigner(),
        upload_ttl_s=settings.upload_url_ttl_s,
        download_ttl_s=settings.download_url_ttl_s,
    )


@lru_cache
def _presigner() -> PresignClient:
    settings = api_settings()
    return PresignClient(
        sts=boto3.client("sts", config=RETRIES),
        role_arn=settings.presign_role_arn,
        clock=CLOCK,
        addressing=settings.s3_addressing,
        endpoint_url=settings.s3_public_endpoint or None,
    )


@lru_cache
def token_service() -> TokenService:
    """Wire the token endpoint."""
    settings = TokenSettings.read(os.environ)
    return TokenService(
        DynamoClientRegistry(_table(settings.table)),
        KmsTokenSigner(boto3.client("kms", config=RETRIES), settings.signing_key_id),
        CLOCK,
        settings.token_ttl_s,
    )


@lru_cache
def intake_service() -> IntakeService:
    """Wire the steps that settle an upload."""
    settings = IntakeSettings.read(os.environ)
    objects = _audio_objects(settings.audio_bucket, settings.s3_addressing)
    outcomes = _outcomes(settings, settings.outcome_queue_url)
    waiting = WaitingJobs(_assets(settings), _jobs(settings), _queue(settings.admit_queue_url), outcomes, CLOCK)
    return IntakeService(_assets(settings), objects, waiting, _erasing(settings.erase_queue_url), CLOCK)


@lru_cache
def admission_service() -> AdmissionService:
    """Wire admission."""
    settings = AdmitSettings.read(os.environ)
    return AdmissionService(
        _jobs(settings),
        DynamoClientRegistry(_table(settings.table)),
        _workflow(settings.state_machine_arn),
        _queue(settings.admit_queue_url),
        CLOCK,
        settings.max_active_total,
        _telemetry(settings),
    )


@lru_cache
def admit_delivery() -> SqsDelivery:
    """Wire the queue of admissions as its consumer sees it."""
    return SqsDelivery(boto3.client("sqs", config=RETRIES), AdmitSettings.read(os.environ).admit_queue_url)


@lru_cache
def execution_service() -> ExecutionService:
    """Wire the steps that claim, verify, finish and tell of a job."""
    settings = JobStepsSettings.read(os.environ)
    return ExecutionService(
        _assets(settings),
        _jobs(settings),
        _audio_objects(settings.audio_bucket, settings.s3_addressing),
        _queue(settings.admit_queue_url),
        _outcomes(settings, settings.outcome_queue_url),
        CLOCK,
        _telemetry(settings),
    )


@lru_cache
def dispatch_service() -> DispatchService:
    """Wire the step that hands a job to a lane."""
    settings = DispatchSettings.read(os.environ)
    return DispatchService(
        _assets(settings),
        _jobs(settings),
        _attempts(settings),
        Lanes({lane: _backend(lane, settings) for lane in settings.speeds}, settings.speeds, _warmth(settings)),
        CLOCK,
        Processing(settings.audio_bucket, settings.work_bucket, settings.dereverb, settings.report),
    )


@lru_cache
def access_service() -> AccessService:
    """Wire the lending of keys to workers."""
    settings = AccessSettings.read(os.environ)
    return AccessService(
        _assets(settings),
        _jobs(settings),
        _attempts(settings),
        StsIssuer(boto3.client("sts", config=RETRIES), settings.work_role_arn),
        settings.dereverb,
    )


@lru_cache
def completion_service() -> CompletionService:
    """Wire the function that ends tasks."""
    settings = CompleteSettings.read(os.environ)
    return _completion(settings, settings.work_bucket)


@lru_cache
def sweep_service() -> SweepService:
    """Wire the sweeper."""
    settings = SweepSettings.read(os.environ)
    return SweepService(
        _jobs(settings),
        _attempts(settings),
        _workflow(settings.state_machine_arn),
        _tasks(),
        _completion(settings, settings.work_bucket),
        _queue(settings.admit_queue_url, group=SWEEPER),
        _outcomes(settings, settings.outcome_queue_url),
        DynamoLaneLog(_table(settings.table)),
        CLOCK,
        workers=SIDE_BY_SIDE,
        patience=Patience().times(settings.timer_scale),
    )


@lru_cache
def housekeeping_service() -> HousekeepingService:
    """Wire the rest of the minute's sweep."""
    settings = SweepSettings.read(os.environ)
    erasing = SqsEraseQueue(boto3.client("sqs", config=RETRIES), settings.erase_queue_url)
    admissions, outcomes = (
        _queue(settings.admit_queue_url, group=SWEEPER),
        _outcomes(settings, settings.outcome_queue_url),
    )
    return HousekeepingService(
        DynamoClientRegistry(_table(settings.table)),
        _assets(settings),
        _jobs(settings),
        _tombstones(settings),
        admissions,
        erasing,
        outcomes,
        WaitingJobs(_assets(settings), _jobs(settings), admissions, outcomes, CLOCK),
        DeletionService(_assets(settings), erasing, CLOCK),
        StepFunctionsIntakes(boto3.client("stepfunctions", config=RETRIES), settings.intake_machine_arn),
        CLOCK,
        Patience().times(settings.timer_scale),
    )


@lru_cache
def sweep_telemetry() -> Telemetry:
    """Wire the counting of what a sweep saw."""
    return _telemetry(SweepSettings.read(os.environ))


@lru_cache
def erase_service() -> EraseService:
    """Wire the erasing of deleted assets."""
    settings = EraseSettings.read(os.environ)
    s3 = _s3(settings.s3_addressing)
    outcomes = _outcomes(settings, settings.outcome_queue_url)
    return EraseService(
        _assets(settings),
        _jobs(settings),
        _tombstones(settings),
        S3Eraser(settings.audio_bucket, s3),
        S3Eraser(settings.work_bucket, s3),
        _cancelling(settings, settings.stop_queue_url, settings.admit_queue_url, outcomes),
        outcomes,
        CLOCK,
    )


@lru_cache
def announce_service() -> AnnounceService:
    """Wire the making of deliveries."""
    settings = WebhookSettings.read(os.environ)
    table, queue = _table(settings.table), _deliveries(settings.delivery_queue_url)
    return AnnounceService(DynamoWebhookStore(table), DynamoDeliveryStore(table), queue, CLOCK)


@lru_cache
def delivery_service() -> DeliveryService:
    """Wire the calling of receivers."""
    settings = DeliverSettings.read(os.environ)
    table = _table(settings.table)
    return DeliveryService(
        DynamoWebhookStore(table),
        DynamoDeliveryStore(table),
        _deliveries(settings.delivery_queue_url, settings.delivery_dead_letters_url),
        Egress(EgressPolicy(allow_loopback=settings.allow_loopback)),
        KmsSecretSealer(boto3.client("kms", config=RETRIES), settings.webhook_key_id),
        CLOCK,
        settings.webhook_retry_delays_s,
    )


@lru_cache
def deliveries() -> SqsDeliveryQueue:
    """Wire the queue of deliveries, for what is to be attempted again."""
    return _deliveries(DeliverSettings.read(os.environ).delivery_queue_url)


@lru_cache
def fetch_service() -> FetchService:
    """Wire the fetching of recordings."""
    settings = FetchSettings.read(os.environ)
    return FetchService(
        Egress(EgressPolicy(allow_loopback=settings.allow_loopback)),
        ClientBuckets(
            boto3.client("sts", config=RETRIES), connection(s3_config(settings.s3_addressing).merge(RETRIES))
        ),
        S3ObjectSink(settings.audio_bucket, _s3(settings.s3_addressing)),
        SqsFetchFailureQueue(boto3.client("sqs", config=RETRIES), settings.fetch_failure_queue_url),
    )


@lru_cache
def fetch_failures() -> SqsFetchFailureQueue:
    """Wire the telling of what the function that fetches died of."""
    settings = FetchLostSettings.read(os.environ)
    return SqsFetchFailureQueue(boto3.client("sqs", config=RETRIES), settings.fetch_failure_queue_url)


@lru_cache
def waiting_fetches() -> SqsDelivery:
    """Wire the queue of recordings to fetch as its consumer sees it."""
    return SqsDelivery(boto3.client("sqs", config=RETRIES), FetchSettings.read(os.environ).fetch_queue_url)


def source_service(settings: Settings, *, fetch_queue_url: str, allow_loopback: bool = False) -> SourceService:
    """Wire the registering of recordings to fetch, for dialects."""
    queue = SqsFetchQueue(boto3.client("sqs", config=RETRIES), fetch_queue_url)
    return SourceService(_assets(settings), queue, EgressPolicy(allow_loopback=allow_loopback), CLOCK, IDS)


def webhook_service(
    table_name: str, *, delivery_queue_url: str, webhook_key_id: str, allow_loopback: bool = False
) -> WebhookService:
    """Wire the administration of webhooks, for dialects and for the command line."""
    table = _table(table_name)
    return WebhookService(
        DynamoWebhookStore(table),
        DynamoDeliveryStore(table),
        _deliveries(delivery_queue_url),
        KmsSecretSealer(boto3.client("kms", config=RETRIES), webhook_key_id),
        EgressPolicy(allow_loopback=allow_loopback),
        CLOCK,
        IDS,
    )


def job_administration(
    table_name: str, *, admit_queue_url: str, stop_queue_url: str, outcome_queue_url: str, retention_days: int = 30
) -> JobAdministration:
    """Wire the administration of jobs, for the command line."""
    settings = Settings(table=table_name, retention_days=retention_days)
    outcomes = _outcomes(settings, outcome_queue_url, NoTelemetry())
    return JobAdministration(
        DynamoClientRegistry(_table(table_name)),
        _jobs(settings),
        _cancelling(settings, stop_queue_url, admit_queue_url, outcomes),
    )


def client_administration(table_name: str) -> ClientAdministration:
    """Wire the administration of clients, for the command line."""
    return ClientAdministration(DynamoClientRegistry(_table(table_name)), CLOCK, IDS)


def _assets(settings: Settings) -> DynamoAssetStore:
    return DynamoAssetStore(_table(settings.table), Retention(settings.retention_days))


def _jobs(settings: Settings) -> DynamoJobRepository:
    return DynamoJobRepository(_table(settings.table), Retention(settings.retention_days))


def _tombstones(settings: Settings) -> DynamoTombstoneStore:
    return DynamoTombstoneStore(_table(settings.table), Retention(settings.retention_days))


def _attempts(settings: Settings) -> DynamoAttemptStore:
    return DynamoAttemptStore(_table(settings.table), CLOCK)


def _enhancements(settings: Settings, admit_queue_url: str) -> EnhancementService:
    retention, queue = Retention(settings.retention_days), _queue(admit_queue_url)
    tombstones = _tombstones(settings)
    return EnhancementService(_assets(settings), _jobs(settings), queue, CLOCK, IDS, retention, tombstones)


def _completion(settings: Settings, work_bucket: str) -> CompletionService:
    objects = S3Answers(work_bucket, _s3(settings.s3_addressing))
    answers = LaneAnswers(objects, boto3.client("stepfunctions", config=RETRIES))
    return CompletionService(_jobs(settings), _attempts(settings), answers, _tasks())


def _backend(lane: Lane, settings: DispatchSettings) -> ComputeBackend:
    if lane is Lane.CPU:
        return LambdaBackend(boto3.client("lambda", config=NO_RETRIES), settings.cpu_function)
    if lane is Lane.CPU_FAN_OUT:
        return StateMachineBackend(boto3.client("stepfunctions", config=RETRIES), settings.fan_out_machine_arn)
    return SageMakerAsyncBackend(
        s3=_s3(settings.s3_addressing),
        runtime=boto3.client(
            "sagemaker-runtime", endpoint_url=settings.sagemaker_endpoint_url or None, config=NO_RETRIES
        ),
        endpoint_name=settings.endpoint_name,
        work_bucket=settings.work_bucket,
    )


def _warmth(settings: DispatchSettings) -> Warmth:
    if settings.sagemaker_endpoint_url:
        return AlwaysWarm()
    return EndpointWarmth(boto3.client("sagemaker", config=RETRIES), settings.endpoint_name)


def _outcomes(settings: Settings, queue_url: str, telemetry: Telemetry | None = None) -> OutcomeService:
    queue = SqsOutcomeQueue(boto3.client("sqs", config=RETRIES), queue_url)
    return OutcomeService(_jobs(settings), queue, CLOCK, telemetry or _telemetry(settings))


def _telemetry(settings: Settings) -> EmfTelemetry:
    """Only the steps of an execution know of work done, and so of its price."""
    if not isinstance(settings, JobStepsSettings):
        return EmfTelemetry(settings.stage)
    hardware = Hardware(
        gpu_instance_type=settings.gpu_instance_type,
        gpu_concurrency=settings.gpu_concurrency,
        cpu_memory_mib=settings.cpu_memory_mib,
        cpu_is_arm=settings.cpu_architecture == "arm64",
    )
    return EmfTelemetry(settings.stage, busy_usd_per_s(hardware))


def _cancelling(
    settings: Settings, stop_queue_url: str, admit_queue_url: str, outcomes: OutcomeService
) -> CancelService:
    stops = SqsStopQueue(boto3.client("sqs", config=RETRIES), stop_queue_url)
    return CancelService(_jobs(settings), stops, _queue(admit_queue_url), outcomes, CLOCK)


def _table(name: str) -> "Table":
    return boto3.resource("dynamodb", config=RETRIES).Table(name)


def _queue(url: str, group: str | None = None) -> SqsAdmissionQueue:
    return SqsAdmissionQueue(boto3.client("sqs", config=RETRIES), url, group)


def _erasing(url: str) -> SqsEraseQueue:
    return SqsEraseQueue(boto3.client("sqs", config=RETRIES), url)


def _workflow(state_machine_arn: str) -> StepFunctionsWorkflow:
    return StepFunctionsWorkflow(boto3.client("stepfunctions", config=RETRIES), state_machine_arn)


def _deliveries(url: str, dead_letters_url: str = "") -> SqsDeliveryQueue:
    return SqsDeliveryQueue(boto3.client("sqs", config=RETRIES), url, dead_letters_url)


def _tasks() -> StepFunctionsTasks:
    return StepFunctionsTasks(boto3.client("stepfunctions", config=RETRIES))


def _audio_objects(bucket: str, addressing: Addressing) -> S3AudioObjects:
    return S3AudioObjects(bucket, _s3(addressing))


def _s3(addressing: Addressing) -> "S3Client":
    return boto3.client("s3", config=s3_config(addressing).merge(RETRIES))
