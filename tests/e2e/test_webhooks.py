"""Webhooks on a running cloud: real jobs, real queues, enforced permissions, and receivers of every temper."""

from dataclasses import replace

import pytest

from lambdas.core.egress import ForbiddenUrlError
from lambdas.core.services.webhooks import CreateWebhook, WebhookService
from lambdas.core.webhooks import Delivery, DeliveryStatus, DisabledReason, WebhookEndpoint
from tests.e2e.cloud import Api
from tests.e2e.receivers import inbox, until


def the_delivery(webhooks: WebhookService, endpoint: WebhookEndpoint) -> Delivery:
    (delivery,) = webhooks.list_deliveries(endpoint.client_id, endpoint.id)
    return delivery


def test_receivers_of_every_temper(api: Api, webhooks: WebhookService, recording: bytes) -> None:
    with inbox() as good, inbox(500, 503, 429, 404, 500) as moody, inbox(410) as gone:
        asset = api.upload(recording)
        made = [webhooks.create(CreateWebhook(api.client_id, one.url)) for one in (good, moody, gone)]
        steady, flaky, left = (one.endpoint for one in made)
        second = webhooks.rotate_secret(api.client_id, steady.id).secret
        private = _moved_to_a_private_address(webhooks, api.client_id, good.url)
        try:
            job = api.finished(api.enhance(asset["id"], 55).json())
            until(lambda: bool(moody.calls) and not moody.statuses and len(moody.calls) == 6)
            until(lambda: the_delivery(webhooks, flaky).status is DeliveryStatus.DELIVERED)
            until(lambda: webhooks.show(api.client_id, left.id).disabled_reason is DisabledReason.GONE)
            until(lambda: bool(the_delivery(webhooks, private).attempts))
        finally:
            for endpoint in (steady, flaky, left, private):
                webhooks.delete(api.client_id, endpoint.id)
    for secret in (made[0].secret, second):
        (told,) = good.verified(secret)
        assert (told["type"], told["data"]["enhancement_id"]) == ("enhancement.succeeded", job["id"])
    repeated = moody.verified(made[1].secret)
    assert [one["data"]["enhancement_id"] for one in repeated] == [job["id"]] * 6
    assert len({headers["webhook-id"] for headers, _ in moody.calls}) == 1
    assert len(gone.calls) == 1
    (attempt, *_) = webhooks.deliveries.newest(api.client_id, private.id, limit=1)[0].attempts
    assert (attempt.status_code, attempt.error) == (None, "the address is not a public one")


def _moved_to_a_private_address(webhooks: WebhookService, client_id: str, url: str) -> WebhookEndpoint:
    """Return an endpoint that leads to the cloud's metadata: none can be made so, but names can change afterwards."""
    forbidden = "https://169.254.169.254/latest/meta-data/"
    with pytest.raises(ForbiddenUrlError):
        webhooks.create(CreateWebhook(client_id, forbidden))
    return webhooks.endpoints.save(replace(webhooks.create(CreateWebhook(client_id, url)).endpoint, url=forbidden))


def test_a_jobs_own_webhook_a_test_event_and_a_redelivery(api: Api, webhooks: WebhookService, recording: bytes) -> None:
    with inbox() as receiver:
        made = webhooks.create(CreateWebhook(api.client_id, receiver.url, ("enhancement.failed",)))
        try:
            sent = webhooks.send_test(api.client_id, made.endpoint.id)
            until(lambda: len(receiver.calls) == 1)
            until(lambda: the_delivery(webhooks, made.endpoint).status is DeliveryStatus.DELIVERED)
            webhooks.redeliver(api.client_id, made.endpoint.id, sent.message_id)
            until(lambda: len(receiver.calls) == 2)
        finally:
            webhooks.delete(api.client_id, made.endpoint.id)
    assert [one["type"] for one in receiver.verified(made.secret)] == ["webhook.test"] * 2
    assert {headers["webhook-id"] for headers, _ in receiver.calls} == {sent.message_id}
