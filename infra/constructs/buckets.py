"""Where bytes lie: clients' audio in one bucket, the orchestration's own papers in another."""

from typing import Any, Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.config import Config
from infra.nag import accept
from lambdas.core.retention import UNFINISHED_UPLOAD_KEPT

INPUT_PREFIX: Final = "in/"
OUTPUT_PREFIX: Final = "out/"
ORDERS_PREFIX: Final = "orders/"
WET_PREFIX: Final = "wet/"
"""Fully enhanced signals, kept so that a further strength needs no network."""
ASYNC_PREFIX: Final = "async/"
"""Where the endpoint leaves its answers and failures."""

_WORK_RETENTION_DAYS = 7


class Buckets(Construct):
    """Both buckets and the key that encrypts them; in AWS also the bucket of their access logs."""

    def __init__(self, scope: Construct, name: str, config: Config) -> None:
        super().__init__(scope, name)
        self.key = kms.Key(
            self,
            "Key",
            description="Encrypts audio at rest",
            enable_key_rotation=True,
            removal_policy=_removal(config),
        )
        self._log_bucket = None if config.local else _access_log_bucket(self, config)
        self.audio = self._bucket(
            "Audio", config, versioned=True, cors=_cors(config), lifecycle_rules=_audio_lifecycle(config)
        )
        _send_events(self.audio)
        self.work = self._bucket(
            "Work",
            config,
            lifecycle_rules=[
                s3.LifecycleRule(
                    # What was made of a recording never outlives it.
                    expiration=Duration.days(min(_WORK_RETENTION_DAYS, config.retention_days)),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
        )

    def _bucket(self, name: str, config: Config, **properties: Any) -> s3.Bucket:
        return s3.Bucket(
            self,
            name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            enforce_ssl=not config.local,
            server_access_logs_bucket=self._log_bucket,
            server_access_logs_prefix=f"{name.lower()}/" if self._log_bucket else None,
            removal_policy=_removal(config),
            **properties,
        )


def _removal(config: Config) -> RemovalPolicy:
    return RemovalPolicy.RETAIN if config.is_production else RemovalPolicy.DESTROY


def _access_log_bucket(scope: Construct, config: Config) -> s3.Bucket:
    bucket = s3.Bucket(
        scope,
        "AccessLogs",
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED,  # log delivery writes to no KMS key without a grant of its own
        enforce_ssl=True,
        lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(config.log_retention_days))],
        removal_policy=_removal(config),
    )
    accept(bucket, "AwsSolutions-S1", "It holds the access logs; logging its own access would feed itself.")
    return bucket


def _cors(config: Config) -> list[s3.CorsRule] | None:
    if not config.cors_origins:
        return None
    return [
        s3.CorsRule(
            allowed_methods=[s3.HttpMethods.PUT, s3.HttpMethods.GET],
            allowed_origins=list(config.cors_origins),
            allowed_headers=["*"],
            exposed_headers=["ETag"],
            max_age=600,
        )
    ]


def _audio_lifecycle(config: Config) -> list[s3.LifecycleRule]:
    """Keep what the client uploaded and got for the configured time.

    What expires in a versioned bucket becomes noncurrent first, and goes for good a day later. What a job needs is not
    noncurrent before: a second upload to the same key is deleted, and a result's key is written once, as its worker has
    S3 see to.
    """
    # A client may take an upload up again; a worker that is gone does not.
    unfinished_days = {INPUT_PREFIX: UNFINISHED_UPLOAD_KEPT.days, OUTPUT_PREFIX: 1}
    return [
        s3.LifecycleRule(
            prefix=prefix,
            expiration=Duration.days(config.retention_days),
            noncurrent_version_expiration=Duration.days(1),
            abort_incomplete_multipart_upload_after=Duration.days(days),
        )
        for prefix, days in unfinished_days.items()
    ]


def _send_events(bucket: s3.Bucket) -> None:
    """Switch on EventBridge by the plain property: the high-level switch would bring a function of the CDK's along."""
    resource = bucket.node.default_child
    if not isinstance(resource, s3.CfnBucket):
        raise TypeError("a bucket without its resource")
    resource.add_property_override("NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled", True)  # noqa: FBT003 - CDK's signature
