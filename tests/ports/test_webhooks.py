"""What every implementation of the webhooks' ports must do, whatever is behind it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

from lambdas.adapters.aws import webhooks as on_aws
from lambdas.adapters.memory import webhooks as in_memory
from lambdas.adapters.memory.stores import MemoryJobRepository
from lambdas.adapters.memory.world import ManualClock
from lambdas.core.errors import DomainError, VersionConflictError
from lambdas.core.ports import JobRepository
from lambdas.core.webhook_ports import DeliveryQueue, DeliveryRef, DeliveryStore, SecretSealer, WebhookStore
from lambdas.core.webhooks import (
    LOG_LIFETIME,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    DisabledReason,
    EventType,
    SealedSecret,
    WebhookEndpoint,
)
from tests.ports.conftest import TABLE, create_table
from tests.ports.conftest import Stores as StoresOfJobs
from tests.ports.test_contract import a_job, with_client  # noqa: F401

NOW = ManualClock().now()


@dataclass
class Stores:
    endpoints: WebhookStore
    deliveries: DeliveryStore


@pytest.fixture
def webhooks(port_kind: str) -> Stores:
    if port_kind == "memory":
        return Stores(in_memory.MemoryWebhookStore(), in_memory.MemoryDeliveryStore())
    table = create_table()
    return Stores(on_aws.DynamoWebhookStore(table), on_aws.DynamoDeliveryStore(table))


@dataclass
class Queue:
    port: DeliveryQueue
    sent: Callable[[], list[Any]]
    buried: Callable[[], list[Any]]
    waiting: Callable[[], int]


@pytest.fixture
def queue(port_kind: str) -> Queue:
    if port_kind == "memory":
        fake = in_memory.MemoryDeliveryQueue()
        return Queue(
            fake,
            lambda: [asdict(ref) for ref in fake.sent],
            lambda: [asdict(ref) for ref in fake.buried],
            lambda: len([delay_s for delay_s in fake.delays_s if delay_s]),
        )
    client = boto3.client("sqs")
    urls = [client.create_queue(QueueName=name)["QueueUrl"] for name in ("deliveries", "dead")]

    def waiting(url: str) -> list[Any]:
        found = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]

    def delayed() -> int:
        name = "ApproximateNumberOfMessagesDelayed"
        return int(client.get_queue_attributes(QueueUrl=urls[0], AttributeNames=[name])["Attributes"][name])  # type: ignore[list-item]

    port = on_aws.SqsDeliveryQueue(client, *urls)
    return Queue(port, lambda: waiting(urls[0]), lambda: waiting(urls[1]), delayed)


@pytest.fixture
def sealer(port_kind: str) -> SecretSealer:
    if port_kind == "memory":
        return in_memory.MemorySecretSealer()
    client = boto3.client("kms")
    return on_aws.KmsSecretSealer(client, client.create_key()["KeyMetadata"]["KeyId"])


def an_endpoint(endpoint_id: str = "e1", client_id: str = "c1", **changes: Any) -> WebhookEndpoint:
    endpoint = WebhookEndpoint(
        id=endpoint_id,
        client_id=client_id,
        url="https://hooks.example.com/in?sig=a",
        created_at=NOW,
        updated_at=NOW,
        description="Grüße",
        event_types=frozenset({EventType.ENHANCEMENT_FAILED, EventType.ENHANCEMENT_SUCCEEDED}),
        secrets=(SealedSecret("c2VhbGVk", NOW), SealedSecret("c2VhbGVkMg==", NOW)),
        base_url="https://speech.example.com",
    )
    return replace(endpoint, **changes)


def a_delivery(message_id: str = "msg_1", endpoint_id: str = "e1", client_id: str = "c1") -> Delivery:
    return Delivery(
        client_id=client_id,
        endpoint_id=endpoint_id,
        message_id=message_id,
        event_type=EventType.ENHANCEMENT_SUCCEEDED,
        payload='{"type":"enhancement.succeeded"}',
        created_at=NOW,
        updated_at=NOW,
        next_attempt_at=NOW,
    )


class TestEndpoints:
    @pytest.mark.parametrize(
        "endpoint",
        [
            an_endpoint(),
            an_endpoint(event_types=None, description="", secrets=()),
            an_endpoint().disabled(DisabledReason.GONE, NOW),
            an_endpoint("j1", is_of_job=True, event_types=None),
            an_endpoint(request_sha256="0" * 64),
        ],
    )
    def test_what_is_stored_comes_back(self, webhooks: Stores, endpoint: WebhookEndpoint) -> None:
        webhooks.endpoints.add(endpoint)
        assert webhooks.endpoints.get("c1", endpoint.id) == endpoint
        assert webhooks.endpoints.get("c2", endpoint.id) is None
        with pytest.raises(VersionConflictError):
            webhooks.endpoints.add(endpoint)

    def test_the_second_writer_of_the_same_version_is_refused(self, webhooks: Stores) -> None:
        webhooks.endpoints.add(an_endpoint())
        saved = webhooks.endpoints.save(an_endpoint(description="first"))
        assert webhooks.endpoints.get("c1", "e1") == saved
        assert saved.version == 2
        for write in (webhooks.endpoints.save, webhooks.endpoints.remove):
            with pytest.raises(VersionConflictError):
                write(an_endpoint(description="second"))
        webhooks.endpoints.remove(saved)
        assert webhooks.endpoints.get("c1", "e1") is None
        with pytest.raises(VersionConflictError):
            webhooks.endpoints.save(saved)

    def test_a_list_holds_the_clients_own_and_none_of_a_single_job(self, webhooks: Stores) -> None:
        own = [an_endpoint("e1"), an_endpoint("e2")]
        for endpoint in (*own, an_endpoint("j1", is_of_job=True), an_endpoint("e3", "c2")):
            webhooks.endpoints.add(endpoint)
        assert sorted(webhooks.endpoints.all("c1"), key=lambda one: one.id) == own
        assert webhooks.endpoints.all("c3") == []

    def test_the_endpoint_of_a_job_is_found_by_the_job(self, webhooks: Stores) -> None:
        webhooks.endpoints.add(an_endpoint("j1", is_of_job=True))
        webhooks.endpoints.add(an_endpoint("e1"))
        found = webhooks.endpoints.of_job("c1", "j1")
        assert found is not None
        assert found.is_of_job
        assert webhooks.endpoints.of_job("c1", "e1") is None
        assert webhooks.endpoints.of_job("c2", "j1") is None
        webhooks.endpoints.remove(webhooks.endpoints.save(found))
        assert webhooks.endpoints.of_job("c1", "j1") is None


class TestWebhooksOfJobs:
    """Where a job's end is told lies beside the job, or neither is there."""

    @pytest.fixture
    def jobs(self, with_client: StoresOfJobs) -> tuple[JobRepository, WebhookStore]:  # noqa: F811
        jobs = with_client.jobs
        if isinstance(jobs, MemoryJobRepository):
            return jobs, jobs.webhooks
        return jobs, on_aws.DynamoWebhookStore(boto3.resource("dynamodb").Table(TABLE))

    def test_it_is_stored_with_the_job(self, jobs: tuple[JobRepository, WebhookStore]) -> None:
        repository, endpoints = jobs
        endpoint = an_endpoint("j1", is_of_job=True)
        repository.add(a_job("j1"), endpoint)
        assert endpoints.of_job("c1", "j1") == endpoint

    def test_a_job_that_is_refused_leaves_it_as_it_was(self, jobs: tuple[JobRepository, WebhookStore]) -> None:
        repository, endpoints = jobs
        first = an_endpoint("j1", is_of_job=True)
        repository.add(a_job("j1"), first)
        for job in (a_job("j1"), a_job("j2")):
            with pytest.raises(DomainError):
                repository.add(job, an_endpoint(job.id, is_of_job=True, url="https://hooks.example.com/other"))
        assert endpoints.of_job("c1", "j1") == first
        assert endpoints.of_job("c1", "j2") is None

    def test_it_takes_the_place_of_one_whose_job_was_refused(self, jobs: tuple[JobRepository, WebhookStore]) -> None:
        repository, endpoints = jobs
        endpoints.add(an_endpoint("j1", is_of_job=True, url="https://hooks.example.com/before"))
        repository.add(a_job("j1"), an_endpoint("j1", is_of_job=True))
        assert endpoints.of_job("c1", "j1") == an_endpoint("j1", is_of_job=True)


class TestDeliveries:
    def test_what_is_stored_comes_back(self, webhooks: Stores) -> None:
        delivery = a_delivery()
        webhooks.deliveries.add(delivery)
        ref = DeliveryRef.of(delivery)
        assert webhooks.deliveries.get(ref) == delivery
        attempts = (DeliveryAttempt(NOW, status_code=503), DeliveryAttempt(NOW, error="no answer in time"))
        tried = replace(delivery.claimed(NOW, lease=timedelta(seconds=60)), attempts=attempts)
        saved = webhooks.deliveries.save(tried)
        assert webhooks.deliveries.get(ref) == saved == replace(tried, version=2)
        ended = webhooks.deliveries.save(saved.settled(DeliveryStatus.DELIVERED, NOW, DeliveryAttempt(NOW, 204)))
        assert webhooks.deliveries.get(ref) == ended
        assert webhooks.deliveries.get(replace(ref, client_id="c2")) is None

    def test_one_message_is_one_delivery_for_an_endpoint(self, webhooks: Stores) -> None:
        webhooks.deliveries.add(a_delivery())
        webhooks.deliveries.add(a_delivery(endpoint_id="e2"))
        with pytest.raises(VersionConflictError):
            webhooks.deliveries.add(a_delivery())
        webhooks.deliveries.save(a_delivery())
        with pytest.raises(VersionConflictError):
            webhooks.deliveries.save(a_delivery())

    def test_pages_of_one_endpoint_newest_first(self, webhooks: Stores) -> None:
        for number in (3, 1, 2):
            webhooks.deliveries.add(a_delivery(f"msg_{number}"))
        webhooks.deliveries.add(a_delivery("msg_4", endpoint_id="e2"))
        webhooks.deliveries.add(a_delivery("msg_4", client_id="c2"))

        def ids(limit: int, before: str | None = None) -> list[str]:
            return [one.message_id for one in webhooks.deliveries.newest("c1", "e1", limit=limit, before=before)]

        assert ids(2) == ["msg_3", "msg_2"]
        assert ids(2, before="msg_2") == ["msg_1"]
        assert ids(9, before="msg_1") == []
        assert ids(9, before="zzz") == ["msg_3", "msg_2", "msg_1"]
        assert ids(9, before="") == []


def test_the_queue_names_the_delivery(queue: Queue) -> None:
    ref = DeliveryRef("c1", "e1", "msg_1")
    queue.port.send(ref)
    queue.port.bury(replace(ref, message_id="msg_2"))
    assert queue.sent() == [asdict(ref)]
    assert queue.buried() == [asdict(ref) | {"message_id": "msg_2"}]


def test_a_delivery_can_wait_in_the_queue(queue: Queue) -> None:
    queue.port.send(DeliveryRef("c1", "e1", "msg_1"), delay_s=600)
    assert queue.waiting() == 1


def test_a_sealed_secret_opens_for_its_own_endpoint_only(sealer: SecretSealer) -> None:
    sealed = sealer.seal("whsec_abc", client_id="c1", endpoint_id="e1")
    assert "whsec_abc" not in sealed
    assert sealer.open(sealed, client_id="c1", endpoint_id="e1") == "whsec_abc"
    for client_id, endpoint_id in (("c2", "e1"), ("c1", "e2")):
        with pytest.raises(Exception, match=r".+"):
            sealer.open(sealed, client_id=client_id, endpoint_id=endpoint_id)


def test_the_log_and_the_endpoint_of_a_job_expire_and_no_other(aws: None) -> None:
    table = create_table()
    stores = Stores(on_aws.DynamoWebhookStore(table), on_aws.DynamoDeliveryStore(table))
    stores.endpoints.add(an_endpoint())
    stores.endpoints.add(an_endpoint("j1", is_of_job=True))
    stores.deliveries.add(a_delivery())
    rows = {row["sk"]: row.get("ttl") for row in table.scan()["Items"]}
    expires = int((NOW + LOG_LIFETIME).timestamp())
    assert rows == {"E#e1": None, "J#j1": expires, "D#e1#msg_1": expires}
    assert {row["pk"] for row in table.scan()["Items"]} == {"W#c1"}
    assert table.name == TABLE
