"""``make load``: what the product adds to the engine, and how both grow. Runs on a cloud of its own, which goes again.

Three tables: the API's calls under several clients at once; jobs at saturation beside the engine alone on the same
clips in the same run; queues of 10, 100 and 1,000 jobs. CPU seconds are split into the emulator's own, its functions'
(the product's handlers) and the lane's (the container). Times of a busy machine wander; ratios of one run do not.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Any

from gpu_container.contract import Dereverb, ReportLevel
from gpu_container.engine.enhancer import Enhancer
from gpu_container.engine.models import load_model
from gpu_container.engine.pipeline import EnhanceOptions, enhance_file
from gpu_container.engine.wet import FolderWet
from lambdas.core.clients import DEFAULT_MAX_ACTIVE
from lambdas.core.jobs import Job
from scripts.adobe_api import Access, Api
from scripts.bench_cloud import (
    ASSETS,
    SAMPLE,
    STRENGTHS,
    Bench,
    bench,
    clips,
    show,
    submit,
    submit_many,
    tree_cpu_s,
    upload,
)
from scripts.local.paths import lane_concurrency

SHORT_S = 3
STRENGTH = 90
WARM_UP = 10
AT_ONCE = min(DEFAULT_MAX_ACTIVE, 2 * lane_concurrency())
"""A client's jobs in hand: the default, or all the slots there are."""

Call = Callable[[], Any]


@dataclass
class Spent:
    """What a stretch of the run took: wall seconds, and CPU seconds by part."""

    wall_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def counting(self, cpu_s: Callable[[], dict[str, float]]) -> Iterator[None]:
        """Add what is spent inside."""
        began_s, before = time.perf_counter(), cpu_s()
        yield
        after = cpu_s()
        self.wall_s += time.perf_counter() - began_s
        self.cpu_s = {name: self.cpu_s.get(name, 0.0) + after[name] - before[name] for name in after}


# --- calls


def percentile_ms(seconds: Sequence[float], percent: int) -> float:
    """Return the time that ``percent`` of the calls did not pass."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000


def seconds_of(calls: Sequence[Sequence[Call]]) -> list[float]:
    """Make the calls, each sequence in a thread of its own, one after the other; returns what each took."""

    def one_by_one(own: Sequence[Call]) -> list[float]:
        return [_seconds(call) for call in own]

    with ThreadPoolExecutor(len(calls)) as pool:
        return [one for own in pool.map(one_by_one, calls) for one in own]


def _seconds(call: Call) -> float:
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


def calls_table(running: Bench, clip: Path, counts: Sequence[int], per_client: int) -> list[tuple[Any, ...]]:
    """Measure each route with so many clients at once; their jobs wait, so that no work disturbs the calls."""
    rows: list[tuple[Any, ...]] = []
    for count in counts:
        apis = [running.sign_in(f"caller {one}", max_active=0) for one in range(count)]
        assets = [upload(api, clip) for api in apis]
        pairs = list(zip(apis, assets, strict=True))
        routes = _routes(running, clip, pairs, per_client)
        for name in ("GET asset", "POST token"):  # so many functions are started first
            seconds_of([calls[:WARM_UP] for calls in routes[name]])
        for name, calls in routes.items():
            spent = Spent()
            with spent.counting(running.cpu_s):
                seconds = seconds_of(calls)
            ours_s = spent.cpu_s["functions"]
            emulator_s = spent.cpu_s["emulator"] + spent.cpu_s["edge"]
            rows.append(
                (
                    name,
                    str(count),
                    len(seconds) / spent.wall_s,
                    *(percentile_ms(seconds, percent) for percent in (50, 95, 99)),
                    ours_s / len(seconds) * 1000,
                    emulator_s / len(seconds) * 1000,
                )
            )
    return rows


def _routes(
    running: Bench, clip: Path, pairs: Sequence[tuple[Api, str]], number: int
) -> dict[str, Sequence[Sequence[Call]]]:
    strengths = STRENGTHS[:number]
    jobs: dict[str, list[str]] = {asset: [] for _, asset in pairs}

    def ask(api: Api, asset: str, strength: int) -> None:
        jobs[asset].append(submit(api, asset, strength))

    def look(api: Api, asset: str, index: int) -> None:
        api.call("GET", f"{ASSETS}/{asset}/speech_enhancements/{jobs[asset][index]}")

    secrets = [(api, running.clients.rotate(api.client_id)) for api, _ in pairs]
    who = [Access(api.base_url, api.client_id, secret) for api, secret in secrets]
    return {
        "POST asset": [[lambda api=api: api.create_asset(clip, "audio/wav") for _ in strengths] for api, _ in pairs],  # type: ignore[misc]
        "GET asset": [
            [lambda api=api, asset=asset: api.call("GET", f"{ASSETS}/{asset}") for _ in strengths]  # type: ignore[misc]
            for api, asset in pairs
        ],
        "POST enhancement": [
            [lambda api=api, asset=asset, one=one: ask(api, asset, one) for one in strengths]  # type: ignore[misc]
            for api, asset in pairs
        ],
        "GET job": [
            [lambda api=api, asset=asset, one=one: look(api, asset, one) for one in range(len(strengths))]  # type: ignore[misc]
            for api, asset in pairs
        ],
        "POST token": [
            [lambda access=access: Api.sign_in(running.http, access) for _ in strengths[: number // 4]]  # type: ignore[misc]
            for access in who
        ],
    }


# --- saturation


def engine_alone(model: Enhancer, recordings: Sequence[Path], report: ReportLevel, spent: Spent) -> None:
    """Do the same work as the lane: the same options, and the wet track kept."""
    options = EnhanceOptions(strength=STRENGTH, dereverb=Dereverb.AUTO, report=report)
    with tempfile.TemporaryDirectory() as folder, spent.counting(lambda: {"engine": tree_cpu_s(os.getpid())}):
        for recording in recordings:
            keep = Path(folder) / recording.stem
            keep.mkdir()
            enhance_file(recording, keep / "out.wav", model=model, options=options, wet=FolderWet(keep))


def saturated(running: Bench, api: Api, recordings: Sequence[Path], spent: Spent) -> None:
    """Enhance fresh uploads, as many at once as the client may."""
    assets = [upload(api, recording) for recording in recordings]
    with spent.counting(running.cpu_s):
        running.finished(api.client_id, submit_many(api, [(asset, STRENGTH) for asset in assets]))


def saturation_table(
    running: Bench, folder: Path, source: Path, *, durations_s: Sequence[int], number: int, rounds: int
) -> list[tuple[Any, ...]]:
    """Measure engine and product in turns, with and without the full report."""
    model, rows = load_model("dfn3"), []
    api = running.sign_in("saturation", max_active=AT_ONCE)
    for duration_s, report in product(durations_s, (ReportLevel.NONE, ReportLevel.BASIC, ReportLevel.FULL)):
        (folder / str(duration_s)).mkdir(exist_ok=True)
        recordings = clips(folder / str(duration_s), number=number, duration_s=duration_s, source=source)
        running.configure("Dispatch", CLEARTAKE_REPORT=report.value)
        alone, product_ = Spent(), Spent()
        engine_alone(model, recordings[:1], report, Spent())  # warm up
        saturated(running, api, recordings[:AT_ONCE], Spent())
        for _ in range(rounds):
            engine_alone(model, recordings, report, alone)
            saturated(running, api, recordings, product_)
        rows.append(_compared(f"{duration_s} s, {report.value}", number * rounds, alone, product_))
    return rows


def _compared(name: str, jobs: int, alone: Spent, whole: Spent) -> tuple[Any, ...]:
    engine_s, parts = alone.cpu_s["engine"], whole.cpu_s
    return (
        name,
        60 * jobs / alone.wall_s,
        60 * jobs / whole.wall_s,
        alone.wall_s / whole.wall_s,
        engine_s / jobs,
        parts["sagemaker"] / jobs,
        parts["functions"] / jobs,
        parts["emulator"] / jobs,
        (parts["sagemaker"] + parts["functions"]) / engine_s,
        sum(parts.values()) / engine_s,
    )


# --- growth


def growth_table(running: Bench, clip: Path, sizes: Sequence[int]) -> list[tuple[Any, ...]]:
    """Queue so many jobs, look at them, then let them run."""
    running.configure("Dispatch", CLEARTAKE_REPORT=ReportLevel.NONE.value)
    _grown(running, clip, WARM_UP)
    return [_grown(running, clip, size) for size in sizes]


def _grown(running: Bench, clip: Path, size: int) -> tuple[Any, ...]:
    api = running.sign_in(f"queue of {size}", max_active=0)
    assets = [upload(api, clip) for _ in range(-(-size // len(STRENGTHS)))]
    wanted = list(islice(product(assets, STRENGTHS), size))
    ids: list[str] = []
    posts = [_seconds(lambda pair=pair: ids.append(submit(api, *pair))) for pair in wanted]  # type: ignore[misc]
    last = running.jobs.find(ids[-1])
    place_s = _seconds(lambda: running.jobs.queue_position(last))
    list_s = _seconds(lambda: running.jobs.list(client_id=api.client_id))
    status_s = _seconds(lambda: running.jobs.work(now=running.clients.clock.now()))
    spent = Spent()
    with spent.counting(running.cpu_s):
        running.let_run(api, AT_ONCE)
        jobs = running.finished(api.client_id, ids)
    return (
        str(size),
        statistics.median(posts[-20:]) * 1000,
        statistics.median(turnarounds_s(jobs, AT_ONCE)) * 1000,
        spent.wall_s / size * 1000,
        spent.cpu_s["functions"] / size * 1000,
        spent.cpu_s["sagemaker"] / size * 1000,
        spent.cpu_s["emulator"] / size * 1000,
        place_s * 1000,
        list_s * 1000,
        status_s * 1000,
    )


def turnarounds_s(jobs: Sequence[Job], at_once: int) -> list[float]:
    """Return how long each slot that came free lay idle until the next job had it."""
    ends = sorted(job.finished_at for job in jobs if job.finished_at)
    taken = sorted(job.admitted_at for job in jobs if job.admitted_at)[at_once:]
    return [(start - end).total_seconds() for end, start in zip(ends, taken, strict=False)]


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--audio", type=Path, default=SAMPLE)
    parser.add_argument("--only", choices=("calls", "saturation", "growth"), help="one table instead of three")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--calls", type=int, default=100, help="of each client to each route (default: %(default)s)")
    parser.add_argument("--durations", type=int, nargs="+", default=[3, 60], help="of the clips [s]")
    parser.add_argument("--jobs", type=int, default=10, help="at saturation, in each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="engine and product in turns (default: %(default)s)")
    parser.add_argument("--queued", type=int, nargs="+", default=[10, 100, 1000])
    arguments = parser.parse_args()
    with bench() as running, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (clip,) = clips(folder, number=1, duration_s=SHORT_S, source=arguments.audio)
        if arguments.only in {None, "calls"}:
            show(
                f"API: {arguments.calls} calls of each client, a quarter as many for tokens; ms",
                ("route", "clients", "calls/s", "p50", "p95", "p99", "CPU: functions", "emulator"),
                calls_table(running, clip, arguments.clients, arguments.calls),
            )
        if arguments.only in {None, "saturation"}:
            rows = saturation_table(
                running,
                folder,
                arguments.audio,
                durations_s=arguments.durations,
                number=arguments.jobs,
                rounds=arguments.rounds,
            )
            show(
                f"Saturation: {arguments.jobs} fresh clips, {arguments.rounds} rounds; CPU s a job",
                (
                    "clip, report",
                    "engine, files/min",
                    "product, jobs/min",
                    "ratio",
                    "CPU: engine",
                    "lane",
                    "functions",
                    "emulator",
                    "ours / engine",
                    "all / engine",
                ),
                rows,
            )
        if arguments.only in {None, "growth"}:
            show(
                f"Growth: jobs of {SHORT_S} s, no report, ms; CPU ms a job",
                (
                    "queued",
                    "POST",
                    "slot idle",
                    "total a job",
                    "CPU: functions",
                    "lane",
                    "emulator",
                    "place in queue",
                    "list of 50",
                    "status",
                ),
                growth_table(running, clip, arguments.queued),
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
