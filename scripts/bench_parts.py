"""How far a recording made in parts is from the same recording made in one go, and what that costs.

``python -m scripts.bench_parts FILE --seconds 750``: wet tracks against wet tracks, so that nothing but the engine
counts. Errors are relative to the whole recording's enhanced level, over all of it and in the second after each seam.
``--exact`` adds the network's own answer, without lanes: the distance between two of the three says how much of an
error is the parts'. ``--clean`` says against the clean speech whether an error is a loss. In constant memory.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import soxr
from rich.console import Console
from rich.table import Table

from gpu_container.contract import Dereverb, Part
from gpu_container.engine.audio_io import decode
from gpu_container.engine.blocks import BlockQueue
from gpu_container.engine.byte_io import FileSink, FileSource
from gpu_container.engine.enhancer import Enhancer, NetworkStream
from gpu_container.engine.formats import AudioFormat
from gpu_container.engine.models import load_model
from gpu_container.engine.parts import enhance_part
from gpu_container.engine.pipeline import EnhanceOptions, enhance
from gpu_container.engine.stft import Real
from gpu_container.engine.wet import OVERLAP_S, FolderWet, WetParts, WetStore, kept_track

PESQ_RATE_HZ: Final = 16_000
PESQ_S: Final = 8
"""What PESQ hears around a seam, two seconds before it included."""


class Alone:
    """A model whose streams are never cut into lanes."""

    rows = 1

    def __init__(self, model: Enhancer) -> None:
        self._model = model
        self.name, self.provider = model.name, model.provider

    def stream(self, channels: int) -> NetworkStream:
        """Return the model's own."""
        return self._model.stream(channels)

    def enhance(self, signal: Real) -> Real:
        """Do as the model does."""
        return self._model.enhance(signal)


@dataclass
class Differences:
    """Two answers, compared second by second."""

    rate_hz: int
    error: list[float] = field(default_factory=list)
    power: list[float] = field(default_factory=list)

    def add(self, one: Real, other: Real) -> None:
        """Take a second of each, ``(channels, n)``."""
        self.error.append(_power(one - other) / self.rate_hz)
        self.power.append(_power(one) / self.rate_hz)

    @property
    def worst_second(self) -> int:
        """Where the error is largest."""
        return int(np.argmax(self.error))

    def overall_db(self) -> float:
        """Return the error of all of it."""
        return _db(sum(self.error), sum(self.power))

    def second_db(self, second: int) -> float:
        """Return the error in one second, relative to the mean level of all of them."""
        return _db(self.error[second], sum(self.power) / len(self.power))

    def percentile_db(self, percent: float) -> float:
        """Return the same for the second that so many are no worse than."""
        return _db(float(np.percentile(self.error, percent)), sum(self.power) / len(self.power))


@dataclass
class Distortion:
    """Scale-invariant signal-to-distortion ratio of the first channel, summed up on the way."""

    wanted: float = 0.0
    heard: float = 0.0
    both: float = 0.0

    def add(self, answer: Real, clean: Real) -> None:
        """Take aligned ``(channels, n)``."""
        estimate, target = answer[0].astype(np.float64), clean[0].astype(np.float64)
        self.wanted += float(target @ target)
        self.heard += float(estimate @ estimate)
        self.both += float(estimate @ target)

    def si_sdr_db(self) -> float:
        """Return the ratio."""
        explained = self.both**2 / self.wanted
        return _db(explained, self.heard - explained)


def compare(found: AudioFormat, one: WetStore | WetParts, other: WetStore | WetParts) -> Differences:
    """Hold two kept tracks of one recording against each other."""
    differences = Differences(found.rate_hz)
    for first, second in _side_by_side(found, kept(one, found), kept(other, found)):
        differences.add(first, second)
    return differences


def distortion(found: AudioFormat, track: WetStore | WetParts, clean: Path) -> float:
    """Return a kept track's SI-SDR against the clean recording, in dB."""
    measured = Distortion()
    for answer, wanted in _side_by_side(found, kept(track, found), _decoded(clean)):
        measured.add(answer, wanted)
    return measured.si_sdr_db()


def pesq_at(found: AudioFormat, track: WetStore | WetParts, clean: Path, seams_s: list[int]) -> list[float]:
    """Return PESQ (wide band) around each seam; needs ``pesq``, which is in the quality bench's environment only."""
    from pesq import pesq  # type: ignore[import-not-found]  # noqa: PLC0415

    windows: dict[int, list[tuple[Real, Real]]] = {seam_s: [] for seam_s in seams_s}
    for second, pair in enumerate(_side_by_side(found, kept(track, found), _decoded(clean))):
        for seam_s, window in windows.items():
            if -2 <= second - seam_s < PESQ_S - 2:
                window.append((pair[0][:1], pair[1][:1]))
    scores = []
    for window in windows.values():
        answer, wanted = (np.concatenate(side, axis=1)[0] for side in zip(*window, strict=True))
        heard = [soxr.resample(signal, found.rate_hz, PESQ_RATE_HZ) for signal in (wanted, answer)]
        scores.append(float(pesq(PESQ_RATE_HZ, *heard, "wb")))
    return scores


def kept(track: WetStore | WetParts, found: AudioFormat) -> Iterator[Real]:
    """Yield a kept track's blocks."""
    with kept_track(track, found) as blocks:
        if blocks is None:
            raise ValueError("nothing is kept")
        yield from blocks


def make_whole(source: Path, model: Enhancer, folder: Path, options: EnhanceOptions) -> WetStore:
    """Enhance a recording in one go; return its wet track."""
    folder.mkdir()
    store = FolderWet(folder)
    with FileSource(source) as opened, FileSink(folder / "result") as sink:
        enhance(opened, sink, model=model, options=options, wet=store)
    return store


def make_part(source: Path, part: Part, model: Enhancer, folder: Path, options: EnhanceOptions) -> WetStore:
    """Make one part's wet track."""
    folder.mkdir()
    store = FolderWet(folder)
    with FileSource(source) as opened:
        enhance_part(opened, part, model=model, dereverb=options.dereverb, wet=store, jobs=options.jobs)
    return store


def put_together(
    source: Path, model: Enhancer, sink: Path, options: EnhanceOptions, track: WetStore | WetParts
) -> None:
    """Make the result from a kept track."""
    with FileSource(source) as opened, FileSink(sink) as out:
        enhance(opened, out, model=model, options=options, wet=track)


def parts_of(duration_s: float, length_s: int) -> list[Part]:
    """Cut a recording into parts of so many seconds; the last one is shorter."""
    starts = [start_s for start_s in range(0, int(duration_s), length_s) if duration_s - start_s > OVERLAP_S] or [0]
    return [
        Part(number=number, start_s=start_s, end_s=end_s)
        for number, (start_s, end_s) in enumerate(itertools.zip_longest(starts, starts[1:]))
    ]


def run(arguments: argparse.Namespace) -> None:
    """Make the tracks and print the tables."""
    source, model = arguments.file, load_model(arguments.model)
    options = EnhanceOptions(dereverb=Dereverb(arguments.dereverb), jobs=arguments.jobs)
    costs = Table(title=f"{source.name}, {arguments.model}, dereverb={options.dereverb}")
    for column in ("", "wall s", "CPU s, codecs not counted"):
        costs.add_column(column, justify="left" if not column else "right")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-parts-")))
        with timed(costs, "decoded, nothing else"), FileSource(source) as opened, decode(opened) as recording:
            found = recording.format
            duration_s = sum(block.shape[1] for block in recording.blocks()) / found.rate_hz
        with timed(costs, "in one go"):
            whole = make_whole(source, model, folder / "whole", options)
        stores = []
        for part in parts_of(duration_s, arguments.seconds):
            with timed(costs, f"part {part.number}, {part.start_s} s to {part.end_s or round(duration_s)} s"):
                stores.append((part, make_part(source, part, model, folder / str(part.number), options)))
        tracks: dict[str, WetStore | WetParts] = {"one go": whole, "parts": WetParts(tuple(stores))}
        with timed(costs, "parts put together, mixed and encoded"):
            put_together(source, model, folder / "result", options, tracks["parts"])
        if arguments.exact:
            with timed(costs, "in one go, no lanes"):
                tracks["no lanes"] = make_whole(source, Alone(model), folder / "exact", options)
        console = Console(width=110)
        console.print(costs)
        seams_s = [part.start_s for part, _ in stores[1:]]
        console.print(_errors(found, tracks, seams_s))
        if arguments.clean:
            console.print(_scores(found, tracks, arguments.clean, seams_s, with_pesq=arguments.pesq))


def _errors(found: AudioFormat, tracks: dict[str, WetStore | WetParts], seams_s: list[int]) -> Table:
    table = Table(title="difference [dB of the recording's level]")
    for column in (
        "",
        "overall",
        "median second",
        "95 %",
        "worst",
        "at s",
        *(f"after {seam_s} s" for seam_s in seams_s),
    ):
        table.add_column(column, justify="left" if not column else "right")
    for one, other in itertools.combinations(tracks, 2):
        found_db = compare(found, tracks[one], tracks[other])
        figures = [found_db.overall_db(), *(found_db.percentile_db(percent) for percent in (50, 95, 100))]
        row = [f"{figure:.1f}" for figure in figures]
        row += [str(found_db.worst_second), *(f"{found_db.second_db(seam_s):.1f}" for seam_s in seams_s)]
        table.add_row(f"{one} - {other}", *row)
    return table


def _scores(
    found: AudioFormat, tracks: dict[str, WetStore | WetParts], clean: Path, seams_s: list[int], *, with_pesq: bool
) -> Table:
    table = Table(title="against the clean speech")
    for column in ("", "SI-SDR [dB]", *(f"PESQ at {seam_s} s" for seam_s in seams_s if with_pesq)):
        table.add_column(column, justify="left" if not column else "right")
    for name, track in tracks.items():
        scores = pesq_at(found, track, clean, seams_s) if with_pesq else []
        table.add_row(name, f"{distortion(found, track, clean):.2f}", *(f"{score:.2f}" for score in scores))
    return table


@contextmanager
def timed(table: Table, name: str) -> Iterator[None]:
    """Add a row with what happens inside."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    yield
    table.add_row(name, f"{time.perf_counter() - wall_s:.1f}", f"{time.process_time() - cpu_s:.1f}")


def _side_by_side(found: AudioFormat, one: Iterator[Real], other: Iterator[Real]) -> Iterator[tuple[Real, Real]]:
    """Yield a second of each, ``(channels, rate)``, while both last."""
    first, second = _seconds(one, found.rate_hz), _seconds(other, found.rate_hz)
    return ((a, b) for a, b in zip(first, second, strict=True) if a.shape[1] == found.rate_hz)


def _seconds(blocks: Iterator[Real], rate_hz: int) -> Iterator[Real]:
    waiting: BlockQueue | None = None
    for block in blocks:
        waiting = waiting or BlockQueue(len(block))
        waiting.put(block)
        while waiting.frames >= rate_hz:
            yield waiting.take(rate_hz)
    if waiting:
        yield waiting.take(rate_hz)


def _decoded(path: Path) -> Iterator[Real]:
    with FileSource(path) as source, decode(source) as recording:
        yield from recording.blocks()


def _power(signal: Real) -> float:
    return float(np.sum(np.square(signal, dtype=np.float64)))


def _db(power: float, reference: float) -> float:
    return float(10 * np.log10(max(power, 1e-30) / max(reference, 1e-30)))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=int, default=600, help="length of a part")
    parser.add_argument("--model", default="dfn3")
    parser.add_argument("--dereverb", default="auto", choices=[mode.value for mode in Dereverb])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--exact", action="store_true", help="also without lanes")
    parser.add_argument("--clean", type=Path, help="the same recording without its noise, first channel")
    parser.add_argument("--pesq", action="store_true", help="around each seam, against --clean")
    run(parser.parse_args())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
