"""What a job costs must not depend on how many wait: the calls of the real adapters are counted, never timed."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import botocore.client
import pytest

from lambdas import bootstrap
from lambdas.core.jobs import JobStatus
from lambdas.entrypoints import admit
from tests.integration.cloud import Cloud, Context
from tests.integration.test_flow import enhance, upload
from tests.integration.test_lifecycle import operator

MANY = 10

Cost = Counter[str]
Measure = Callable[[Callable[[], object]], Cost]


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Return what counts the AWS calls of an action, by name, and the items that its queries read."""
    call = botocore.client.BaseClient._make_api_call
    cost: Cost = Counter()

    def counted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        answer = call(client, operation, parameters)
        cost.update({operation: 1, "items read": int(answer.get("ScannedCount", 0))})
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)

    def measured(action: Callable[[], object]) -> Cost:
        cost.clear()
        action()
        return Counter(cost)

    return measured


@pytest.fixture
def caller(cloud: Cloud) -> dict[str, str]:
    return cloud.sign_in("acme", max_active=1)


class Queue:
    """A client's queue that grows; nothing in it ever ends."""

    def __init__(self, cloud: Cloud, caller: dict[str, str]) -> None:
        self.cloud, self.caller, self.asset = cloud, caller, upload(cloud, caller)
        self.strength = 0

    def grow(self, number: int = 1) -> None:
        for _ in range(number):
            self.strength += 1
            assert enhance(self.cloud, self.caller, self.asset, self.strength).status == 202

    def tick(self) -> None:
        body = json.dumps({"client_id": self.caller["x-api-key"]})
        admit.handler({"Records": [{"messageId": "m", "body": body, "receiptHandle": "r"}]}, Context())

    def allow(self, max_active: int) -> None:
        administration = bootstrap.client_administration(bootstrap.api_settings().table)
        client = administration.clients.get(self.caller["x-api-key"])
        assert client is not None
        administration.clients.save(replace(client, max_active=max_active))


@pytest.fixture
def queue(cloud: Cloud, caller: dict[str, str]) -> Queue:
    queue = Queue(cloud, caller)
    queue.grow(2)
    queue.tick()
    return queue


def test_asking_costs_the_same_however_many_wait(queue: Queue, measure: Measure) -> None:
    few = measure(queue.grow)
    queue.grow(MANY)
    assert measure(queue.grow) == few


def test_a_wake_up_that_can_win_nothing_only_looks(queue: Queue, measure: Measure) -> None:
    """Every job that is asked for wakes admission, also while its client's slots are all taken."""
    few = measure(queue.tick)
    assert few == {"Query": 1, "GetItem": 1, "items read": 1}
    queue.grow(MANY)
    assert measure(queue.tick) == few


def test_admitting_the_next_costs_the_same_however_many_wait(queue: Queue, measure: Measure) -> None:
    queue.grow(2)
    queue.allow(2)
    few = measure(queue.tick)
    assert few["TransactWriteItems"] == few["StartExecution"] == 1
    queue.grow(MANY)
    queue.allow(3)
    assert measure(queue.tick) == few


def test_a_sweep_costs_the_same_however_many_wait(queue: Queue, cloud: Cloud, measure: Measure) -> None:
    few = measure(cloud.sweep)
    queue.grow(MANY)
    assert measure(cloud.sweep) == few


def test_a_short_list_reads_no_long_queue(queue: Queue, cloud: Cloud, measure: Measure) -> None:
    queue.grow(MANY)
    client_id = queue.caller["x-api-key"]
    cost = measure(lambda: operator(cloud).list(client_id=client_id, statuses=[JobStatus.QUEUED], limit=5))
    assert cost["items read"] == 5


def test_what_checks_tokens_is_loaded_where_tokens_are_checked() -> None:
    """It is a quarter of a function's start, and nine of eleven functions never see a token."""
    code = "import sys, lambdas.bootstrap; print({'jwt', 'cryptography'} & sys.modules.keys())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
