"""The machine's own clock and random identifiers."""

import uuid
from datetime import UTC, datetime

from lambdas.core.clock import to_milliseconds


class SystemClock:
    """UTC to the millisecond, which is what is stored."""

    def now(self) -> datetime:
        """Return the time."""
        return to_milliseconds(datetime.now(UTC))


class RandomIds:
    """UUIDv4."""

    def new_id(self) -> str:
        """Return a new identifier."""
        return str(uuid.uuid4())
