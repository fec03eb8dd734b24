"""Webhooks: who is told of what happens, and how each telling went."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cleartake_client.calls import Call, Caller, several
from cleartake_client.models import Delivery, Webhook
from cleartake_client.models import Webhooks as WebhookItems
from cleartake_client.paging import pages
from cleartake_client.reading import read

WEBHOOKS = "/v1/webhooks"


@dataclass(frozen=True)
class Webhooks:
    """Webhooks of one client.

    Not every service knows a repetition of these POSTs by its key: one that may have arrived is not repeated here.
    """

    caller: Caller

    def create(
        self,
        url: str,
        *,
        events: str | Sequence[str] = "*",
        description: str = "",
        secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> Webhook:
        """Be told of what happens at ``url``; the answer shows the secret, this once.

        Parameters
        ----------
        events
            Names of events, such as ``enhancement.failed``; ``*`` for all.
        secret
            What messages are signed with (``whsec_…``); None: the service makes one.
        idempotency_key
            Your own name for this request: sent again with the same key, it makes nothing new.
        """
        body = _given(url=url, events=several(events), description=description, secret=secret)
        return self._changed(Call("POST", WEBHOOKS, body, idempotency_key=idempotency_key))

    def list(self) -> tuple[Webhook, ...]:
        """Return all webhooks, oldest first."""
        return read(WebhookItems, self.caller.json(Call("GET", WEBHOOKS))).items

    def get(self, webhook_id: str) -> Webhook:
        """Return a webhook."""
        return self._changed(Call("GET", f"{WEBHOOKS}/{webhook_id}"))

    def update(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: str | Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change what is given."""
        names = None if events is None else several(events)
        body = _given(url=url, events=names, description=description, enabled=enabled)
        return self._changed(Call("PATCH", f"{WEBHOOKS}/{webhook_id}", body))

    def rotate_secret(self, webhook_id: str, *, secret: str | None = None, keep_previous: bool = True) -> Webhook:
        """Return the webhook with a new secret; the one before goes on signing if it is kept."""
        body = _given(secret=secret, keep_previous=keep_previous)
        return self._changed(Call("POST", f"{WEBHOOKS}/{webhook_id}/secret", body, is_repeatable=False))

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook; what is still to be delivered to it is discarded."""
        self.caller.json(Call("DELETE", f"{WEBHOOKS}/{webhook_id}"))

    def send_test(self, webhook_id: str) -> Delivery:
        """Send a test event."""
        return read(Delivery, self.caller.json(Call("POST", f"{WEBHOOKS}/{webhook_id}/test", is_repeatable=False)))

    def deliveries(self, webhook_id: str, *, page_size: int = 50) -> Iterator[Delivery]:
        """Yield what a webhook was told, newest first; pages are fetched as they are needed."""
        return pages(self.caller, f"{WEBHOOKS}/{webhook_id}/deliveries", Delivery, page_size=page_size)

    def redeliver(self, webhook_id: str, message_id: str) -> Delivery:
        """Send a message again, under its old identifier."""
        path = f"{WEBHOOKS}/{webhook_id}/deliveries/{message_id}/redeliver"
        return read(Delivery, self.caller.json(Call("POST", path, is_repeatable=False)))

    def _changed(self, call: Call) -> Webhook:
        return read(Webhook, self.caller.json(call))


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
