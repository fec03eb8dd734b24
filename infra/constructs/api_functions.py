"""The functions clients talk to: one for each dialect, and the only one that may sign tokens."""

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
from infra.nag import accept_objects
from lambdas.core.workflow import FunctionName
from lambdas.settings import ApiSettings, TokenSettings

_API_MEMORY_MIB = 1024
"""A client waits for these: more memory is more CPU, and a shorter cold start."""


class DialectFunction(Construct):
    """The function of one dialect and the role under which it signs links: the function itself sees no audio.

    ``in_parts`` is for a dialect that offers uploads in parts: it starts and finishes them under the signing role.
    """

    def __init__(
        self,
        scope: Construct,
        config: Config,
        *,
        name: FunctionName,
        dialect: str,
        table: dynamodb.ITable,
        audio: s3.IBucket,
        data_key: kms.IKey,
        signing_key: kms.IKey,
        admit_queue: sqs.IQueue,
        in_parts: bool = False,
    ) -> None:
        super().__init__(scope, f"{name.value}Dialect")
        role = function_role(self, name)
        self.presign_role = iam.Role(
            self,
            "PresignRole",
            assumed_by=iam.ArnPrincipal(role.role_arn),
            description=f"Signs links to audio for {name.value}",
        )
        local = {"s3_public_endpoint": S3_URL_PLACEHOLDER} if config.local else {}
        environment = settings_environment(
            ApiSettings,
            config,
            dialect=dialect,
            table=table.table_name,
            audio_bucket=audio.bucket_name,
            admit_queue_url=admit_queue.queue_url,
            signing_key_id=signing_key.key_id,
            presign_role_arn=self.presign_role.role_arn,
            public_base_url=config.public_base_url,
            **local,
        )
        spec = Spec(name, environment, memory_mib=_API_MEMORY_MIB, timeout_s=25)
        self.api = ServiceFunction(self, config, spec, role=role)
        self.api.allow(
            grants.table_use(table, INDEXES, *grants.READ, *grants.WRITE),
            grants.queue_send(admit_queue),
            grants.key_use(signing_key, "kms:GetPublicKey"),
            grants.role_assume(self.presign_role),
        )
        self._allow_signing(audio, data_key, in_parts=in_parts)

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


def token_function(
    scope: Construct, config: Config, *, table: dynamodb.ITable, signing_key: kms.IKey
) -> ServiceFunction:
    """Make the token endpoint's function."""
    environment = settings_environment(TokenSettings, config, table=table.table_name, signing_key_id=signing_key.key_id)
    function = ServiceFunction(
        scope, config, Spec(FunctionName.TOKEN, environment, memory_mib=_API_MEMORY_MIB, timeout_s=25)
    )
    return function.allow(grants.table_get(table), grants.key_use(signing_key, "kms:Sign", "kms:GetPublicKey"))
