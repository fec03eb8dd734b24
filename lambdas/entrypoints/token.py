"""Issues access tokens. Neither logged nor traced: the request holds a secret, the answer a token."""

from typing import Any

from lambdas import bootstrap
from lambdas.dialects.adobe import ims


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one API Gateway proxy event."""
    return ims.answer(event, bootstrap.token_service())
