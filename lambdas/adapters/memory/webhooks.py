"""Webhooks in memory: for unit tests, held to the same contract as AWS's (``tests/ports``)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lambdas.core.errors import VersionConflictError
from lambdas.core.webhook_ports import Answer, DeliveryRef
from lambdas.core.webhooks import Delivery, WebhookEndpoint


class MemoryWebhookStore:
    """Endpoints by client and id."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], WebhookEndpoint] = {}

    def add(self, endpoint: WebhookEndpoint) -> None:
        """Store a new endpoint."""
        key = (endpoint.client_id, endpoint.id)
        if key in self._items:
            raise VersionConflictError
        self._items[key] = endpoint

    def put(self, endpoint: WebhookEndpoint) -> None:
        """Write it, whether or not there was one."""
        self._items[endpoint.client_id, endpoint.id] = endpoint

    def get(self, client_id: str, endpoint_id: str) -> WebhookEndpoint | None:
        """Return the client's endpoint of either kind, or None."""
        return self._items.get((client_id, endpoint_id))

    def of_job(self, client_id: str, job_id: str) -> WebhookEndpoint | None:
        """Return the endpoint that was given with the job, or None."""
        found = self.get(client_id, job_id)
        return found if found and found.is_of_job else None

    def all(self, client_id: str) -> Sequence[WebhookEndpoint]:
        """Return the client's endpoints, those of single jobs excepted."""
        return [one for (owner, _), one in self._items.items() if owner == client_id and not one.is_of_job]

    def save(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        """Write a changed endpoint."""
        self._check(endpoint)
        saved = replace(endpoint, version=endpoint.version + 1)
        self._items[endpoint.client_id, endpoint.id] = saved
        return saved

    def remove(self, endpoint: WebhookEndpoint) -> None:
        """Forget an endpoint."""
        self._check(endpoint)
        del self._items[endpoint.client_id, endpoint.id]

    def _check(self, endpoint: WebhookEndpoint) -> None:
        stored = self.get(endpoint.client_id, endpoint.id)
        if stored is None or stored.version != endpoint.version:
            raise VersionConflictError


class MemoryDeliveryStore:
    """Deliveries by their names."""

    def __init__(self) -> None:
        self._items: dict[DeliveryRef, Delivery] = {}

    def add(self, delivery: Delivery) -> None:
        """Store a new delivery."""
        ref = DeliveryRef.of(delivery)
        if ref in self._items:
            raise VersionConflictError
        self._items[ref] = delivery

    def get(self, ref: DeliveryRef) -> Delivery | None:
        """Return it, or None."""
        return self._items.get(ref)

    def save(self, delivery: Delivery) -> Delivery:
        """Write a changed delivery."""
        ref = DeliveryRef.of(delivery)
        stored = self._items.get(ref)
        if stored is None or stored.version != delivery.version:
            raise VersionConflictError
        self._items[ref] = replace(delivery, version=delivery.version + 1)
        return self._items[ref]

    def newest(self, client_id: str, endpoint_id: str, *, limit: int, before: str | None = None) -> Sequence[Delivery]:
        """Return deliveries of an endpoint, the newest events first."""
        own = [one for ref, one in self._items.items() if (ref.client_id, ref.endpoint_id) == (client_id, endpoint_id)]
        earlier = [one for one in own if before is None or one.message_id < before]
        return sorted(earlier, key=lambda one: one.message_id, reverse=True)[:limit]


@dataclass
class MemoryDeliveryQueue:
    """Remembers what was sent, by how much that was delayed, and what was buried."""

    sent: list[DeliveryRef] = field(default_factory=list)
    delays_s: list[int] = field(default_factory=list)
    buried: list[DeliveryRef] = field(default_factory=list)

    def send(self, ref: DeliveryRef, *, delay_s: int = 0) -> None:
        """Remember."""
        self.sent.append(ref)
        self.delays_s.append(delay_s)

    def bury(self, ref: DeliveryRef) -> None:
        """Remember."""
        self.buried.append(ref)


class MemorySecretSealer:
    """A seal that anybody could break, but that fits one endpoint only."""

    def seal(self, secret: str, *, client_id: str, endpoint_id: str) -> str:
        """Return ``secret`` under its endpoint's name."""
        return f"{client_id}/{endpoint_id}/{secret[::-1]}"

    def open(self, sealed: str, *, client_id: str, endpoint_id: str) -> str:
        """Return what was sealed; raises ``ValueError`` where it was sealed for another endpoint."""
        prefix = f"{client_id}/{endpoint_id}/"
        if not sealed.startswith(prefix):
            raise ValueError("sealed for another endpoint")
        return sealed.removeprefix(prefix)[::-1]


@dataclass(frozen=True)
class Posted:
    """One call of a receiver."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass
class MemoryReceiver:
    """A receiver that answers as it is told: a status, a status with patience, or an error to raise."""

    answers: list[Answer | Exception] = field(default_factory=list)
    posted: list[Posted] = field(default_factory=list)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Remember the call; answer 204 once the list is used up."""
        self.posted.append(Posted(url, body, headers))
        answer = self.answers.pop(0) if self.answers else Answer(204)
        if isinstance(answer, Exception):
            raise answer
        return answer
