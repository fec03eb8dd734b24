"""Telling clients: an event becomes one delivery for each endpoint, and each delivery is attempted until it succeeds.

Both halves may run twice for everything: what exists is not made again, what is being attempted or settled is left
alone. A receiver may still see a message twice, where an attempt's end could not be written down; it has the same id.
"""

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from lambdas.core.egress import ForbiddenUrlError, NoAnswerError
from lambdas.core.errors import VersionConflictError
from lambdas.core.ports import Clock, JobOutcome
from lambdas.core.webhook_ports import (
    Answer,
    DeliveryQueue,
    DeliveryRef,
    DeliveryStore,
    SecretSealer,
    WebhookSender,
    WebhookStore,
)
from lambdas.core.webhooks import (
    JITTER,
    RETRY_DELAYS_S,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    DisabledReason,
    WebhookEndpoint,
    WebhookEvent,
    event_of_outcome,
    event_type_of,
    retry_after_s,
    signed_headers,
)

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
"""Longer than any attempt takes."""
BUSY_S = 5.0
"""After a collision with somebody else's write."""
GONE = 410
LOOKED_BACK = 20
"""Deliveries, of which none has got through, that make a given-up one the endpoint's last."""


@dataclass(frozen=True)
class AnnounceService:
    """Makes the deliveries of an event and has them attempted."""

    endpoints: WebhookStore
    deliveries: DeliveryStore
    queue: DeliveryQueue
    clock: Clock

    def announce(self, outcome: JobOutcome) -> int:
        """Tell of a job's end; returns to how many endpoints it goes now, 0 where all of it is under way already.

        For an endpoint that is disabled it is written down only: once it is enabled, it can be redelivered.
        """
        return sum(
            self._deliver(event_of_outcome(outcome, base_url=endpoint.base_url), endpoint)
            for endpoint in self._audience(outcome)
        )

    def _audience(self, outcome: JobOutcome) -> Sequence[WebhookEndpoint]:
        event_type = event_type_of(outcome)
        subscribed = [one for one in self.endpoints.all(outcome.client_id) if one.subscribes_to(event_type)]
        own = self.endpoints.of_job(outcome.client_id, outcome.job_id)
        return [*subscribed, own] if own and own.subscribes_to(event_type) else subscribed

    def _deliver(self, event: WebhookEvent, endpoint: WebhookEndpoint) -> bool:
        now = self.clock.now()
        delivery = Delivery.of(event, endpoint, now=now)
        if not endpoint.is_enabled:
            with suppress(VersionConflictError):
                self.deliveries.add(delivery.settled(DeliveryStatus.DISCARDED, now))
            return False
        try:
            self.deliveries.add(delivery)
        except VersionConflictError:
            known = self.deliveries.get(DeliveryRef.of(delivery))
            if known is None or not known.is_untouched:
                return False  # else whoever made it may have died before it could be sent
        self.queue.send(DeliveryRef.of(delivery))
        return True


@dataclass(frozen=True)
class DeliveryService:
    """Makes one attempt at a time.

    Attributes
    ----------
    retry_delays_s
        Between one attempt and the next; there is one attempt more than delays.
    """

    endpoints: WebhookStore
    deliveries: DeliveryStore
    queue: DeliveryQueue
    sender: WebhookSender
    sealer: SecretSealer
    clock: Clock
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S
    uniform: Callable[[float, float], float] = random.uniform

    def deliver(self, ref: DeliveryRef) -> float | None:
        """Attempt the delivery if it is due; returns after how many seconds to come again, None once it is settled."""
        delivery = self.deliveries.get(ref)
        if delivery is None or not delivery.is_pending:
            return None
        now = self.clock.now()
        if (wait_s := delivery.wait_s(now)) > 0:
            return wait_s
        endpoint = self.endpoints.get(ref.client_id, ref.endpoint_id)
        try:
            if endpoint is None or not endpoint.is_enabled:
                self.deliveries.save(delivery.settled(DeliveryStatus.DISCARDED, now))
                return None
            secrets = self._opened(endpoint)  # first: where that fails, no try is used up
            claimed = self.deliveries.save(delivery.claimed(now, lease=LEASE))
            return self._settle(claimed, endpoint, *self._attempt(claimed, endpoint, secrets))
        except VersionConflictError:
            return BUSY_S  # somebody else has it, or it was asked for anew: look again

    def _attempt(
        self, delivery: Delivery, endpoint: WebhookEndpoint, secrets: Sequence[str]
    ) -> tuple[DeliveryAttempt, Answer | None]:
        began_at = self.clock.now()
        headers = signed_headers(delivery, secrets, now=began_at)
        try:
            answer = self.sender.post(endpoint.url, delivery.payload.encode(), headers)
        except ForbiddenUrlError as error:
            return DeliveryAttempt(began_at, error=error.message), None
        except NoAnswerError as error:
            return DeliveryAttempt(began_at, error=str(error)), None
        return DeliveryAttempt(began_at, status_code=answer.status_code), answer

    def _opened(self, endpoint: WebhookEndpoint) -> Sequence[str]:
        client_id, endpoint_id = endpoint.client_id, endpoint.id
        return [self.sealer.open(one.sealed, client_id=client_id, endpoint_id=endpoint_id) for one in endpoint.secrets]

    def _settle(
        self, delivery: Delivery, endpoint: WebhookEndpoint, attempt: DeliveryAttempt, answer: Answer | None
    ) -> float | None:
        now = self.clock.now()
        status_code = attempt.status_code
        told = {"endpoint_id": endpoint.id, "message_id": delivery.message_id, "status_code": status_code}
        if status_code is not None and 200 <= status_code < 300:
            self.deliveries.save(delivery.settled(DeliveryStatus.DELIVERED, now, attempt))
            logger.info("webhook delivered", extra=told)
            return None
        if status_code == GONE:
            self._disable(endpoint, DisabledReason.GONE)
            self.deliveries.save(delivery.settled(DeliveryStatus.FAILED, now, attempt))
            return None
        logger.info("webhook not delivered", extra=told | {"tries": delivery.tries, "reason": attempt.error})
        if delivery.tries > len(self.retry_delays_s):
            self._give_up(delivery, endpoint, attempt)
            return None
        patience_s = retry_after_s(answer.retry_after if answer else None, now=now)
        delay_s = max(self._delay_s(delivery.tries), patience_s)
        self.deliveries.save(delivery.postponed(delay_s, now, attempt))
        return delay_s

    def _delay_s(self, tries: int) -> float:
        """Return the schedule's delay, a little off it: receivers that failed together shall not be asked together."""
        return self.retry_delays_s[tries - 1] * self.uniform(1 - JITTER, 1 + JITTER)

    def _give_up(self, delivery: Delivery, endpoint: WebhookEndpoint, attempt: DeliveryAttempt) -> None:
        self.queue.bury(DeliveryRef.of(delivery))  # before the row says that nothing is left to do
        self.deliveries.save(delivery.settled(DeliveryStatus.FAILED, self.clock.now(), attempt))
        logger.warning("webhook given up", extra={"endpoint_id": endpoint.id, "message_id": delivery.message_id})
        latest = self.deliveries.newest(endpoint.client_id, endpoint.id, limit=LOOKED_BACK)
        if not any(one.status is DeliveryStatus.DELIVERED for one in latest):
            self._disable(endpoint, DisabledReason.FAILING)

    def _disable(self, endpoint: WebhookEndpoint, reason: DisabledReason) -> None:
        """Write it unless the client has changed the endpoint meanwhile, which counts for more."""
        try:
            self.endpoints.save(endpoint.disabled(reason, self.clock.now()))
        except VersionConflictError:
            logger.info("the endpoint has changed and stays enabled", extra={"endpoint_id": endpoint.id})
        else:
            logger.warning("webhook disabled", extra={"endpoint_id": endpoint.id, "reason": reason.value})
