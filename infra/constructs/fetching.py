"""Recordings that are fetched: one function that reaches strangers' servers and buckets, and of ours only S3."""

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import Config
from infra.constructs import grants
from infra.constructs.buckets import INPUT_PREFIX
from infra.constructs.functions import DEFAULT_TIMEOUT_S, ServiceFunction, Spec, settings_environment
from infra.constructs.queues import KEPT, OUTLASTING, dead_letter_queue, message_queue
from infra.nag import accept_objects, accept_wildcard
from lambdas.core.sources import FETCH_RECEIVES
from lambdas.core.workflow import FunctionName
from lambdas.settings import FetchLostSettings, FetchSettings

FETCH_TIMEOUT_S = 900
FETCHES_AT_ONCE = 10

_VISIBILITY_S = FETCH_TIMEOUT_S + 60
"""Only a function that died lets it run out: not the six times that Lambda advises, which would be hours."""


class Fetching(Construct):
    """Two queues, what to fetch and what could not be fetched, and the functions between them.

    A message that killed its function again and again lands among the dead letters. That is told like any failure:
    else its asset, and the job that waits for it, would wait on.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        config: Config,
        *,
        audio: s3.IBucket,
        key: kms.IKey,
        intake: ServiceFunction,
    ) -> None:
        super().__init__(scope, name)
        lost = dead_letter_queue(self, "FetchDeadLetters", config, consumer_timeout_s=DEFAULT_TIMEOUT_S)
        self.queue = sqs.Queue(
            self,
            "FetchQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=not config.local,
            visibility_timeout=Duration.seconds(_VISIBILITY_S),
            retention_period=KEPT,  # what expires goes unheard, past the dead letters
            dead_letter_queue=sqs.DeadLetterQueue(queue=lost, max_receive_count=FETCH_RECEIVES),
        )
        unheard = dead_letter_queue(self, "FailureDeadLetters", config)
        failures = message_queue(
            self,
            "FailureQueue",
            config,
            dead_letters=unheard,
            consumer_timeout_s=DEFAULT_TIMEOUT_S,
            # A failure waits for another attempt that may still write, and for room. Lost, it is told after three days.
            max_receives=OUTLASTING,
        )
        self.dead_letters = (lost, unheard)
        intake.function.add_event_source(
            event_sources.SqsEventSource(failures, batch_size=10, report_batch_item_failures=True)
        )
        self.fetch = self._fetch(config, audio, key, failures)
        self.lost = self._lost(config, lost, failures)

    def _fetch(self, config: Config, audio: s3.IBucket, key: kms.IKey, failures: sqs.IQueue) -> ServiceFunction:
        """Fetch: it writes recordings, can read none but those that clients lend it, and knows no table."""
        local = {"allow_loopback": "true"} if config.local else {}
        environment = settings_environment(
            FetchSettings,
            config,
            audio_bucket=audio.bucket_name,
            fetch_queue_url=self.queue.queue_url,
            fetch_failure_queue_url=failures.queue_url,
            **local,
        )
        spec = Spec(FunctionName.FETCH, environment, memory_mib=1024, timeout_s=FETCH_TIMEOUT_S)
        function = ServiceFunction(self, config, spec)
        function.function.add_event_source(
            event_sources.SqsEventSource(
                self.queue, batch_size=1, report_batch_item_failures=True, max_concurrency=FETCHES_AT_ONCE
            )
        )
        accept_objects(function, audio, INPUT_PREFIX)
        roles, pattern = grants.source_roles_assume()
        accept_wildcard(function, pattern, "Roles that clients lend: each lies in its client's account, and trusts us.")
        return function.allow(
            roles,
            grants.objects_put(audio, INPUT_PREFIX),
            grants.uploads_abort(audio, INPUT_PREFIX),
            grants.data_key_write(key),
            grants.queue_send(failures),
        )

    def _lost(self, config: Config, dead_letters: sqs.IQueue, failures: sqs.IQueue) -> ServiceFunction:
        """Tell of what killed the function that fetches, and do nothing else."""
        environment = settings_environment(FetchLostSettings, config, fetch_failure_queue_url=failures.queue_url)
        function = ServiceFunction(self, config, Spec(FunctionName.FETCH_LOST, environment))
        function.function.add_event_source(
            event_sources.SqsEventSource(dead_letters, batch_size=10, report_batch_item_failures=True)
        )
        return function.allow(grants.queue_send(failures))
