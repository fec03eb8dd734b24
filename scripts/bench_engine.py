"""``make bench-engine``: CPU seconds per second of audio, ours beside the official runtimes.

Same audio, one run. Rounds are interleaved and the median counts: machines are noisy. CPU time is of the whole
process, all threads.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from rich.console import Console
from rich.table import Table

from gpu_container.engine.ensemble import Enhancer
from gpu_container.engine.models import load_model
from gpu_container.engine.stft import RATE_HZ
from scripts.peers import RustRuntime, Signal, SlimRuntime, difference_db
from scripts.recordings import read

BATCHES = (1, 8, 16)


@dataclass(frozen=True)
class Runner:
    """One thing to measure; ``streams`` recordings at once."""

    name: str
    streams: int
    run: Callable[[Signal], Signal]


def read_mono(path: Path, duration_s: float) -> Signal:
    """Return a recording at 48 kHz, repeated or cut to ``duration_s``, ``(n,)``."""
    recording, rate_hz = read(path)
    signal = np.asarray(soxr.resample(recording[0], rate_hz, RATE_HZ), np.float32)
    length = int(duration_s * RATE_HZ)
    return np.tile(signal, -(-length // len(signal)))[:length]


def runners() -> list[Runner]:
    """Return ours, alone and in batches, and the peers."""
    model = load_model("dfn3")
    larger = load_model("dfn3-ll")
    ours = [Runner(f"ours, dfn3, {streams} at once", streams, _batch(model, streams)) for streams in BATCHES]
    peers = [Runner(peer.name, 1, peer.enhance) for peer in (SlimRuntime(), RustRuntime())]
    return [*ours, Runner("ours, dfn3-ll, 1 at once", 1, lambda signal: larger.enhance(signal[None])[0]), *peers]


def _batch(model: Enhancer, streams: int) -> Callable[[Signal], Signal]:
    """Return the enhancement of ``streams`` copies at once."""
    return lambda signal: model.enhance(np.tile(signal, (streams, 1)))[0]


def measure(all_runners: list[Runner], signal: Signal, rounds: int) -> tuple[list[float], list[Signal]]:
    """Return, per runner, the median CPU seconds per second of audio and its output."""
    duration_s = len(signal) / RATE_HZ
    outputs = [runner.run(signal[: 2 * RATE_HZ]) for runner in all_runners]  # warm up
    costs: list[list[float]] = [[] for _ in all_runners]
    for _ in range(rounds):
        for index, runner in enumerate(all_runners):
            start = time.process_time()
            outputs[index] = runner.run(signal)
            costs[index].append((time.process_time() - start) / (duration_s * runner.streams))
    return [statistics.median(cost) for cost in costs], outputs


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, default=Path("samples/librivox-noisy.mp3"))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    signal = read_mono(arguments.audio, arguments.seconds)
    measured = runners()
    costs, outputs = measure(measured, signal, arguments.rounds)
    slim = next(index for index, runner in enumerate(measured) if runner.name == SlimRuntime.name)
    table = Table(title=f"{arguments.audio.name}, {arguments.seconds:.0f} s, median of {arguments.rounds} rounds")
    for column in ("", "CPU s per audio s", "x slim", "difference to slim [dB]"):
        table.add_column(column, justify="left" if not column else "right")
    for index, (runner, cost, output) in enumerate(zip(measured, costs, outputs, strict=True)):
        difference = "" if index == slim else f"{difference_db(output, outputs[slim]):.0f}"
        table.add_row(runner.name, f"{cost:.4f}", f"{costs[slim] / cost:.1f}", difference)
    Console().print(table)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process, all models and batches: {peak_mib:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
