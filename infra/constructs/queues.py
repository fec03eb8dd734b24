"""Queues: encrypted, TLS only in AWS, each with a dead-letter queue that somebody watches."""

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import Config
from infra.constructs.functions import DEFAULT_TIMEOUT_S
from infra.nag import accept

ERASE_TIMEOUT_S = 300
"""An asset with a hundred enhancements is a thousand small deletions."""

KEPT = Duration.days(14)
"""The longest that SQS offers."""
_MAX_RECEIVES = 5
"""Of what the minute's sweep asks for again: who is waited for longer than this is told of by an alarm."""
OUTLASTING = 1000
"""Of what nobody asks for again, the most that SQS offers: a receive that finds no room in the account, or no table,
counts like any other. With three minutes between two that is two days, and leaves twelve among the dead letters."""


def dead_letter_queue(
    scope: Construct, name: str, config: Config, *, fifo: bool = False, consumer_timeout_s: int | None = None
) -> sqs.Queue:
    """Make the queue where what could not be delivered waits for a person, or for a function that deals with it."""
    queue = sqs.Queue(
        scope,
        name,
        fifo=True if fifo else None,  # the property may be true or absent, never false
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=not config.local,
        retention_period=KEPT,
        visibility_timeout=Duration.seconds(6 * consumer_timeout_s) if consumer_timeout_s else None,
    )
    accept(queue, "AwsSolutions-SQS3", "It is a dead-letter queue itself; an alarm watches it.")
    return queue


def admission_queue(
    scope: Construct, name: str, config: Config, *, dead_letters: sqs.Queue, consumer_timeout_s: int
) -> sqs.Queue:
    """Make the FIFO queue of admissions: one message group a client, so that clients do not wait for one another."""
    return sqs.Queue(
        scope,
        name,
        fifo=True,
        content_based_deduplication=False,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=not config.local,
        visibility_timeout=Duration.seconds(6 * consumer_timeout_s),  # what Lambda asks of its sources
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=_MAX_RECEIVES),
    )


def message_queue(
    scope: Construct,
    name: str,
    config: Config,
    *,
    dead_letters: sqs.Queue,
    consumer_timeout_s: int,
    max_receives: int = _MAX_RECEIVES,
) -> sqs.Queue:
    """Make a queue whose messages may come twice and in any order: whoever reads it looks at the rows first."""
    return sqs.Queue(
        scope,
        name,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=not config.local,
        visibility_timeout=Duration.seconds(6 * consumer_timeout_s),
        retention_period=KEPT,
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=max_receives),
    )


class JobQueues(Construct):
    """What is said about jobs: stop an execution, tell of an end, erase an asset."""

    def __init__(self, scope: Construct, name: str, config: Config) -> None:
        super().__init__(scope, name)
        self.dead_letters: list[sqs.Queue] = []
        self.stop = self._make("Stop", config, consumer_timeout_s=DEFAULT_TIMEOUT_S)
        # The row says "told" once its message is here: nobody would send it again.
        self.outcome = self._make("Outcome", config, consumer_timeout_s=DEFAULT_TIMEOUT_S, max_receives=OUTLASTING)
        self.erase = self._make("Erase", config, consumer_timeout_s=ERASE_TIMEOUT_S)

    def _make(
        self, name: str, config: Config, *, consumer_timeout_s: int, max_receives: int = _MAX_RECEIVES
    ) -> sqs.Queue:
        dead_letters = dead_letter_queue(self, f"{name}DeadLetters", config)
        self.dead_letters.append(dead_letters)
        return message_queue(
            self,
            f"{name}Queue",
            config,
            dead_letters=dead_letters,
            consumer_timeout_s=consumer_timeout_s,
            max_receives=max_receives,
        )
