"""Times as the whole product writes them: aware UTC, ISO 8601 text with milliseconds and ``Z``."""

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """Write an aware datetime as ``2024-04-09T21:38:36.872Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """Read what ``to_text`` wrote."""
    return datetime.fromisoformat(text)


def to_milliseconds(moment: datetime) -> datetime:
    """Drop what the text form cannot hold, so that a stored time equals the one that was stored."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
