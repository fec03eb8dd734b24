"""A client's own name for what it asks for: the `Idempotency-Key` of a request."""

from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.openapi.params import Header
from pydantic import BaseModel

from lambdas.core.idempotency import MAX_KEY_LENGTH, IdempotencyKey, fingerprint
from lambdas.dialects.door import client_of

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        description="Your own name for this request: sent again with the same key, it makes nothing new.",
    ),
]


def key_of(app: APIGatewayRestResolver, operation: str, key: str | None, body: BaseModel) -> IdempotencyKey | None:
    """Return the key with what it was sent along with; None where the client gave none."""
    return None if key is None else named(app, operation, key, body)


def named(app: APIGatewayRestResolver, operation: str, key: str, body: BaseModel) -> IdempotencyKey:
    """Return a key with what it was sent along with."""
    # What is left out says nothing: a field that a later release adds makes yesterday's request no other one.
    said = body.model_dump(mode="json", exclude_defaults=True)
    return IdempotencyKey(client_of(app).id, operation, key, fingerprint(said))
