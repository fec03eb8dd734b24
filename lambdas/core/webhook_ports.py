"""What telling clients of events needs from the world; ``tests/ports`` holds every implementation to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lambdas.core.webhooks import Delivery, WebhookEndpoint


@dataclass(frozen=True)
class DeliveryRef:
    """Names one delivery."""

    client_id: str
    endpoint_id: str
    message_id: str

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryRef":
        """Return the name of ``delivery``."""
        return cls(delivery.client_id, delivery.endpoint_id, delivery.message_id)


@dataclass(frozen=True)
class Answer:
    """What a receiver answered; its body is nobody's business."""

    status_code: int
    retry_after: str | None = None


class WebhookStore(Protocol):
    """Endpoints, compare-and-set on their version: every write raises `VersionConflictError` where it comes second."""

    def add(self, endpoint: WebhookEndpoint) -> None:
        """Store a new endpoint; raises `VersionConflictError` if the id is taken."""
        ...

    def get(self, client_id: str, endpoint_id: str) -> WebhookEndpoint | None:
        """Return the client's endpoint, also that of a single job by the job's id; another client's is None."""
        ...

    def of_job(self, client_id: str, job_id: str) -> WebhookEndpoint | None:
        """Return the endpoint that was given with the job, or None."""
        ...

    def all(self, client_id: str) -> Sequence[WebhookEndpoint]:
        """Return the client's endpoints, those of single jobs excepted, in no particular order."""
        ...

    def save(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        """Write a changed endpoint."""
        ...

    def remove(self, endpoint: WebhookEndpoint) -> None:
        """Forget an endpoint."""
        ...


class DeliveryStore(Protocol):
    """Deliveries, compare-and-set on their version; they are forgotten after `LOG_LIFETIME`."""

    def add(self, delivery: Delivery) -> None:
        """Store a new delivery; raises `VersionConflictError` if there is one of this message to this endpoint."""
        ...

    def get(self, ref: DeliveryRef) -> Delivery | None:
        """Return it, or None."""
        ...

    def save(self, delivery: Delivery) -> Delivery:
        """Write a changed delivery; raises `VersionConflictError` if it was written since it was read."""
        ...

    def newest(self, client_id: str, endpoint_id: str, *, limit: int, before: str | None = None) -> Sequence[Delivery]:
        """Return deliveries of an endpoint, the newest events first, only those before the message id ``before``."""
        ...


class DeliveryQueue(Protocol):
    """Wakes the sender for one delivery."""

    def send(self, ref: DeliveryRef, *, delay_s: int = 0) -> None:
        """Have the delivery attempted, after ``delay_s`` (at most 900); the same may be asked for more than once."""
        ...

    def bury(self, ref: DeliveryRef) -> None:
        """Put a delivery that was given up where an operator sees it."""
        ...


class WebhookSender(Protocol):
    """Calls receivers, and nothing that the egress policy forbids."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST once, follow no redirect; raises `NoAnswerError` or `ForbiddenUrlError`."""
        ...


class SecretSealer(Protocol):
    """Keeps secrets unreadable for whoever sees only the rows they lie in; each is sealed for one endpoint alone."""

    def seal(self, secret: str, *, client_id: str, endpoint_id: str) -> str:
        """Return ``secret`` sealed."""
        ...

    def open(self, sealed: str, *, client_id: str, endpoint_id: str) -> str:
        """Return what was sealed."""
        ...
