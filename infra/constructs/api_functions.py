"""The functions clients talk to: one for each dialect, and the only one that may sign tokens."""

import json
from collections.abc import Mapping

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import S3_URL_PLACEHOLDER, Config
from infra.constructs import grants
from infra.constructs.buckets import INPUT_PREFIX, OUTPUT_PREFIX
from infra.constructs.functions import ServiceFunction, Spec, function_role, settings_environment
from infra.constructs.job_table import INDEXES
from infra.constructs.queues import JobQueues
from infra.nag import accept_objects
from lambdas.core.workflow import FunctionName
from lambdas.dialects.common import Dialect
from lambdas.settings import ApiSettings, TokenSettings

_API_TIMEOUT_S = 28
"""API Gateway gives up a second later; a client may ask to wait for 20."""

_API_MEMORY_MIB = 1024
"""A client waits for these: more memory is more CPU, and a shorter cold start."""


class DialectFunction(Construct):
    """The function of one dialect and the role under which it signs links: the function itself sees no audio.

    Uploads in parts are started and finished under the signing role too.
    """

    def __init__(
        self,
        scope: Construct,
        config: Config,
        *,
        dialect: Dialect,
        table: dynamodb.ITable,
        audio: s3.IBucket,
        data_key: kms.IKey,
        signing_key: kms.IKey,
        admit_queue: sqs.IQueue,
        queues: JobQueues,
        deliveries: sqs.IQueue,
        fetching: sqs.IQueue,
        webhook_key: kms.IKey,
    ) -> None:
        name = dialect.function
        super().__init__(scope, f"{name.value}Dialect")
        role = function_role(self, name)
        self.presign_role = iam.Role(
            self,
            "PresignRole",
            assumed_by=iam.ArnPrincipal(role.role_arn),
            description=f"Signs links to audio for {name.value}",
        )
        messages = _messages(dialect, queues, deliveries, fetching)
        webhooks = {"webhook_key_id": webhook_key.key_id} if dialect.has_webhooks else {}
        local = {"s3_public_endpoint": S3_URL_PLACEHOLDER} if config.local else {}
        browsers = {"cors_origins": json.dumps(config.cors_origins)} if config.cors_origins else {}
        if config.local and (dialect.has_webhooks or dialect.fetches):
            local["allow_loopback"] = "true"
        environment = settings_environment(
            ApiSettings,
            config,
            dialect=dialect.name,
            table=table.table_name,
            audio_bucket=audio.bucket_name,
            admit_queue_url=admit_queue.queue_url,
            signing_key_id=signing_key.key_id,
            presign_role_arn=self.presign_role.role_arn,
            public_base_url=config.public_base_url,
            **{variable: queue.queue_url for variable, queue in messages.items()},
            **webhooks,
            **local,
            **browsers,
        )
        spec = Spec(name, environment, memory_mib=_API_MEMORY_MIB, timeout_s=_API_TIMEOUT_S)
        self.api = ServiceFunction(self, config, spec, role=role)
        self.api.allow(
            grants.table_use(table, INDEXES, *grants.READ, *grants.WRITE, *(grants.DELETE if dialect.cancels else ())),
            grants.queue_send(admit_queue),
            grants.key_use(signing_key, "kms:GetPublicKey"),
            grants.role_assume(self.presign_role),
            *(grants.queue_send(queue) for queue in messages.values()),
            # Secrets are sealed here and opened where they sign.
            *([grants.key_use(webhook_key, "kms:Encrypt")] if dialect.has_webhooks else []),
        )
        self._allow_signing(audio, data_key, in_parts=dialect.uploads_in_parts)

    def _allow_signing(self, audio: s3.IBucket, data_key: kms.IKey, *, in_parts: bool) -> None:
        """Let the role sign uploads and downloads, and nothing else."""
        for statement in (
            grants.objects_put(audio, INPUT_PREFIX),
            grants.objects_get(audio, OUTPUT_PREFIX),
            grants.data_key_write(data_key),
            *(grants.uploads_in_parts(audio, INPUT_PREFIX) if in_parts else ()),
        ):
            self.presign_role.add_to_policy(statement)
        for prefix in (INPUT_PREFIX, OUTPUT_PREFIX):
            accept_objects(self.presign_role, audio, prefix)


def _messages(
    dialect: Dialect, queues: JobQueues, deliveries: sqs.IQueue, fetching: sqs.IQueue
) -> Mapping[str, sqs.IQueue]:
    """Return the queues that what the dialect's clients can do needs, by setting."""
    cancelling = {"stop_queue_url": queues.stop, "outcome_queue_url": queues.outcome} if dialect.cancels else {}
    deleting = {"erase_queue_url": queues.erase} if dialect.deletes else {}
    telling = {"delivery_queue_url": deliveries} if dialect.has_webhooks else {}
    fetched = {"fetch_queue_url": fetching} if dialect.fetches else {}
    return {**cancelling, **deleting, **telling, **fetched}


def token_function(
    scope: Construct, config: Config, *, table: dynamodb.ITable, signing_key: kms.IKey
) -> ServiceFunction:
    """Make the token endpoint's function."""
    environment = settings_environment(TokenSettings, config, table=table.table_name, signing_key_id=signing_key.key_id)
    function = ServiceFunction(
        scope, config, Spec(FunctionName.TOKEN, environment, memory_mib=_API_MEMORY_MIB, timeout_s=25)
    )
    return function.allow(grants.table_get(table), grants.key_use(signing_key, "kms:Sign", "kms:GetPublicKey"))


def docs_function(scope: Construct, config: Config) -> ServiceFunction:
    """Make the function that shows the API's document: it has neither settings nor permissions."""
    return ServiceFunction(scope, config, Spec(FunctionName.DOCS, {}, memory_mib=_API_MEMORY_MIB, timeout_s=25))
