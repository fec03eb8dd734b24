"""What the benchmarks of the whole product compute from rows, clocks and files."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import soundfile as sf

from lambdas.core.jobs import Job
from scripts import bench_cloud, bench_fairness, bench_load
from tests.unit.world import World


def finished_jobs(ends_s: list[float]) -> list[Job]:
    """Return jobs asked for at one moment, each taken when the one before had ended, a second later."""
    world = World()
    client, _ = world.client()
    job = world.queued_job(client.id)
    start = job.requested_at
    taken_s = [0.0, *(end + 1 for end in ends_s)]
    return [
        replace(
            job,
            admitted_at=start + timedelta(seconds=taken),
            heartbeat_at=start + timedelta(seconds=taken + 0.5),
            finished_at=start + timedelta(seconds=end),
        )
        for taken, end in zip(taken_s, ends_s, strict=False)
    ]


def test_order_counts_who_was_overtaken() -> None:
    assert bench_fairness.out_of_order(finished_jobs([3, 6, 9])) == 0
    assert bench_fairness.out_of_order(finished_jobs([3, 9, 6])) == 1


def test_waits_are_counted_from_asking() -> None:
    wait = bench_fairness.Wait.of(finished_jobs([3, 6, 9]))
    assert (wait.running_s, wait.succeeded_s) == (4.5, 6)


def test_a_slot_lies_idle_between_an_end_and_the_next_admission() -> None:
    assert bench_load.turnarounds_s(finished_jobs([3, 6, 9]), at_once=1) == [1, 1]


def test_percentiles_are_of_the_calls() -> None:
    assert bench_load.percentile_ms([one / 1000 for one in range(1, 101)], 50) == pytest.approx(50.5)


def test_clips_differ_and_are_as_long_as_asked(tmp_path: Path) -> None:
    paths = bench_cloud.clips(tmp_path, number=3, duration_s=13)  # longer than the recording
    read = [sf.read(path) for path in paths]
    assert all(len(samples) == 13 * rate for samples, rate in read)
    assert len({samples.tobytes() for samples, _ in read}) == 3


def test_cpu_seconds_are_of_the_whole_family() -> None:
    assert 0 < bench_cloud.tree_cpu_s(os.getpid()) < 3600
    assert bench_cloud.tree_cpu_s(os.getpid()) <= bench_cloud.tree_cpu_s(os.getppid())
