"""Places in a list, newest first. A place stays where it is, whatever is added or changes its status meanwhile."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from lambdas.core.clock import to_text
from lambdas.core.errors import DomainError, DomainErrorCode

T = TypeVar("T")

MAX_LIMIT = 100
_PLACE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z#[0-9a-f-]{36}")


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list; ``next_cursor`` is None at its end."""

    items: Sequence[T]
    next_cursor: str | None


def order_of(moment: datetime, entity_id: str) -> str:
    """Return the place of what was made at a moment; equal moments are told apart by the identifier."""
    return f"{to_text(moment)}#{entity_id}"


def to_cursor(place: str) -> str:
    """Write a place as a client gets to see it.

    It holds nothing but the place: whose list it is says the caller's credential, never the cursor.
    """
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def from_cursor(cursor: str) -> str:
    """Read a place; raises `DomainError` PARAMETER_INVALID if it is none of ours."""
    try:
        place = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        place = ""
    if not _PLACE.fullmatch(place):
        raise DomainError(DomainErrorCode.PARAMETER_INVALID, "cursor: not one that an earlier answer gave")
    return place
