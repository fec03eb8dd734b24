"""``make bench-engine``: CPU seconds per second of audio and memory, ours beside the official runtimes.

Same audio, one run. Rounds are interleaved and the median counts: machines are noisy. CPU time is of the whole process,
all threads; memory is the peak of a process that runs nothing else. ``--growth 600 3600 36000`` instead runs recordings
of so many seconds, synthesised on the way, through the lanes: neither cost may grow with the length.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import soxr
from rich.console import Console
from rich.table import Table

from gpu_container.engine.batching import Batcher
from gpu_container.engine.enhancer import Enhancer, SignalStream
from gpu_container.engine.lanes import LaneStream
from gpu_container.engine.models import load_model
from gpu_container.engine.stft import RATE_HZ
from scripts.peers import RustRuntime, Signal, SlimRuntime, difference_db
from scripts.recordings import read

Run = Callable[[Signal], Signal]

WARM_UP_S = 2
WIDTH = 110
LONG_S = 420
"""Two windows of lanes; a recording this long is what they are for."""


@dataclass(frozen=True)
class Runner:
    """One thing to measure.

    Attributes
    ----------
    prepare
        Loads what it needs; returns what takes ``(n,)`` and returns as much, enhanced.
    streams
        Recordings that one call enhances.
    minimum_s
        The signal is repeated until it is this long.
    """

    name: str
    prepare: Callable[[], Run]
    streams: int = 1
    minimum_s: float = 0.0

    def signal(self, signal: Signal) -> Signal:
        """Return what it is measured on, ``(n,)``."""
        return np.tile(signal, max(1, -(-int(self.minimum_s * RATE_HZ) // len(signal))))


@dataclass(frozen=True)
class Cost:
    """Per second of audio."""

    cpu: float
    wall: float


def read_mono(path: Path, duration_s: float) -> Signal:
    """Return a recording at 48 kHz, repeated or cut to ``duration_s``, ``(n,)``."""
    recording, rate_hz = read(path)
    signal = np.asarray(soxr.resample(recording[0], rate_hz, RATE_HZ), np.float32)
    length = int(duration_s * RATE_HZ)
    return np.tile(signal, -(-length // len(signal)))[:length]


def runners() -> list[Runner]:
    """Return the peers and ours: alone, in batches, one long file in lanes, many at once."""
    peers = [Runner(peer.name, lambda peer=peer: peer().enhance) for peer in (SlimRuntime, RustRuntime)]  # type: ignore[misc]
    batches = [Runner(f"dfn3, batch of {size}", partial(_batch, "dfn3", size), size) for size in (1, 8, 16)]
    large = [
        Runner("dfn3-ll, batch of 1", partial(_batch, "dfn3-ll", 1)),
        Runner("dfn3-hq, batch of 1", partial(_batch, "dfn3-hq", 1)),
    ]
    lanes = [
        Runner(f"{model}, {LONG_S // 60} min in lanes, --jobs {jobs}", partial(_lanes, model, jobs), 1, LONG_S)
        for model, jobs in (("dfn3", 1), ("dfn3", 2), ("dfn3-hq", 1))
    ]
    threads = [
        Runner(f"dfn3, {count} at once{', batched' * batched}", partial(_threads, count, batched=batched), count)
        for count in (1, 4, 16)
        for batched in (False, True)
    ]
    return [*peers, *batches, *large, *lanes, *threads]


@cache
def _model(name: str) -> Enhancer:
    return load_model(name)


def _batch(model: str, streams: int) -> Run:
    """Return the enhancement of ``streams`` copies side by side."""
    loaded = _model(model)
    return lambda signal: loaded.enhance(np.tile(signal, (streams, 1)))[0]


def _lanes(model: str, jobs: int) -> Run:
    """Return the enhancement of one long recording, whose answer nobody keeps."""
    loaded = _model(model)

    def run(signal: Signal) -> Signal:
        for _ in _pieces(LaneStream(loaded, 1, jobs=jobs), signal):
            pass
        return signal[:0]

    return run


def _threads(count: int, *, batched: bool) -> Run:
    """Return the enhancement of ``count`` copies, each in a thread of its own."""
    model: Enhancer = Batcher(_model("dfn3")) if batched else _model("dfn3")

    def one(signal: Signal) -> Signal:
        enhanced: Signal = np.concatenate(list(_pieces(model.stream(1), signal)), axis=1)[0]
        return enhanced

    def run(signal: Signal) -> Signal:
        with ThreadPoolExecutor(count) as pool:
            outputs = list(pool.map(one, [signal] * count))
        return outputs[0]

    return run


def _pieces(stream: SignalStream, signal: Signal) -> Iterator[Signal]:
    """Run ``(n,)`` through a stream second by second; yield what comes out, ``(1, m)``."""
    for start in range(0, len(signal), RATE_HZ):
        yield stream.process(signal[None, start : start + RATE_HZ])
    yield stream.finish()


def measure(all_runners: list[Runner], signal: Signal, rounds: int) -> tuple[list[Cost], list[Signal]]:
    """Return, per runner, the median cost and its output."""
    prepared = [runner.prepare() for runner in all_runners]
    outputs = [run(signal[: WARM_UP_S * RATE_HZ]) for run in prepared]
    costs: list[list[Cost]] = [[] for _ in all_runners]
    for _ in range(rounds):
        for index, (runner, run) in enumerate(zip(all_runners, prepared, strict=True)):
            recording = runner.signal(signal)
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            outputs[index] = run(recording)
            audio_s = runner.streams * len(recording) / RATE_HZ
            cost = Cost((time.process_time() - cpu_s) / audio_s, (time.perf_counter() - wall_s) / audio_s)
            costs[index].append(cost)
    medians = [
        Cost(statistics.median(cost.cpu for cost in own), statistics.median(cost.wall for cost in own)) for own in costs
    ]
    return medians, outputs


def peak_mib() -> float:
    """Return this process's peak of resident memory; what its parent used does not count."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_kib = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return int(peak_kib) / 1024


def _in_a_process_of_its_own(*arguments: str) -> dict[str, float]:
    """Run this script again for one figure, and return what it prints."""
    command = [sys.executable, "-m", "scripts.bench_engine", *arguments]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer


def synthesised(duration_s: int) -> Iterator[Signal]:
    """Yield ``(1, RATE_HZ)`` per second: voiced syllables in noise, none of it kept."""
    rng = np.random.default_rng(0)
    time_s = np.arange(RATE_HZ) / RATE_HZ
    noise = (0.02 * rng.standard_normal(2 * RATE_HZ)).astype(np.float32)
    for _ in range(duration_s):
        pitch_hz = rng.uniform(90, 220)
        tone = np.sum([np.sin(2 * np.pi * k * pitch_hz * time_s) / k for k in range(1, 8)], axis=0)
        voice = 0.1 * np.abs(np.sin(2 * np.pi * rng.uniform(2, 4) * time_s)) * tone
        start = rng.integers(RATE_HZ)
        yield (voice + noise[start : start + RATE_HZ]).astype(np.float32)[None]


def grow(duration_s: int, model: str) -> dict[str, float]:
    """Run a recording of ``duration_s`` through the lanes; return CPU seconds per audio second and peak memory."""
    stream = LaneStream(_model(model), 1)
    cpu_s = 0.0
    for second in synthesised(duration_s):
        start = time.process_time()
        stream.process(second)
        cpu_s += time.process_time() - start
    start = time.process_time()
    stream.finish()
    cpu_s += time.process_time() - start
    return {"cpu": cpu_s / duration_s, "peak_mib": peak_mib()}


def print_growth(durations_s: list[int], model: str) -> None:
    """Print a row per length."""
    table = Table(title=f"{model}, one synthesised recording in lanes")
    for column in ("seconds", "CPU s per audio s", "peak MiB"):
        table.add_column(column, justify="right")
    for duration_s in durations_s:
        grown = _in_a_process_of_its_own("--grow-one", str(duration_s), "--model", model)
        table.add_row(str(duration_s), f"{grown['cpu']:.4f}", f"{grown['peak_mib']:.0f}")
    Console(width=WIDTH).print(table)


def print_comparison(audio: Path, seconds: float, rounds: int) -> None:
    """Print a row per runner."""
    signal = read_mono(audio, seconds)
    measured = runners()
    costs, outputs = measure(measured, signal, rounds)
    slim = next(index for index, runner in enumerate(measured) if runner.name == SlimRuntime.name)
    table = Table(title=f"{audio.name}, {seconds:.0f} s, median of {rounds} rounds")
    for column in ("", "CPU s per audio s", "x slim", "wall s per audio s", "difference to slim [dB]", "peak MiB"):
        table.add_column(column, justify="left" if not column else "right")
    for index, (runner, cost, output) in enumerate(zip(measured, costs, outputs, strict=True)):
        same = index != slim and "dfn3-" not in runner.name and not runner.minimum_s
        difference = f"{difference_db(output, outputs[slim]):.0f}" if same else ""
        peak = _in_a_process_of_its_own("--peak", str(index), "--audio", str(audio), "--seconds", str(seconds))
        row = [f"{cost.cpu:.4f}", f"{costs[slim].cpu / cost.cpu:.1f}", f"{cost.wall:.4f}", difference]
        table.add_row(runner.name, *row, f"{peak['peak_mib']:.0f}")
    Console(width=WIDTH).print(table)


def main() -> int:
    """Print a table, or one figure for the process that prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, default=Path("samples/librivox-noisy.mp3"))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, nargs="+", metavar="SECONDS")
    parser.add_argument("--model", default="dfn3")
    parser.add_argument("--grow-one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.growth:
        print_growth(arguments.growth, arguments.model)
    elif arguments.grow_one:
        print(json.dumps(grow(arguments.grow_one, arguments.model)))
    elif arguments.peak is not None:
        runner = runners()[arguments.peak]
        runner.prepare()(runner.signal(read_mono(arguments.audio, arguments.seconds)))
        print(json.dumps({"peak_mib": peak_mib()}))
    else:
        print_comparison(arguments.audio, arguments.seconds, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
