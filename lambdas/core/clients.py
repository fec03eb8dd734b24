"""A client: one tenant, its secrets and its slots."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from lambdas.core.rates import DEFAULT_LIMITS, RateClass

DEFAULT_MAX_ACTIVE = 5
DEFAULT_MAX_QUEUED = 1000
MAX_SECRETS = 2
"""Two live secrets, so that one can be rotated without an outage."""

# RFC 7914's interactive parameters: 16 MiB, about 50 ms on one core.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 1


@dataclass(frozen=True)
class SecretHash:
    """A salted scrypt hash (RFC 7914) of one client secret; the secret itself is shown once and never stored."""

    salt: str
    digest: str
    created_at: datetime

    @classmethod
    def of(cls, secret: str, *, now: datetime) -> "SecretHash":
        """Hash a secret under a fresh salt."""
        salt = secrets.token_bytes(16)
        return cls(salt=base64.b64encode(salt).decode(), digest=_scrypt(secret, salt), created_at=now)

    def matches(self, secret: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.digest, _scrypt(secret, base64.b64decode(self.salt)))


@dataclass(frozen=True)
class Client:
    """One tenant.

    Attributes
    ----------
    max_active
        How many jobs may hold a slot at once; 1 is Adobe's behaviour.
    max_queued
        How many jobs may wait at once; one more is refused.
    leases
        Job id → time the slot was taken. A slot is a lease, held by a job that is admitted, dispatched or running.
    queued
        How many jobs wait.
    last_admitted_at
        When a job was last admitted: among clients with equally many slots, whoever waits longest is next.
    rate_limits
        Calls in a minute by class, where it has other limits than everybody.
    takes_api_keys
        Whether a secret in a header is enough, for programs that cannot fetch tokens.
    """

    id: str
    name: str
    created_at: datetime
    secrets: tuple[SecretHash, ...] = ()
    disabled: bool = False
    max_active: int = DEFAULT_MAX_ACTIVE
    max_queued: int = DEFAULT_MAX_QUEUED
    leases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    queued: int = 0
    last_admitted_at: datetime | None = None
    rate_limits: Mapping[RateClass, int] = field(default_factory=lambda: MappingProxyType({}))
    takes_api_keys: bool = False
    version: int = 1

    @property
    def has_free_slot(self) -> bool:
        """True while one more job may be admitted, as far as this client's own limit goes."""
        return len(self.leases) < self.max_active

    def accepts(self, secret: str) -> bool:
        """Tell whether ``secret`` is one of this client's live secrets."""
        matches = [known.matches(secret) for known in self.secrets]  # all are tried: no hint in the timing
        return any(matches)

    def with_secret(self, secret: str, *, now: datetime) -> "Client":
        """Add a secret; only the newest `MAX_SECRETS` stay valid."""
        return replace(self, secrets=(*self.secrets, SecretHash.of(secret, now=now))[-MAX_SECRETS:])

    def rate_limit(self, rate_class: RateClass) -> int:
        """Return how many calls of a class the client may make in a minute."""
        return self.rate_limits.get(rate_class, DEFAULT_LIMITS[rate_class])


def is_client_id(text: str) -> bool:
    """Tell whether ``text`` can be a client's id at all; anything else is not worth a look-up."""
    return re.fullmatch(r"[A-Za-z0-9_-]{1,128}", text) is not None


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def _scrypt(secret: str, salt: bytes) -> str:
    digest = hashlib.scrypt(secret.encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
    return base64.b64encode(digest).decode()
