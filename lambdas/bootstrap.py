"""The only place where the core meets its adapters. One function per entry point; each reads its settings once."""

import os
from functools import lru_cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from lambdas.adapters.aws.dynamodb import (
    DynamoAssetStore,
    DynamoAttemptStore,
    DynamoClientRegistry,
    DynamoJobRepository,
)
from lambdas.adapters.aws.kms import KmsTokenSigner, KmsTokenVerifier
from lambdas.adapters.aws.messaging import (
    SageMakerAsyncBackend,
    SqsAdmissionQueue,
    StepFunctionsTasks,
    StepFunctionsWorkflow,
)
from lambdas.adapters.aws.s3 import Addressing, PresignClient, S3Answers, S3AudioLinks, S3AudioObjects, s3_config
from lambdas.adapters.caching import CachingClientRegistry
from lambdas.adapters.system import RandomIds, SystemClock
from lambdas.core.services.admission import AdmissionService
from lambdas.core.services.assets import AssetService
from lambdas.core.services.authentication import Authenticator, TokenService
from lambdas.core.services.clients import ClientAdministration
from lambdas.core.services.completion import CompletionService
from lambdas.core.services.enhancements import DownloadService, EnhancementService
from lambdas.core.services.execution import DispatchService, ExecutionService, Processing
from lambdas.core.services.intake import IntakeService
from lambdas.core.services.sweeping import SweepService
from lambdas.dialects.adobe.services import AdobeServices
from lambdas.settings import (
    AdmitSettings,
    ApiSettings,
    CompleteSettings,
    DispatchSettings,
    IntakeSettings,
    JobStepsSettings,
    SweepSettings,
    TokenSettings,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

CLOCK = SystemClock()
IDS = RandomIds()

RETRIES = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=15)
NO_RETRIES = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=3, read_timeout=15)
"""For the endpoint: an invocation sent twice runs twice. Step Functions retries, with a token of its own."""


@lru_cache
def api_settings() -> ApiSettings:
    """Return the settings of a function that serves a dialect."""
    return ApiSettings.read(os.environ)


@lru_cache
def adobe_services() -> AdobeServices:
    """Wire Adobe's dialect."""
    settings = api_settings()
    table = _table(settings.table)
    assets = DynamoAssetStore(table)
    links = S3AudioLinks(
        bucket=settings.audio_bucket,
        presigner=PresignClient(
            sts=boto3.client("sts", config=RETRIES),
            role_arn=settings.presign_role_arn,
            clock=CLOCK,
            addressing=settings.s3_addressing,
            endpoint_url=settings.s3_public_endpoint or None,
        ),
        upload_ttl_s=settings.upload_url_ttl_s,
        download_ttl_s=settings.download_url_ttl_s,
    )
    enhancements = EnhancementService(assets, DynamoJobRepository(table), _queue(settings.admit_queue_url), CLOCK, IDS)
    return AdobeServices(
        authenticator=Authenticator(
            CachingClientRegistry(DynamoClientRegistry(table), CLOCK),
            KmsTokenVerifier(boto3.client("kms", config=RETRIES), settings.signing_key_id),
            CLOCK,
        ),
        assets=AssetService(assets, links, CLOCK, IDS),
        enhancements=enhancements,
        downloads=DownloadService(assets, enhancements, links),
        public_base_url=settings.public_base_url,
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
    table = _table(settings.table)
    assets = DynamoAssetStore(table)
    enhancements = EnhancementService(assets, DynamoJobRepository(table), _queue(settings.admit_queue_url), CLOCK, IDS)
    objects = _audio_objects(settings.audio_bucket, settings.s3_addressing)
    return IntakeService(assets, objects, enhancements, CLOCK)


@lru_cache
def admission_service() -> AdmissionService:
    """Wire admission."""
    settings = AdmitSettings.read(os.environ)
    return AdmissionService(DynamoJobRepository(_table(settings.table)), _workflow(settings.state_machine_arn), CLOCK)


@lru_cache
def execution_service() -> ExecutionService:
    """Wire the steps that claim, verify and finish a job."""
    settings = JobStepsSettings.read(os.environ)
    table = _table(settings.table)
    return ExecutionService(
        DynamoAssetStore(table),
        DynamoJobRepository(table),
        _audio_objects(settings.audio_bucket, settings.s3_addressing),
        _queue(settings.admit_queue_url),
        CLOCK,
    )


@lru_cache
def dispatch_service() -> DispatchService:
    """Wire the step that hands a job to the endpoint."""
    settings = DispatchSettings.read(os.environ)
    table = _table(settings.table)
    backend = SageMakerAsyncBackend(
        s3=boto3.client("s3", config=s3_config(settings.s3_addressing).merge(RETRIES)),
        runtime=boto3.client(
            "sagemaker-runtime", endpoint_url=settings.sagemaker_endpoint_url or None, config=NO_RETRIES
        ),
        endpoint_name=settings.endpoint_name,
        work_bucket=settings.work_bucket,
    )
    return DispatchService(
        DynamoAssetStore(table),
        DynamoJobRepository(table),
        DynamoAttemptStore(table, CLOCK),
        backend,
        CLOCK,
        Processing(settings.audio_bucket, settings.work_bucket, settings.dereverb, settings.report),
    )


@lru_cache
def completion_service() -> CompletionService:
    """Wire the function that ends tasks."""
    settings = CompleteSettings.read(os.environ)
    s3 = boto3.client("s3", config=s3_config(settings.s3_addressing).merge(RETRIES))
    return CompletionService(
        DynamoAttemptStore(_table(settings.table), CLOCK), S3Answers(settings.work_bucket, s3), _tasks()
    )


@lru_cache
def sweep_service() -> SweepService:
    """Wire the sweeper."""
    settings = SweepSettings.read(os.environ)
    table = _table(settings.table)
    return SweepService(
        DynamoJobRepository(table),
        DynamoAttemptStore(table, CLOCK),
        _workflow(settings.state_machine_arn),
        _tasks(),
        _queue(settings.admit_queue_url),
        CLOCK,
    )


def client_administration(table_name: str) -> ClientAdministration:
    """Wire the administration of clients, for the command line."""
    return ClientAdministration(DynamoClientRegistry(_table(table_name)), CLOCK, IDS)


def _table(name: str) -> "Table":
    return boto3.resource("dynamodb", config=RETRIES).Table(name)


def _queue(url: str) -> SqsAdmissionQueue:
    return SqsAdmissionQueue(boto3.client("sqs", config=RETRIES), url)


def _workflow(state_machine_arn: str) -> StepFunctionsWorkflow:
    return StepFunctionsWorkflow(boto3.client("stepfunctions", config=RETRIES), state_machine_arn)


def _tasks() -> StepFunctionsTasks:
    return StepFunctionsTasks(boto3.client("stepfunctions", config=RETRIES))


def _audio_objects(bucket: str, addressing: Addressing) -> S3AudioObjects:
    return S3AudioObjects(bucket, boto3.client("s3", config=s3_config(addressing).merge(RETRIES)))
