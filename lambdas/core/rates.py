"""How often a client may call: at most so many times in any minute, whatever the moment it is looked at.

Calls are counted in short buckets. A call is let through if with it the buckets that a minute can touch hold no more
than the limit: their span is up to one bucket longer than a minute, so the limit holds for every minute, not only for
those on the clock. Later buckets count as well: clocks differ, and a call may be counted after one that came later, but
of two calls one always sees the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lambdas.core.errors import DomainError, DomainErrorCode

WINDOW_S = 60
BUCKET_S = 5
BUCKETS = WINDOW_S // BUCKET_S + 1


class RateClass(StrEnum):
    """Calls that are counted together; stored, append-only."""

    ADOBE_CREATE = "adobe-create"
    ADOBE = "adobe"
    NATIVE_CREATE = "native-create"
    NATIVE = "native"
    NATIVE_WAIT = "native-wait"


DEFAULT_LIMITS: Mapping[RateClass, int] = {
    # Adobe's own numbers.
    RateClass.ADOBE_CREATE: 100,
    RateClass.ADOBE: 500,
    RateClass.NATIVE_CREATE: 300,
    RateClass.NATIVE: 1000,
    # Each keeps a function busy for up to 20 s: 40 of the account's at most.
    RateClass.NATIVE_WAIT: 120,
}
"""Calls in a minute, where a client has no limit of its own."""


@dataclass(frozen=True)
class RateState:
    """What a client may still do.

    Attributes
    ----------
    remaining
        Calls left at this moment.
    reset_s
        Seconds until at least one more call is possible; until all are, for a client that makes none meanwhile,
        at most `WINDOW_S` + `BUCKET_S`.
    """

    limit: int
    remaining: int
    reset_s: int
    is_allowed: bool


class RateExceededError(DomainError):
    """One call too many; says how the client stands, and when to come again."""

    def __init__(self, state: RateState) -> None:
        message = f"more than {state.limit} calls in a minute"
        super().__init__(DomainErrorCode.RATE_EXCEEDED, message, retryable=True, retry_after_s=state.reset_s)
        self.state = state


def bucket_of(moment: datetime) -> int:
    """Return the number of the bucket that a moment falls into."""
    return int(moment.timestamp()) // BUCKET_S


def oldest_counted(newest: int) -> int:
    """Return the oldest of the buckets that count together with ``newest``."""
    return newest - BUCKETS + 1


def judge(counts: Mapping[int, int], *, limit: int, now: datetime) -> RateState:
    """Judge a call that is counted in ``counts`` (calls by bucket) already."""
    newest = bucket_of(now)
    counted = {bucket: calls for bucket, calls in counts.items() if bucket >= oldest_counted(newest) and calls > 0}
    used, oldest = sum(counted.values()), min(counted, default=newest)
    free_at_s = (oldest + BUCKETS) * BUCKET_S
    reset_s = max(1, free_at_s - int(now.timestamp()))
    return RateState(limit=limit, remaining=max(0, limit - used), reset_s=reset_s, is_allowed=used <= limit)
