"""Many recordings with one call; one that fails stops no other."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cleartake_client.batches import MAX_ITEMS, Batches
from cleartake_client.errors import CleartakeError, RefusedItemError
from cleartake_client.flows import Flow, Prepared, Recording
from cleartake_client.models import Enhancement
from cleartake_client.requests import Wish
from cleartake_client.storage import Advance, silent

AT_ONCE = 4

Target = Callable[[Recording], Path]
"""Where a recording's result goes, as in `Enhancements.download`."""


@dataclass
class Outcome:
    """What becomes of one recording: its enhancement and the result's file, or the error that ended it."""

    recording: Recording
    advance: Advance = silent
    prepared: Prepared | None = None
    enhancement: Enhancement | None = None
    file: Path | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class Many:
    """The way of many recordings, with the same wish for all."""

    flow: Flow
    batches: Batches
    wish: Wish
    reference: str | None = None
    target: Target | None = None
    """None: nobody waits for the results."""

    def run(self, outcomes: Sequence[Outcome]) -> None:
        """Fill in what becomes of each."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cleartake-batch") as pool:
            self._each(pool, outcomes, self._prepare)
            going = iter([one for one in outcomes if one.error is None])
            while chunk := list(islice(going, MAX_ITEMS)):
                self._ask(chunk)
            self._each(pool, outcomes, self._send)
            if self.target is not None:
                self._each(pool, outcomes, self._finish)

    @staticmethod
    def _each(pool: ThreadPoolExecutor, outcomes: Sequence[Outcome], step: Callable[[Outcome], None]) -> None:
        def settle(one: Outcome) -> None:
            try:
                step(one)
            except (CleartakeError, OSError) as error:
                one.error = error

        list(pool.map(settle, [one for one in outcomes if one.error is None]))

    def _prepare(self, one: Outcome) -> None:
        one.prepared = self.flow.prepare(one.recording, self.wish, one.advance)

    def _ask(self, chunk: Sequence[Outcome]) -> None:
        wanted = [(one.prepared.source, self.wish) for one in chunk if one.prepared]
        try:
            batch = self.batches.create(wanted, reference=self.reference)
        except CleartakeError as error:
            for one in chunk:
                one.error = error
            return
        for one, item in zip(chunk, batch.items, strict=True):
            one.enhancement = item.enhancement
            one.error = RefusedItemError(item) if item.enhancement is None else None

    def _send(self, one: Outcome) -> None:
        if one.prepared and one.enhancement:
            self.flow.send(one.prepared, one.enhancement, one.advance)

    def _finish(self, one: Outcome) -> None:
        if one.enhancement is None or self.target is None:
            return
        one.enhancement = self.flow.finish(one.enhancement, advance=one.advance)
        one.file = self.flow.enhancements.download(
            one.enhancement.id, self.target(one.recording), on_progress=one.advance
        )
