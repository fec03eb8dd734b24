"""From the end of a job to a receiver on a real socket, through the real handlers and the real adapters."""

import json
import logging
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from standardwebhooks import Webhook

from lambdas import bootstrap
from lambdas.core.errors import TransientError
from lambdas.core.services.deliveries import DeliveryService
from lambdas.core.services.webhooks import CreateWebhook, WebhookService
from lambdas.core.webhook_ports import DeliveryRef
from lambdas.core.webhooks import DeliveryStatus, WebhookEndpoint
from lambdas.entrypoints import deliver, webhook
from lambdas.entrypoints.deliver import MAX_DELAY_S, seconds_of
from tests.integration.cloud import BASE_URL, Cloud, Context
from tests.integration.test_flow import enhance, upload
from tests.ports.conftest import TABLE
from tests.unit.adapters.receivers import Receiver, answers, receiver


@dataclass
class Telling:
    """The two functions and what lies between them."""

    cloud: Cloud
    queue_url: str
    dead_url: str
    service: WebhookService

    def announce(self, times: int = 1) -> None:
        """Deliver the outcomes that were told."""
        records = self.cloud._take("outcomes")
        for _ in range(times):
            assert webhook.handler({"Records": records}, Context()) == {"batchItemFailures": []}

    def deliver(self, *, wait_s: int = 0) -> int:
        """Deliver what is due, as Lambda does: what is not reported goes from the queue. Returns how many came."""
        sqs = boto3.client("sqs")
        batch = sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_s)
        messages = batch.get("Messages", [])
        if messages:
            records = [
                {"messageId": one["MessageId"], "receiptHandle": one["ReceiptHandle"], "body": one["Body"]}
                for one in messages
            ]
            failed = deliver.handler({"Records": records}, Context())["batchItemFailures"]
            kept = {one["itemIdentifier"] for one in failed}
            for one in messages:
                if one["MessageId"] not in kept:
                    sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=one["ReceiptHandle"])
        return len(messages)

    def left(self, url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def statuses(self, endpoint: WebhookEndpoint) -> list[DeliveryStatus]:
        return [one.status for one in self.service.list_deliveries(endpoint.client_id, endpoint.id)]


@pytest.fixture
def telling(cloud: Cloud) -> Telling:
    queue = cloud.queues["deliveries"]
    key = cloud.environment["WEBHOOK_KEY_ID"]
    service = bootstrap.webhook_service(TABLE, delivery_queue_url=queue, webhook_key_id=key, allow_loopback=True)
    return Telling(cloud, queue, cloud.queues["dead-deliveries"], service)


@pytest.fixture
def caller(cloud: Cloud) -> dict[str, str]:
    return cloud.sign_in("acme")


def finished_job(cloud: Cloud, caller: dict[str, str], strength: int = 93) -> Any:
    job = enhance(cloud, caller, upload(cloud, caller), strength).body
    cloud.drain()
    return job


def subscribe(telling: Telling, caller: dict[str, str], server: Receiver) -> tuple[WebhookEndpoint, str]:
    made = telling.service.create(CreateWebhook(caller["x-api-key"], f"{server.url}/in"))
    return made.endpoint, made.secret


def headers_of(head: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:])


def test_a_job_ends_and_a_receiver_knows_it_for_sure(telling: Telling, caller: dict[str, str]) -> None:
    with receiver(answers(204)) as server:
        endpoint, secret = subscribe(telling, caller, server)
        job = finished_job(telling.cloud, caller)
        telling.announce(times=2)
        assert telling.deliver() == 2
    (head,) = server.heads
    (delivery,) = telling.service.list_deliveries(caller["x-api-key"], endpoint.id)
    body = Webhook(secret).verify(delivery.payload, headers_of(head))
    assert (body["type"], body["data"]["enhancement_id"]) == ("enhancement.succeeded", job["id"])
    assert head.startswith("POST /in HTTP/1.1")
    assert delivery.status is DeliveryStatus.DELIVERED


def test_a_receiver_can_follow_the_links(telling: Telling, caller: dict[str, str]) -> None:
    """Both kinds of webhook, made through the API; the address is the one that its answers have too."""
    cloud = telling.cloud
    with receiver(answers(204), answers(204)) as server:
        made = cloud.call("POST", "/v1/webhooks", {"url": f"{server.url}/all"}, headers=caller)
        assert made.headers["Location"] == f"{BASE_URL}/v1/webhooks/{made.body['id']}"
        source = {"asset_id": upload(cloud, caller)["id"]}
        body = {"source": source, "strength": 5, "webhook": {"url": f"{server.url}/one"}}
        job = cloud.call("POST", "/v1/enhancements", body, headers=caller).body
        cloud.drain()
        telling.announce()
        assert telling.deliver() == 2
    for endpoint_id in (made.body["id"], job["id"]):
        (delivery,) = telling.service.list_deliveries(caller["x-api-key"], endpoint_id)
        links = json.loads(delivery.payload)["data"]["links"]
        assert links["enhancement"] == job["links"]["self"]
        assert cloud.call("GET", links["asset"].removeprefix(BASE_URL), headers=caller).status == 200


def test_a_receiver_that_fails_is_called_again(telling: Telling, caller: dict[str, str]) -> None:
    with receiver(answers(500), answers(503), answers(200)) as server:
        endpoint, _ = subscribe(telling, caller, server)
        finished_job(telling.cloud, caller)
        telling.announce()
        while telling.statuses(endpoint) == [DeliveryStatus.PENDING]:
            assert telling.deliver(wait_s=5)
    (delivery,) = telling.service.list_deliveries(caller["x-api-key"], endpoint.id)
    assert [one.status_code for one in delivery.attempts] == [500, 503, 200]
    assert len({headers_of(head)["webhook-id"] for head in server.heads}) == 1


def test_what_is_given_up_lies_where_an_operator_sees_it(telling: Telling, caller: dict[str, str]) -> None:
    with receiver(answers(500)) as server:
        endpoint, _ = subscribe(telling, caller, server)
        finished_job(telling.cloud, caller)
        telling.announce()
        while telling.statuses(endpoint) == [DeliveryStatus.PENDING]:
            assert telling.deliver(wait_s=5)
        assert len(server.heads) == 3
    assert telling.statuses(endpoint) == [DeliveryStatus.FAILED]
    assert (telling.left(telling.queue_url), telling.left(telling.dead_url)) == (0, 1)


def test_one_clients_dead_receiver_keeps_nobody_waiting(telling: Telling, caller: dict[str, str]) -> None:
    with receiver(answers(204)) as gone:
        pass
    with receiver(answers(204)) as server:
        dead, _ = subscribe(telling, caller, gone)
        alive, _ = subscribe(telling, caller, server)
        finished_job(telling.cloud, caller)
        telling.announce()
        telling.deliver()
    assert telling.statuses(dead) == [DeliveryStatus.PENDING]
    assert telling.statuses(alive) == [DeliveryStatus.DELIVERED]


def test_what_waits_for_its_next_attempt_is_no_message_in_flight(
    telling: Telling, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those the queue takes a number that one client with many dead receivers reaches, for all the others too."""
    monkeypatch.setenv("CLEARTAKE_WEBHOOK_RETRY_DELAYS_S", "[600]")
    with receiver(answers(503)) as server:
        endpoint, _ = subscribe(telling, caller, server)
        finished_job(telling.cloud, caller)
        telling.announce()
        telling.deliver()
    names = ["ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    found = boto3.client("sqs").get_queue_attributes(QueueUrl=telling.queue_url, AttributeNames=names)["Attributes"]
    assert [found[name] for name in names] == ["0", "1"]
    assert telling.statuses(endpoint) == [DeliveryStatus.PENDING]


def test_what_breaks_one_delivery_leaves_the_others_of_its_batch_alone(
    telling: Telling, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = DeliveryService.deliver

    def deliver_or_break(service: DeliveryService, ref: DeliveryRef) -> float | None:
        if ref.endpoint_id == broken.id:
            raise OverflowError("a header that nobody has thought of")
        return attempt(service, ref)

    monkeypatch.setattr(DeliveryService, "deliver", deliver_or_break)
    with receiver(answers(204)) as server:
        broken, _ = subscribe(telling, caller, server)
        alive, _ = subscribe(telling, caller, server)
        finished_job(telling.cloud, caller)
        telling.announce()
        boto3.client("sqs").send_message(QueueUrl=telling.queue_url, MessageBody="no delivery at all")
        assert telling.deliver() == 3
    assert telling.statuses(broken) == [DeliveryStatus.PENDING]
    assert telling.statuses(alive) == [DeliveryStatus.DELIVERED]
    assert telling.left(telling.queue_url) == 2


def test_our_own_trouble_costs_no_attempt(
    telling: Telling, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(answers(204)) as server:
        endpoint, _ = subscribe(telling, caller, server)
        finished_job(telling.cloud, caller)
        telling.announce()
        monkeypatch.setattr("lambdas.adapters.aws.webhooks.KmsSecretSealer.open", _refuse)
        telling.deliver()
        assert server.heads == []
    (delivery,) = telling.service.list_deliveries(caller["x-api-key"], endpoint.id)
    assert (delivery.status, delivery.tries, delivery.attempts) == (DeliveryStatus.PENDING, 0, ())
    assert telling.left(telling.queue_url) > 0


def test_an_outcome_that_cannot_be_announced_comes_again_alone(
    telling: Telling, caller: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(answers(204)) as server:
        subscribe(telling, caller, server)
        finished_job(telling.cloud, caller)
        records = telling.cloud._take("outcomes")
        monkeypatch.setattr("lambdas.adapters.aws.webhooks.SqsDeliveryQueue.send", _refuse)
        failed = webhook.handler({"Records": records}, Context())["batchItemFailures"]
        assert failed == [{"itemIdentifier": records[0]["messageId"]}]
        monkeypatch.undo()


def test_no_address_secret_or_payload_is_logged(
    telling: Telling, caller: dict[str, str], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = logging.getLogger("lambdas")
    ours.addHandler(caplog.handler)
    try:
        with receiver(answers(500), answers(410)) as server:
            _, secret = subscribe(telling, caller, server)
            finished_job(telling.cloud, caller)
            telling.announce()
            telling.deliver()
            telling.deliver(wait_s=5)
    finally:
        ours.removeHandler(caplog.handler)
    said = "".join(json.dumps(vars(record), default=str) for record in caplog.records) + "".join(capsys.readouterr())
    assert "webhook not delivered" in said
    assert str(server.port) not in said
    assert secret not in said
    assert "whsec_" not in said
    assert "v1," not in said


def test_no_secret_lies_in_the_table(telling: Telling, caller: dict[str, str]) -> None:
    with receiver(answers(204)) as server:
        _, secret = subscribe(telling, caller, server)
    rows = repr(boto3.resource("dynamodb").Table(TABLE).scan()["Items"])
    assert secret.removeprefix("whsec_") not in rows


@pytest.mark.parametrize(("wait_s", "seconds"), [(0.2, 1), (4.01, 5), (60, 60), (86_400, MAX_DELAY_S)])
def test_the_queue_never_delays_a_message_too_little(wait_s: float, seconds: int) -> None:
    assert seconds_of(wait_s) == seconds


def _refuse(*_arguments: object, **_more: object) -> None:
    raise TransientError("not now")


def native(cloud: Cloud, caller: dict[str, str], method: str, path: str, body: Any = None) -> Any:
    return cloud.call(method, f"/v1/webhooks{path}", body, headers=caller)


def test_a_client_keeps_its_webhooks_through_the_native_api(telling: Telling, caller: dict[str, str]) -> None:
    cloud = telling.cloud
    with receiver(answers(204)) as server:
        made = native(cloud, caller, "POST", "", {"url": f"{server.url}/in", "events": ["enhancement.succeeded"]})
        assert made.status == 201, made.text
        own = f"/{made.body['id']}"
        assert made.body["secret"].startswith("whsec_")
        assert native(cloud, caller, "GET", own).body == {**made.body, "secret": None}
        assert native(cloud, caller, "POST", f"{own}/test").status == 202
        finished_job(cloud, caller)
        telling.announce()
        telling.deliver()
        log = native(cloud, caller, "GET", f"{own}/deliveries").body["items"]
        assert [one["status"] for one in log] == ["delivered", "delivered"]
        again = native(cloud, caller, "POST", f"{own}/deliveries/{log[0]['id']}/redeliver")
        assert (again.status, again.body["status"]) == (202, "pending")
        rotated = native(cloud, caller, "POST", f"{own}/secret", {})
        assert rotated.body["secret"] not in {None, made.body["secret"]}
        changed = native(cloud, caller, "PATCH", own, {"enabled": False}).body
        assert (changed["enabled"], changed["disabled_reason"]) == (False, "by_client")
        refused = native(cloud, caller, "POST", f"{own}/test")
        assert (refused.status, refused.body["code"]) == (409, "webhook_disabled")
        assert native(cloud, cloud.sign_in("other"), "GET", own).status == 404
        assert native(cloud, caller, "DELETE", own).status == 204
        assert native(cloud, caller, "GET", "").body == {"items": []}


@pytest.mark.parametrize("url", ["http://example.com/", "https://10.0.0.1/in", "https://[::ffff:10.0.0.1]/", "ftp://x"])
def test_a_receiver_on_a_private_address_is_refused(telling: Telling, caller: dict[str, str], url: str) -> None:
    answer = native(telling.cloud, caller, "POST", "", {"url": url})
    assert (answer.status, answer.body["code"]) == (422, "url_not_allowed")


def test_one_enhancement_may_have_a_webhook_of_its_own(telling: Telling, caller: dict[str, str]) -> None:
    cloud = telling.cloud
    asset = upload(cloud, caller)
    with receiver(answers(204)) as server:
        body = {"source": {"asset_id": asset["id"]}, "strength": 50, "webhook": {"url": f"{server.url}/own"}}
        headers = caller | {"Idempotency-Key": "k"}
        made = cloud.call("POST", "/v1/enhancements", body, headers=headers).body
        again = cloud.call("POST", "/v1/enhancements", body, headers=headers).body
        assert again["id"] == made["id"]
        cloud.drain()
        telling.announce()
        telling.deliver()
    (head,) = server.heads
    (delivery,) = telling.service.list_deliveries(caller["x-api-key"], made["id"])
    for answer in (made, again):
        assert Webhook(answer["webhook_secret"]).verify(delivery.payload, headers_of(head))["data"]


def test_a_webhook_that_is_asked_for_again_is_the_same_one(telling: Telling, caller: dict[str, str]) -> None:
    cloud, body = telling.cloud, {"url": "https://93.184.216.34/hook"}
    headers = caller | {"Idempotency-Key": "k"}
    first, again = (cloud.call("POST", "/v1/webhooks", body, headers=headers) for _ in range(2))
    assert (first.status, again.status) == (201, 201)
    assert again.headers["Location"] == first.headers["Location"]
    assert [one["id"] for one in native(cloud, caller, "GET", "").body["items"]] == [first.body["id"]]
    assert None not in {first.body["secret"], again.body["secret"]}
    other = cloud.call("POST", "/v1/webhooks", body | {"description": "other"}, headers=headers)
    assert (other.status, other.body["code"]) == (422, "idempotency_mismatch")
