"""Queues: encrypted, TLS only in AWS, each with a dead-letter queue that somebody watches."""

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import Config
from infra.nag import accept

_DEAD_LETTERS_KEPT = Duration.days(14)


def dead_letter_queue(scope: Construct, name: str, config: Config, *, fifo: bool = False) -> sqs.Queue:
    """Make the queue where what could not be delivered waits for a person."""
    queue = sqs.Queue(
        scope,
        name,
        fifo=True if fifo else None,  # the property may be true or absent, never false
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=not config.local,
        retention_period=_DEAD_LETTERS_KEPT,
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
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=5),
    )
