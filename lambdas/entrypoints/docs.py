"""Shows what the API offers, to everybody: it reads no data and may do nothing."""

from typing import Any

from lambdas.dialects import docs


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one API Gateway proxy event."""
    return docs.answer(event)
