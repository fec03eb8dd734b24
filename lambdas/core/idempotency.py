"""The same request twice makes one thing.

A client's key names what its request makes: the identifier is derived from the key, and the conditional write that
stores the new thing finds the old one. There is no row that says "in progress", so nothing is left half done by whoever
dies in between, and twenty equal requests at once make one thing. A key is good for as long as what it made is kept.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

MAX_KEY_LENGTH = 255


@dataclass(frozen=True)
class IdempotencyKey:
    """A client's key with what it was sent along with.

    Attributes
    ----------
    request_sha256
        Of the request: the same key with another one is refused.
    """

    client_id: str
    operation: str
    key: str
    request_sha256: str

    def derived_id(self, role: str = "") -> str:
        """Return the identifier of what the request makes; ``role`` where it makes several things."""
        text = "\x1f".join((self.client_id, self.operation, self.key, role))
        return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4))


def fingerprint(request: Mapping[str, object]) -> str:
    """Return the SHA-256 of a request, whatever the order of its fields."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
