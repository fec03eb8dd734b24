"""What FIFO queues do to wake-ups: one group's messages wait behind the one that is being handled."""

import json
from collections.abc import Callable

import boto3
import pytest

from lambdas.adapters.aws.messaging import SqsAdmissionQueue


@pytest.fixture
def queue(aws: None) -> tuple[Callable[[str | None], SqsAdmissionQueue], Callable[[], list[str]]]:
    client = boto3.client("sqs")
    url = client.create_queue(QueueName="admit.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]

    def woken() -> list[str]:
        messages = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"])["client_id"] for message in messages]

    return lambda group: SqsAdmissionQueue(client, url, group), woken


def test_the_sweepers_tick_does_not_wait_behind_one_whose_admission_died(
    queue: tuple[Callable[[str | None], SqsAdmissionQueue], Callable[[], list[str]]],
) -> None:
    make, woken = queue
    make(None).tick("c1")
    assert woken() == ["c1"]  # and never deleted: whoever handled it is dead
    make(None).tick("c1")
    assert woken() == []
    make("sweeper").tick("c1")
    assert woken() == ["c1"]
