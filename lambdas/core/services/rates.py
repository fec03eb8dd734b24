"""Holding clients to their rates."""

import logging
from dataclasses import dataclass
from datetime import datetime

from lambdas.core.clients import Client
from lambdas.core.clock import to_milliseconds
from lambdas.core.errors import DomainError
from lambdas.core.ports import Clock, RateCounter
from lambdas.core.rates import RateClass, RateExceededError, RateState, judge

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RateLimiter:
    """Counts first and judges then: of calls at the same moment one sees the other, and never too many pass."""

    counter: RateCounter
    clock: Clock

    def take(self, client: Client, rate_class: RateClass) -> RateState | None:
        """Count one call; returns what is left, None where that could not be learnt.

        Raises
        ------
        RateExceededError
            Saying when to come again.
        """
        now, limit = to_milliseconds(self.clock.now()), client.rate_limit(rate_class)
        try:
            counts = self.counter.count(client.id, rate_class, now)
        except DomainError:
            logger.exception("calls could not be counted")  # a table that is away must not close the door as well
            return None
        state = judge(counts, limit=limit, now=now)
        if state.is_allowed:
            return state
        self._take_back(client, rate_class, now)
        raise RateExceededError(state)

    def _take_back(self, client: Client, rate_class: RateClass, now: datetime) -> None:
        try:
            self.counter.discount(client.id, rate_class, now)
        except DomainError:
            logger.exception("a refused call stays counted")  # it is refused all the same
