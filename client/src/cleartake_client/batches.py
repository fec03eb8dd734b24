"""Batches: up to a hundred enhancements with one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cleartake_client.calls import Call, Caller
from cleartake_client.models import Batch
from cleartake_client.reading import read
from cleartake_client.requests import Source, Wish

BATCHES = "/v1/batches"

MAX_ITEMS = 100


@dataclass(frozen=True)
class Batches:
    """Batches of one client."""

    caller: Caller

    def create(
        self,
        items: Sequence[tuple[Source, Wish]],
        *,
        reference: str | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Ask for up to `MAX_ITEMS` enhancements; one that is refused keeps no other from being accepted."""
        body: dict[str, Any] = {"items": [wish.document(source) for source, wish in items]}
        if reference is not None:
            body["reference"] = reference
        return read(Batch, self.caller.json(Call("POST", BATCHES, body, idempotency_key=idempotency_key)))

    def get(self, batch_id: str) -> Batch:
        """Return a batch as it is."""
        return read(Batch, self.caller.json(Call("GET", f"{BATCHES}/{batch_id}")))
