"""What must outlive everything else: the table, the buckets, the keys."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.config import Config
from infra.constructs.buckets import Buckets
from infra.constructs.job_table import JobTable
from infra.constructs.publish import publish
from infra.outputs import Output
from infra.stacks.base import BaseStack


class DataStack(BaseStack):
    """Stateful resources; a test pins their logical ids, because renaming one means losing its content."""

    def __init__(self, scope: Construct, config: Config) -> None:
        super().__init__(scope, config, "data", "Table, buckets and keys")
        self.table = JobTable(self, "Jobs", config).table
        buckets = Buckets(self, "Buckets", config)
        self.audio, self.work, self.data_key = buckets.audio, buckets.work, buckets.key
        self.signing_key = kms.Key(
            self,
            "SigningKey",
            description="Signs access tokens (RS256)",
            key_spec=kms.KeySpec.RSA_2048,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            removal_policy=RemovalPolicy.RETAIN if config.is_production else RemovalPolicy.DESTROY,
        )
        # A key of its own: whoever may read recordings may not therefore sign in our name, nor the other way round.
        self.webhook_key = kms.Key(
            self,
            "WebhookKey",
            description="Seals the secrets that webhooks are signed with",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN if config.is_production else RemovalPolicy.DESTROY,
        )
        publish(self, Output.TABLE_NAME, self.table.table_name)
        publish(self, Output.AUDIO_BUCKET, self.audio.bucket_name)
        publish(self, Output.WORK_BUCKET, self.work.bucket_name)
        publish(self, Output.SIGNING_KEY_ID, self.signing_key.key_id)
        publish(self, Output.WEBHOOK_KEY_ID, self.webhook_key.key_id)
