"""``make bench-fairness``: what one client's long queue costs another, and Adobe's order with one job at a time.

Client B asks for one short job at a time: first alone, then while client A has hundreds queued. Times are the rows'
own: asked for, first heartbeat of the worker, end. Runs on a cloud of its own, which goes again.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, product
from pathlib import Path

from lambdas.core.jobs import Job
from scripts.adobe_api import Api
from scripts.bench_cloud import SAMPLE, STRENGTHS, Bench, bench, clips, show, submit, submit_many, upload

CLIP_S = 3
WARM_UP = 3


@dataclass(frozen=True)
class Case:
    """How many of A's jobs may be in hand at once, and how many of all; None leaves twice what the lane works on."""

    max_active: int
    slots_of_all: int | None = None

    def __str__(self) -> str:
        slots = f", {self.slots_of_all} slots of all" if self.slots_of_all else ""
        return f"{self.max_active} at once{slots}"


ADOBES_WAY = Case(1)
SLOTS_OF_TWO_GPUS = 16
CASES = (ADOBES_WAY, Case(5), Case(5, SLOTS_OF_TWO_GPUS))
"""Adobe's behaviour; the default; far more slots than the lane has use for."""


@dataclass(frozen=True)
class Work:
    """What A queues and how often B asks."""

    recordings: Sequence[Path]
    queued: int
    samples: int


@dataclass(frozen=True)
class Wait:
    """How long jobs waited, medians in seconds."""

    running_s: float
    succeeded_s: float

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> "Wait":
        """Take it from the rows; a short job beats once, when it begins."""
        begun = [(job.heartbeat_at - job.requested_at).total_seconds() for job in jobs if job.heartbeat_at]
        ended = [(job.finished_at - job.requested_at).total_seconds() for job in jobs if job.finished_at]
        return cls(statistics.median(begun), statistics.median(ended))


def wanted(assets: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield (asset, strength), each once."""
    yield from ((asset, strength) for strength, asset in product(STRENGTHS, assets))


def waits(running: Bench, api: Api, pairs: Iterator[tuple[str, int]], number: int) -> Wait:
    """Ask for ``number`` jobs, each when the one before has ended."""
    return Wait.of([running.finished(api.client_id, [submit(api, *pair)])[0] for pair in islice(pairs, number)])


def out_of_order(jobs: Sequence[Job]) -> int:
    """Count neighbours in the order of submission of which the later one did not end later."""
    ends = [job.finished_at for job in jobs if job.finished_at]
    return sum(later <= earlier for earlier, later in pairwise(ends))


def beside(running: Bench, case: Case, b: Api, pairs: Iterator[tuple[str, int]], work: Work) -> tuple[Wait, int]:
    """Return B's wait while A's jobs are queued, and how many of A's ended out of order."""
    if case.slots_of_all:
        running.configure("Admit", CLEARTAKE_MAX_ACTIVE_TOTAL=str(case.slots_of_all))
    a = running.sign_in(f"A, {case}", max_active=case.max_active)
    assets = [upload(a, recording) for recording in work.recordings]
    ids = submit_many(a, list(islice(wanted(assets), work.queued)), senders=1)
    wait = waits(running, b, pairs, work.samples)
    client = running.clients.clients.get(a.client_id)
    if client is None or not client.queued:
        raise RuntimeError("A's queue ran dry before B had measured: queue more, or fewer samples")
    return wait, out_of_order(running.finished(a.client_id, ids))


def main() -> int:
    """Print the tables; the exit code is 1 where Adobe's order does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--audio", type=Path, default=SAMPLE)
    parser.add_argument("--queued", type=int, default=200, help="jobs of client A (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=9, help="jobs of client B each time (default: %(default)s)")
    parser.add_argument("--report", default="none", choices=("none", "basic", "full"), help="(default: %(default)s)")
    arguments = parser.parse_args()
    with bench() as running, tempfile.TemporaryDirectory() as folder:
        running.configure("Dispatch", CLEARTAKE_REPORT=arguments.report)
        recordings = clips(Path(folder), number=3, duration_s=CLIP_S, source=arguments.audio)
        work = Work(recordings, arguments.queued, arguments.samples)
        b = running.sign_in("B")
        pairs = wanted([upload(b, recordings[0])])
        waits(running, b, pairs, WARM_UP)
        alone = waits(running, b, pairs, arguments.samples)
        found = {case: beside(running, case, b, pairs, work) for case in CASES}
    show(
        f"B's one job of {CLIP_S} s, median of {arguments.samples}, while A has {arguments.queued} queued",
        ("", "to running, s", "ratio", "to succeeded, s", "ratio", "A's jobs that overtook"),
        [
            ("B alone", alone.running_s, 1.0, alone.succeeded_s, 1.0, ""),
            *((f"A: {case}", *_ratios(wait, alone), str(overtook)) for case, (wait, overtook) in found.items()),
        ],
    )
    return 1 if found[ADOBES_WAY][1] else 0


def _ratios(wait: Wait, alone: Wait) -> tuple[float, ...]:
    return (
        wait.running_s,
        wait.running_s / alone.running_s,
        wait.succeeded_s,
        wait.succeeded_s / alone.succeeded_s,
    )


if __name__ == "__main__":
    sys.exit(main())
