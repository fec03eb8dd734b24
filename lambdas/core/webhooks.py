"""Webhooks: where a client wants to be told, what it is told, and how each telling went.

Form and signatures are those of Standard Webhooks 1.0 (https://www.standardwebhooks.com).
"""

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from standardwebhooks import Webhook

from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import JobStatus
from lambdas.core.ports import JobOutcome

MAX_ENDPOINTS: Final = 20
"""Of one client; each end of a job is told to all of them."""
MAX_DESCRIPTION_LENGTH: Final = 200
MAX_SECRETS: Final = 2
"""Two live secrets sign, so that one can be rotated without an outage."""
KEPT_ATTEMPTS: Final = 20
"""Of one delivery, the newest."""
LOG_LIFETIME: Final = timedelta(days=30)
"""So long a delivery, and the endpoint of a single job, is remembered."""

RETRY_DELAYS_S: Final = (5.0, 30.0, 120.0, 600.0, 3600.0, 10_800.0, 21_600.0, *[43_200.0] * 5)
"""Between one attempt and the next: thirteen attempts in about three days."""
MAX_RETRY_AFTER_S: Final = 21_600.0
"""A receiver may ask for patience, but not for ever."""
JITTER: Final = 0.1

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
ALL_EVENTS: Final = "*"


class EventType(StrEnum):
    """Stored and sent; append-only."""

    ENHANCEMENT_SUCCEEDED = "enhancement.succeeded"
    ENHANCEMENT_FAILED = "enhancement.failed"
    ENHANCEMENT_CANCELLED = "enhancement.cancelled"
    TEST = "webhook.test"
    """Sent on request only, to one endpoint, whatever it subscribes to."""


SUBSCRIBABLE: Final = frozenset(EventType) - {EventType.TEST}

ENDS: Final[Mapping[JobStatus, EventType]] = MappingProxyType(
    {
        JobStatus.SUCCEEDED: EventType.ENHANCEMENT_SUCCEEDED,
        JobStatus.FAILED: EventType.ENHANCEMENT_FAILED,
        JobStatus.CANCELLED: EventType.ENHANCEMENT_CANCELLED,
    }
)


class DisabledReason(StrEnum):
    """Stored; append-only."""

    BY_CLIENT = "by_client"
    GONE = "gone"
    """The receiver answered 410."""
    FAILING = "failing"
    """A delivery was given up, and none of the latest ones had got through."""


class DeliveryStatus(StrEnum):
    """Stored; append-only."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Every attempt of the schedule was made in vain."""
    DISCARDED = "discarded"
    """The endpoint was disabled when the event came, or disabled or deleted meanwhile."""


@dataclass(frozen=True)
class SealedSecret:
    """A signing secret as it is stored: only who may open the seal can sign with it."""

    sealed: str
    created_at: datetime


@dataclass(frozen=True)
class WebhookEndpoint:
    """One address of a client.

    Attributes
    ----------
    event_types
        What it is told of; None for everything there is and will be.
    secrets
        At most `MAX_SECRETS`, the newest last; all of them sign.
    is_of_job
        True for the address that was given with a single job: its id is the job's, it is stored together with the
        job, and it is not listed.
    base_url
        Where the API was reached when the endpoint was made: what links in its events begin with. Empty for endpoints
        from before there was one, whose links stay relative.
    request_sha256
        Of the request that made it, where the client gave an idempotency key; a single job's has its job's.
    version
        Counts writes; every write is conditional on it.
    """

    id: str
    client_id: str
    url: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    event_types: frozenset[EventType] | None = None
    secrets: tuple[SealedSecret, ...] = ()
    disabled_reason: DisabledReason | None = None
    disabled_at: datetime | None = None
    is_of_job: bool = False
    base_url: str = ""
    request_sha256: str | None = None
    version: int = 1

    @property
    def is_enabled(self) -> bool:
        """True while it is told anything at all."""
        return self.disabled_reason is None

    def subscribes_to(self, event_type: EventType) -> bool:
        """Tell whether it is to be told of such an event, while it is told anything."""
        return self.event_types is None or event_type in self.event_types

    def with_secret(self, secret: SealedSecret, *, keep_previous: bool = True) -> "WebhookEndpoint":
        """Add a secret; the one before it goes on signing, unless it is known to others."""
        kept = (*self.secrets, secret)[-MAX_SECRETS:] if keep_previous else (secret,)
        return replace(self, secrets=kept, updated_at=secret.created_at)

    @property
    def is_as_made(self) -> bool:
        """True until it is changed: by its client, or because its receiver fails."""
        return self.updated_at == self.created_at

    def shown_again(self, secret: SealedSecret) -> "WebhookEndpoint":
        """Let a secret of a repeated request sign beside the first one, in the place of an earlier repetition's."""
        return replace(self, secrets=(*self.secrets[:1], secret))

    def disabled(self, reason: DisabledReason, now: datetime) -> "WebhookEndpoint":
        """Return the endpoint as it is while it is told nothing."""
        return replace(self, disabled_reason=reason, disabled_at=now, updated_at=now)

    def enabled(self, now: datetime) -> "WebhookEndpoint":
        """Return the endpoint as it is when it is told again."""
        return replace(self, disabled_reason=None, disabled_at=None, updated_at=now)


@dataclass(frozen=True)
class WebhookEvent:
    """What happened, in the words it is told in.

    Attributes
    ----------
    message_id
        The same whenever and wherever this event is told, so that a receiver can tell repetitions; ids of later
        events sort behind those of earlier ones.
    payload
        The body of the request: JSON, without audio and without links that need no credential.
    """

    message_id: str
    type: EventType
    occurred_at: datetime
    payload: str


@dataclass(frozen=True)
class DeliveryAttempt:
    """One call of a receiver: the status it answered with, or why there was no answer."""

    at: datetime
    status_code: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Delivery:
    """One event for one endpoint; it exists once, however often the event is announced.

    Attributes
    ----------
    attempts
        The newest `KEPT_ATTEMPTS`, oldest first.
    tries
        Attempts since it was first sent or last redelivered: where it is in the schedule.
    next_attempt_at
        Until then it is left alone; while an attempt is made, when it counts as lost. None once settled.
    """

    client_id: str
    endpoint_id: str
    message_id: str
    event_type: EventType
    payload: str
    created_at: datetime
    updated_at: datetime
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: tuple[DeliveryAttempt, ...] = ()
    tries: int = 0
    next_attempt_at: datetime | None = None
    version: int = 1

    @classmethod
    def of(cls, event: WebhookEvent, endpoint: WebhookEndpoint, *, now: datetime) -> "Delivery":
        """Return the delivery of ``event`` to ``endpoint``, due at once."""
        return cls(
            client_id=endpoint.client_id,
            endpoint_id=endpoint.id,
            message_id=event.message_id,
            event_type=event.type,
            payload=event.payload,
            created_at=now,
            updated_at=now,
            next_attempt_at=now,
        )

    @property
    def is_pending(self) -> bool:
        """True while it is to be attempted, or attempted again."""
        return self.status is DeliveryStatus.PENDING

    @property
    def is_untouched(self) -> bool:
        """True until somebody has begun the first attempt."""
        return self.is_pending and self.version == 1

    def wait_s(self, now: datetime) -> float:
        """Return how long it is to be left alone; 0 once it is due."""
        return max((self.next_attempt_at - now).total_seconds(), 0.0) if self.next_attempt_at else 0.0

    def claimed(self, now: datetime, *, lease: timedelta) -> "Delivery":
        """Keep others away while an attempt is made; afterwards the attempt counts as lost."""
        return replace(self, tries=self.tries + 1, next_attempt_at=now + lease, updated_at=now)

    def settled(self, status: DeliveryStatus, now: datetime, attempt: DeliveryAttempt | None = None) -> "Delivery":
        """End it."""
        return replace(self._with(attempt), status=status, next_attempt_at=None, updated_at=now)

    def postponed(self, delay_s: float, now: datetime, attempt: DeliveryAttempt) -> "Delivery":
        """Try again after ``delay_s``."""
        return replace(self._with(attempt), next_attempt_at=now + timedelta(seconds=delay_s), updated_at=now)

    def redelivered(self, now: datetime) -> "Delivery":
        """Begin the schedule anew, whatever became of it before."""
        return replace(self, status=DeliveryStatus.PENDING, tries=0, next_attempt_at=now, updated_at=now)

    def _with(self, attempt: DeliveryAttempt | None) -> "Delivery":
        added = (attempt,) if attempt else ()
        return replace(self, attempts=(*self.attempts, *added)[-KEPT_ATTEMPTS:])


def event_types_of(names: Iterable[str]) -> frozenset[EventType] | None:
    """Read what a client subscribes to; ``*`` is everything. Raises `DomainError` PARAMETER_INVALID."""
    given = set(names)
    if ALL_EVENTS in given:
        return None
    if not given or not given <= {event_type.value for event_type in SUBSCRIBABLE}:
        known = ", ".join(sorted(SUBSCRIBABLE))
        raise DomainError(DomainErrorCode.PARAMETER_INVALID, f"event types are {known}, or {ALL_EVENTS} for all")
    return frozenset(map(EventType, given))


def event_type_of(outcome: JobOutcome) -> EventType:
    """Return which kind of event the end of a job is."""
    return ENDS[JobStatus(outcome.status)]


def event_of_outcome(outcome: JobOutcome, *, base_url: str = "") -> WebhookEvent:
    """Return how the end of a job is told: ids to ask for more with, and nothing that needs protection."""
    event_type = event_type_of(outcome)
    data = {
        "enhancement_id": outcome.job_id,
        "asset_id": outcome.asset_id,
        "status": outcome.status,
        "error_code": outcome.error_code,
        "finished_at": to_text(outcome.finished_at),
        "links": {
            "enhancement": f"{base_url}/v1/enhancements/{outcome.job_id}",
            "asset": f"{base_url}/v1/assets/{outcome.asset_id}",
        },
    }
    return _event(event_type, outcome.finished_at, data, about=outcome.job_id)


def ping_of(endpoint: WebhookEndpoint, *, now: datetime, nonce: str) -> WebhookEvent:
    """Return an event that says nothing but that the endpoint is reached."""
    return _event(EventType.TEST, now, {"endpoint_id": endpoint.id}, about=nonce)


def new_secret() -> str:
    """Return a fresh signing secret as receivers' libraries read it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def checked_secret(secret: str) -> str:
    """Return a secret of the client's own; raises `DomainError` PARAMETER_INVALID where it is none."""
    try:
        size_bytes = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size_bytes = 0
    if not secret.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= size_bytes <= MAX_SECRET_BYTES:
        wanted = f"{SECRET_PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in base64"
        raise DomainError(DomainErrorCode.PARAMETER_INVALID, f"a secret is {wanted}")
    return secret


def signed_headers(delivery: Delivery, live_secrets: Sequence[str], *, now: datetime) -> dict[str, str]:
    """Return the headers of one attempt; every live secret signs, the newest first."""
    signatures = [
        Webhook(secret).sign(msg_id=delivery.message_id, timestamp=now, data=delivery.payload)
        for secret in reversed(live_secrets)
    ]
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def retry_after_s(value: str | None, *, now: datetime) -> float:
    """Read a ``Retry-After`` header (RFC 9110: seconds, or a date); at most `MAX_RETRY_AFTER_S`, 0 without one."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        asked_s = (aware - now).total_seconds()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(asked_s, 0.0), MAX_RETRY_AFTER_S)


def _event(event_type: EventType, occurred_at: datetime, data: Mapping[str, object], *, about: str) -> WebhookEvent:
    document = {"type": event_type.value, "timestamp": to_text(occurred_at), "data": data}
    payload = json.dumps(document, separators=(",", ":"))
    return WebhookEvent(_message_id(event_type, occurred_at, about), event_type, occurred_at, payload)


def _message_id(event_type: EventType, occurred_at: datetime, about: str) -> str:
    """Return the time to the millisecond, as UUIDv7 has it, and a digest of what the event is about."""
    milliseconds = round(occurred_at.timestamp() * 1000)
    digest = hashlib.sha256(f"{event_type}#{about}".encode()).hexdigest()
    return f"msg_{milliseconds:012x}{digest[:20]}"
