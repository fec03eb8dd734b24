"""Enhancements: asked for, watched, fetched."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx

from cleartake_client.calls import Call, Caller, several
from cleartake_client.errors import StorageError, UnreachableError, WaitTimeoutError
from cleartake_client.models import Enhancement
from cleartake_client.paging import pages
from cleartake_client.reading import read
from cleartake_client.requests import DEFAULT_WISH, Source, Wish
from cleartake_client.storage import Advance, load, save, silent

T = TypeVar("T")

ENHANCEMENTS = "/v1/enhancements"

LONGEST_POLL_S = 20
"""The service's limit."""

PAUSE_S = 0.2
"""Between polls that the service does not hold."""

Artifact = Literal["result", "report", "spectrogram", "waveform", "peaks"]


@dataclass(frozen=True)
class Enhancements:
    """Enhancements of one client."""

    caller: Caller
    http: httpx.Client

    def create(self, source: Source, wish: Wish = DEFAULT_WISH, *, idempotency_key: str | None = None) -> Enhancement:
        """Ask for an enhancement; with an `UploadSource` the answer says where to put the bytes.

        Parameters
        ----------
        idempotency_key
            Your own name for this request: whoever sends it again, a later process say, gets the same enhancement.
        """
        call = Call("POST", ENHANCEMENTS, wish.document(source), idempotency_key=idempotency_key)
        return read(Enhancement, self.caller.json(call))

    def get(self, enhancement_id: str, *, wait_s: int = 0) -> Enhancement:
        """Return an enhancement as it is, or once it has ended if that is within ``wait_s`` (at most 20)."""
        query = {"wait": wait_s} if wait_s else {}
        return read(Enhancement, self.caller.json(Call("GET", f"{ENHANCEMENTS}/{enhancement_id}", query=query)))

    def list(
        self,
        *,
        status: str | Sequence[str] = (),
        asset_id: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 50,
    ) -> Iterator[Enhancement]:
        """Yield enhancements, newest first; pages are fetched as they are needed.

        Parameters
        ----------
        status
            One or several; none: all.
        created_after, created_before
            Without a time zone they are this machine's local time.
        """
        query: dict[str, Any] = {
            "status": several(status) or None,
            "asset_id": asset_id,
            "created_after": _text(created_after),
            "created_before": _text(created_before),
        }
        return pages(self.caller, ENHANCEMENTS, Enhancement, page_size=page_size, query=query)

    def cancel(self, enhancement_id: str) -> Enhancement:
        """Cancel an enhancement, whether it waits or runs."""
        return read(Enhancement, self.caller.json(Call("POST", f"{ENHANCEMENTS}/{enhancement_id}/cancel")))

    def delete(self, enhancement_id: str) -> None:
        """Delete an enhancement that has ended, and its result; the recording stays."""
        self.caller.json(Call("DELETE", f"{ENHANCEMENTS}/{enhancement_id}"))

    def wait(
        self,
        enhancement_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: int = LONGEST_POLL_S,
        on_update: Callable[[Enhancement], None] | None = None,
    ) -> Enhancement:
        """Return an enhancement once it has ended, whichever way.

        Parameters
        ----------
        timeout_s
            None: for as long as it takes.
        poll_s
            Seconds that the service holds one call; shorter where ``on_update`` shall be told more often.

        Raises
        ------
        WaitTimeoutError
            It goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = poll_s if deadline is None else min(poll_s, max(0, round(deadline - time.monotonic())))
            seen = self.get(enhancement_id, wait_s=left_s)
            if on_update:
                on_update(seen)
            if seen.has_ended:
                return seen
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(f"enhancement {enhancement_id} has not ended within {timeout_s:.0f} s")
            if not left_s:
                self.caller.retry.sleep(PAUSE_S)

    def download(
        self,
        enhancement_id: str,
        to: str | os.PathLike[str],
        *,
        artifact: Artifact = "result",
        on_progress: Advance = silent,
    ) -> Path:
        """Save the result, or what was made beside it; the file is there whole or not at all.

        Parameters
        ----------
        to
            The file, or an existing folder in which it gets the name that it comes with.

        Returns
        -------
        Where it is.

        Raises
        ------
        ApiError
            There is no such thing (yet).
        StorageError, UnreachableError
            It did not come.
        OSError
            It cannot be written there.
        """
        return self._fetched(enhancement_id, artifact, lambda url: save(self.http, url, Path(to), on_progress))

    def report(self, enhancement_id: str) -> dict[str, Any]:
        """Return what was measured before and after. Raises as `download`."""
        data = self._fetched(enhancement_id, "report", lambda url: load(self.http, url))
        found: dict[str, Any] = httpx.Response(200, content=data).json()
        return found

    def _fetched(self, enhancement_id: str, artifact: Artifact, fetch: Callable[[str], T]) -> T:
        name = "download" if artifact == "result" else artifact
        retry = self.caller.retry
        for attempt in itertools.count(1):
            # A link of its own for every attempt: none is ever too old.
            link = self.caller.location(f"{ENHANCEMENTS}/{enhancement_id}/{name}")
            try:
                return fetch(link)
            except (StorageError, UnreachableError):
                if not retry.allows(attempt):
                    raise
                retry.sleep(retry.pause_s(attempt))
        raise AssertionError  # the loop has no end


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
