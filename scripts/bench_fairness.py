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
from scripts.bench_cloud import SAMPLE, STRENGTHS, Bench, bench, clips, show, submit, submit_many, upload
from scripts.cli.rest import Api

CLIP_S = 3
ADOBES_WAY, OURS = 1, 5
"""Jobs of a client that may be in hand at once."""


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
    """Count neighbours in the order of submission of which the later one ended first."""
    ends = [job.finished_at for job in jobs if job.finished_at]
    return sum(later < earlier for earlier, later in pairwise(ends))


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
        b = running.sign_in("B")
        pairs = wanted([upload(b, recordings[0])])
        waits(running, b, pairs, 3)  # warm up
        alone = waits(running, b, pairs, arguments.samples)
        rows = [("B alone", alone.running_s, 1.0, alone.succeeded_s, 1.0)]
        disorder = {}
        for max_active in (ADOBES_WAY, OURS):
            a = running.sign_in(f"A, {max_active} at once", max_active=max_active)
            assets = [upload(a, recording) for recording in recordings]
            ids = submit_many(a, list(islice(wanted(assets), arguments.queued)), senders=1)
            beside = waits(running, b, pairs, arguments.samples)
            left = running.clients.clients.get(a.client_id)
            print(f"A, {max_active} at once: {left.queued if left else 0} of {len(ids)} still queued", file=sys.stderr)
            disorder[max_active] = out_of_order(running.finished(a.client_id, ids))
            rows.append(
                (
                    f"B beside A's {len(ids)}, A {max_active} at once",
                    beside.running_s,
                    beside.running_s / alone.running_s,
                    beside.succeeded_s,
                    beside.succeeded_s / alone.succeeded_s,
                )
            )
    show(
        f"One job of {CLIP_S} s, median of {arguments.samples}, report {arguments.report}",
        ("", "to running, s", "ratio", "to succeeded, s", "ratio"),
        rows,
    )
    show(
        f"Order of A's {arguments.queued} jobs",
        ("jobs at once", "ended before the one asked for earlier"),
        [(str(max_active), str(number)) for max_active, number in disorder.items()],
    )
    return 1 if disorder[ADOBES_WAY] else 0


if __name__ == "__main__":
    sys.exit(main())
