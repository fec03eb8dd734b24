"""Lists that come in pages."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from cleartake_client.calls import Call, Caller
from cleartake_client.reading import UnreadableAnswerError, read

T = TypeVar("T")


def pages(
    caller: Caller, path: str, kind: type[T], *, page_size: int, query: Mapping[str, Any] | None = None
) -> Iterator[T]:
    """Yield a list's items; the next page is fetched when the one before has been used up."""
    cursor: str | None = None
    while True:
        page = caller.json(Call("GET", path, query={**(query or {}), "limit": page_size, "cursor": cursor}))
        if not isinstance(page, dict) or "items" not in page:
            raise UnreadableAnswerError(f"{caller.base_url} answers no list")
        yield from (read(kind, item) for item in page["items"])
        cursor = page.get("next_cursor")
        if cursor is None:
            return
