"""Telling clients of what happened: one function makes the deliveries, another one alone calls receivers."""

import json

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import Config
from infra.constructs import grants
from infra.constructs.functions import ServiceFunction, Spec, settings_environment
from infra.constructs.queues import dead_letter_queue
from lambdas.core.workflow import FunctionName
from lambdas.settings import DeliverSettings, WebhookSettings

DELIVER_TIMEOUT_S = 45
"""Three times what one attempt may take; the attempts of a batch run side by side."""
BATCH_SIZE = 10
BATCHES_AT_ONCE = 10
"""A hundred receivers are called at a time, whatever else the account's functions do."""

_KEPT = Duration.days(14)
_MAX_RECEIVES = 500
"""The schedule counts attempts in the row; this only ends what no function can read at all."""

_LOCAL_RETRY_DELAYS_S = (1, 1, 1, 2, 2, 5, 10, 30, 60)


class Webhooks(Construct):
    """The queue of deliveries and the functions on either side of it."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        config: Config,
        *,
        table: dynamodb.ITable,
        key: kms.IKey,
        outcomes: sqs.IQueue,
    ) -> None:
        super().__init__(scope, name)
        self.dead_letters = dead_letter_queue(self, "DeliveryDeadLetters", config)
        self.queue = sqs.Queue(
            self,
            "DeliveryQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=not config.local,
            visibility_timeout=Duration.seconds(6 * DELIVER_TIMEOUT_S),
            retention_period=_KEPT,
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=_MAX_RECEIVES),
        )
        self.announce = self._announce(config, table, outcomes)
        self.deliver = self._deliver(config, table, key)

    def _announce(self, config: Config, table: dynamodb.ITable, outcomes: sqs.IQueue) -> ServiceFunction:
        """Make a delivery of each end of a job for each webhook of its client."""
        environment = settings_environment(
            WebhookSettings, config, table=table.table_name, delivery_queue_url=self.queue.queue_url
        )
        function = ServiceFunction(self, config, Spec(FunctionName.WEBHOOK, environment))
        function.function.add_event_source(
            event_sources.SqsEventSource(outcomes, batch_size=10, report_batch_item_failures=True)
        )
        return function.allow(grants.webhook_rows(table), grants.queue_send(self.queue))

    def _deliver(self, config: Config, table: dynamodb.ITable, key: kms.IKey) -> ServiceFunction:
        """Call receivers: the only function that opens the secrets; it sees neither recordings nor jobs."""
        local = {"allow_loopback": "true", "webhook_retry_delays_s": json.dumps(_LOCAL_RETRY_DELAYS_S)}
        environment = settings_environment(
            DeliverSettings,
            config,
            table=table.table_name,
            delivery_queue_url=self.queue.queue_url,
            delivery_dead_letters_url=self.dead_letters.queue_url,
            webhook_key_id=key.key_id,
            **(local if config.local else {}),
        )
        function = ServiceFunction(self, config, Spec(FunctionName.DELIVER, environment, timeout_s=DELIVER_TIMEOUT_S))
        function.function.add_event_source(
            event_sources.SqsEventSource(
                self.queue,
                batch_size=BATCH_SIZE,
                report_batch_item_failures=True,
                max_concurrency=BATCHES_AT_ONCE,
            )
        )
        return function.allow(
            grants.webhook_rows(table),
            grants.key_use(key, "kms:Decrypt"),
            # What is to be attempted again is sent anew.
            grants.queue_send(self.queue),
            grants.queue_send(self.dead_letters),
        )
