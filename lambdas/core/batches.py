"""A batch: up to a hundred enhancements asked for at once, each of which may be refused on its own."""

from dataclasses import dataclass
from datetime import datetime

MAX_ITEMS = 100


@dataclass(frozen=True)
class BatchItem:
    """One item in the order of the request: the job that was made of it, or why there is none.

    Attributes
    ----------
    job_id
        What its job is called, whether there is one or not: the same request sent twice at once may have an item
        refused here and accepted there, and then it is accepted. Refused items of earlier releases have none.
    """

    job_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    is_retryable: bool = False


@dataclass(frozen=True)
class Batch:
    """The items' jobs tell how it goes; a batch itself has no state."""

    id: str
    client_id: str
    created_at: datetime
    items: tuple[BatchItem, ...]
    reference: str | None = None
    request_sha256: str | None = None
