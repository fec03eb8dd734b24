"""A client's webhooks: where it is told of what. A secret is returned at its making, and never again."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from lambdas.core.egress import EgressPolicy, target_of
from lambdas.core.errors import DomainError, DomainErrorCode, VersionConflictError
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.ports import Clock, IdFactory
from lambdas.core.webhook_ports import DeliveryQueue, DeliveryRef, DeliveryStore, SecretSealer, WebhookStore
from lambdas.core.webhooks import (
    ALL_EVENTS,
    MAX_DESCRIPTION_LENGTH,
    MAX_ENDPOINTS,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    SealedSecret,
    WebhookEndpoint,
    checked_secret,
    event_types_of,
    new_secret,
    ping_of,
)

MAX_LISTED = 100
TRIES = 3


@dataclass(frozen=True)
class CreateWebhook:
    """What a client says of a new endpoint, and where it says so; without a secret of its own it gets one."""

    client_id: str
    url: str
    event_types: tuple[str, ...] = (ALL_EVENTS,)
    description: str = ""
    secret: str | None = None
    base_url: str = ""


@dataclass(frozen=True)
class UpdateWebhook:
    """What a client changes of an endpoint; None leaves it as it is."""

    url: str | None = None
    event_types: tuple[str, ...] | None = None
    description: str | None = None
    enabled: bool | None = None


@dataclass(frozen=True)
class WebhookWithSecret:
    """An endpoint and its newest secret: the only time that anybody is shown it."""

    endpoint: WebhookEndpoint
    secret: str


@dataclass(frozen=True)
class WebhookService:
    """Endpoints of one client at a time; the client's id comes from its credential, never from a body.

    Every method that names an endpoint raises `DomainError` NOT_FOUND where the client has none of that id. The
    endpoint of a single job goes by the job's id.
    """

    endpoints: WebhookStore
    deliveries: DeliveryStore
    queue: DeliveryQueue
    sealer: SecretSealer
    policy: EgressPolicy
    clock: Clock
    ids: IdFactory

    def create(self, command: CreateWebhook) -> WebhookWithSecret:
        """Add an endpoint.

        Raises
        ------
        DomainError
            URL_NOT_ALLOWED, PARAMETER_INVALID, or WEBHOOK_LIMIT where the client has `MAX_ENDPOINTS` already.
        """
        made = self._made(command, endpoint_id=self.ids.new_id())
        self._add(made.endpoint)
        return made

    def create_once(self, command: CreateWebhook, key: IdempotencyKey) -> tuple[WebhookEndpoint, str | None]:
        """Add an endpoint that the key names; returns it with its secret, None where that is not shown any more.

        Raises
        ------
        DomainError
            As `create`, or IDEMPOTENCY_MISMATCH.
        """
        endpoint_id = key.derived_id("webhook")
        made = self._made(command, endpoint_id=endpoint_id, request_sha256=key.request_sha256)
        try:
            self._add(made.endpoint)
        except VersionConflictError:
            known = self.show(command.client_id, endpoint_id)
            if known.request_sha256 != key.request_sha256:
                raise DomainError(DomainErrorCode.IDEMPOTENCY_MISMATCH) from None
            return known, self.secret_to_show(made, given=command.secret)
        return made.endpoint, made.secret

    def for_job(
        self, client_id: str, job_id: str, *, url: str, secret: str | None = None, base_url: str = ""
    ) -> WebhookWithSecret:
        """Return what has one job's end told to ``url``, whatever else is told to whom.

        It is for `JobRepository.add` to store: a job may end before its caller is answered, and of a job that is
        refused nothing shall stay. Raises `DomainError` URL_NOT_ALLOWED or PARAMETER_INVALID.
        """
        command = CreateWebhook(client_id, url, secret=secret, base_url=base_url)
        return self._made(command, endpoint_id=job_id, is_of_job=True)

    def secret_to_show(self, made: WebhookWithSecret, *, given: str | None) -> str | None:
        """Return the secret for the answer to a request with a key, which may have been answered before.

        Nobody can read the secret of the earlier answer, which may be lost: the repetition gets one of its own, and
        the first and the latest sign. ``given`` is the client's own, which needs none of that. None once the webhook
        has been changed or deleted.
        """
        for _ in range(TRIES):
            stored = self.endpoints.get(made.endpoint.client_id, made.endpoint.id)
            if stored is None or not stored.is_as_made:
                return None
            own = made.endpoint.secrets[-1]
            if given is not None or own in stored.secrets:
                return made.secret
            with suppress(VersionConflictError):
                self.endpoints.save(stored.shown_again(own))
                return made.secret
        raise VersionConflictError

    def list(self, client_id: str) -> Sequence[WebhookEndpoint]:
        """Return the client's endpoints, oldest first, those of single jobs excepted."""
        return sorted(self.endpoints.all(client_id), key=lambda endpoint: (endpoint.created_at, endpoint.id))

    def show(self, client_id: str, endpoint_id: str) -> WebhookEndpoint:
        """Return the endpoint."""
        endpoint = self.endpoints.get(client_id, endpoint_id)
        if endpoint is None:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        return endpoint

    def update(self, client_id: str, endpoint_id: str, changes: UpdateWebhook) -> WebhookEndpoint:
        """Change the endpoint; raises `DomainError` URL_NOT_ALLOWED or PARAMETER_INVALID."""
        endpoint = self.show(client_id, endpoint_id)
        now = self.clock.now()
        changed = replace(
            endpoint,
            url=endpoint.url if changes.url is None else self._checked_url(changes.url),
            event_types=endpoint.event_types if changes.event_types is None else event_types_of(changes.event_types),
            description=endpoint.description if changes.description is None else _checked_text(changes.description),
            updated_at=now,
        )
        if changes.enabled is True:
            changed = changed.enabled(now)
        elif changes.enabled is False and changed.is_enabled:
            changed = changed.disabled(DisabledReason.BY_CLIENT, now)
        return self.endpoints.save(changed)

    def rotate_secret(
        self, client_id: str, endpoint_id: str, *, secret: str | None = None, keep_previous: bool = True
    ) -> WebhookWithSecret:
        """Add a secret; the one before it goes on signing until the next rotation, unless it is dropped at once."""
        endpoint = self.show(client_id, endpoint_id)
        plain, sealed = self._sealed(secret, client_id=client_id, endpoint_id=endpoint_id)
        saved = self.endpoints.save(endpoint.with_secret(sealed, keep_previous=keep_previous))
        return WebhookWithSecret(saved, plain)

    def delete(self, client_id: str, endpoint_id: str) -> None:
        """Forget the endpoint; what is still to be delivered to it is discarded."""
        self.endpoints.remove(self.show(client_id, endpoint_id))

    def send_test(self, client_id: str, endpoint_id: str) -> Delivery:
        """Have a test event delivered; raises `DomainError` WEBHOOK_DISABLED."""
        endpoint = self._enabled(client_id, endpoint_id)
        now = self.clock.now()
        delivery = Delivery.of(ping_of(endpoint, now=now, nonce=self.ids.new_id()), endpoint, now=now)
        self.deliveries.add(delivery)
        self._send(delivery, otherwise=delivery.settled(DeliveryStatus.FAILED, now))
        return delivery

    def list_deliveries(
        self, client_id: str, endpoint_id: str, *, limit: int = MAX_LISTED, before: str | None = None
    ) -> Sequence[Delivery]:
        """Return the endpoint's deliveries, the newest events first; the next page begins ``before`` the last id."""
        self.show(client_id, endpoint_id)
        return self.deliveries.newest(client_id, endpoint_id, limit=min(limit, MAX_LISTED), before=before)

    def show_delivery(self, client_id: str, endpoint_id: str, message_id: str) -> Delivery:
        """Return one delivery."""
        delivery = self.deliveries.get(DeliveryRef(client_id, endpoint_id, message_id))
        if delivery is None:
            raise DomainError(DomainErrorCode.NOT_FOUND)
        return delivery

    def redeliver(self, client_id: str, endpoint_id: str, message_id: str) -> Delivery:
        """Send a message again, under its old id and on a new schedule; raises `DomainError` WEBHOOK_DISABLED."""
        delivery = self.show_delivery(client_id, endpoint_id, message_id)
        self._enabled(client_id, endpoint_id)
        again = self.deliveries.save(delivery.redelivered(self.clock.now()))
        self._send(again, otherwise=replace(delivery, version=again.version))
        return again

    def _send(self, delivery: Delivery, *, otherwise: Delivery) -> None:
        """Have it attempted; where that cannot be asked for, the log shall not promise it."""
        try:
            self.queue.send(DeliveryRef.of(delivery))
        except DomainError:
            with suppress(DomainError):
                self.deliveries.save(otherwise)
            raise

    def _add(self, endpoint: WebhookEndpoint) -> None:
        """Store a new endpoint; raises `VersionConflictError` where there is one of its id, however many there are."""
        listed = self.endpoints.all(endpoint.client_id)
        if len(listed) >= MAX_ENDPOINTS and endpoint.id not in {one.id for one in listed}:
            raise DomainError(DomainErrorCode.WEBHOOK_LIMIT, f"a client has at most {MAX_ENDPOINTS} webhooks")
        self.endpoints.add(endpoint)

    def _made(
        self,
        command: CreateWebhook,
        *,
        endpoint_id: str,
        is_of_job: bool = False,
        request_sha256: str | None = None,
    ) -> WebhookWithSecret:
        now = self.clock.now()
        url, event_types = self._checked_url(command.url), event_types_of(command.event_types)
        description = _checked_text(command.description)
        plain, sealed = self._sealed(command.secret, client_id=command.client_id, endpoint_id=endpoint_id)
        endpoint = WebhookEndpoint(
            id=endpoint_id,
            client_id=command.client_id,
            url=url,
            created_at=now,
            updated_at=now,
            description=description,
            event_types=event_types,
            secrets=(sealed,),
            is_of_job=is_of_job,
            base_url=command.base_url,
            request_sha256=request_sha256,
        )
        return WebhookWithSecret(endpoint, plain)

    def _checked_url(self, url: str) -> str:
        target_of(url, self.policy)
        return url

    def _sealed(self, secret: str | None, *, client_id: str, endpoint_id: str) -> tuple[str, SealedSecret]:
        plain = new_secret() if secret is None else checked_secret(secret)
        sealed = self.sealer.seal(plain, client_id=client_id, endpoint_id=endpoint_id)
        return plain, SealedSecret(sealed, self.clock.now())

    def _enabled(self, client_id: str, endpoint_id: str) -> WebhookEndpoint:
        endpoint = self.show(client_id, endpoint_id)
        if not endpoint.is_enabled:
            raise DomainError(DomainErrorCode.WEBHOOK_DISABLED, "the webhook is disabled")
        return endpoint


def _checked_text(description: str) -> str:
    if len(description) > MAX_DESCRIPTION_LENGTH:
        message = f"a description has at most {MAX_DESCRIPTION_LENGTH} characters"
        raise DomainError(DomainErrorCode.PARAMETER_INVALID, message)
    return description
