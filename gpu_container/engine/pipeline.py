"""A file in, an enhanced file like it out: block by block, in constant memory."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gpu_container.contract import AudioFacts, ErrorCode
from gpu_container.engine.audio_io import Writer, blocks, writer
from gpu_container.engine.ensemble import Enhancer
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import AudioFormat, identify
from gpu_container.engine.mix import limit, mix, wet_gain
from gpu_container.engine.resample import Resampler
from gpu_container.engine.stft import RATE_HZ, Real

SILENCE = 10 ** (-90 / 20)
"""A recording that nowhere passes -90 dBFS holds nothing."""

ABSURD = np.float32(65_536)
"""Louder than 16-bit samples that were taken for floats by mistake; beyond it the network's powers overflow."""

CUT_SHORT = 0.95

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class EnhanceReport:
    """What was done to one file.

    Attributes
    ----------
    nan_count
        Samples of the output that are not numbers; always 0 unless the engine is broken.
    repaired_count
        Samples of the input that were not numbers, or larger than any recording's, and were mended.
    limited_count
        Samples that the limiter bent.
    seconds
        By stage: ``read``, ``enhance``, ``write``.
    real_time_factor
        Seconds of work per second of audio.
    """

    input: AudioFacts
    output: AudioFacts
    strength: float
    model: str
    nan_count: int
    repaired_count: int
    limited_count: int
    silent: bool
    seconds: dict[str, float]
    real_time_factor: float
    warnings: tuple[str, ...] = ()


@dataclass
class _Run:
    """One file on its way, and what is counted on it."""

    source: Path
    found: AudioFormat
    on_progress: Progress | None
    is_cancelled: Callable[[], bool] | None
    read: int = 0
    written: int = 0
    nan: int = 0
    repaired: int = 0
    limited: int = 0
    peak: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.0, "enhance": 0.0, "write": 0.0})

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start

    def blocks(self) -> Iterator[Real]:
        """Yield the file's blocks, mended; stop at the next one if nobody waits for the rest."""
        source = blocks(self.source, self.found)
        while True:
            if self.is_cancelled and self.is_cancelled():
                raise EngineError(ErrorCode.CANCELLED, "The enhancement was cancelled.")
            with self.timed("read"):
                block = next(source, None)
            if block is None:
                return
            self.read += block.shape[1]
            yield self._mended(block)
            self.report_progress()

    def report_progress(self, *, done: bool = False) -> None:
        """Tell how far reading is; the total is the header's word until the end is known."""
        if self.on_progress:
            read_s = self.read / self.found.rate_hz
            self.on_progress(read_s, read_s if done else max(read_s, self.found.declared_s or 0.0))

    def write(self, out: Writer, block: Real) -> None:
        """Limit, check and write a block."""
        if not block.shape[1]:
            return
        if not self.found.holds_any_level:
            block, limited = limit(block)
            self.limited += limited
        self.nan += int(np.count_nonzero(~np.isfinite(block)))
        if self.nan:
            raise EngineError(ErrorCode.ENGINE_FAILED, "The network's answer holds samples that are not numbers.")
        self.written += block.shape[1]
        self.peak = max(self.peak, float(np.max(np.abs(block))))
        with self.timed("write"):
            out.write(block)

    def _mended(self, block: Real) -> Real:
        """Take what is not a number for silence, and what no recording holds for the loudest that one might."""
        sane = np.abs(block) <= ABSURD  # False for NaN too
        if sane.all():
            return block
        self.repaired += int(np.count_nonzero(~sane))
        finite = np.where(np.isfinite(block), block, np.float32(0))
        return np.clip(finite, -ABSURD, ABSURD)


def enhance_file(
    source: Path,
    sink: Path,
    *,
    strength: float,
    model: Enhancer,
    on_progress: Progress | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> EnhanceReport:
    """Write ``source``, enhanced at ``strength`` in [0, 100], to ``sink``; a failure leaves no sink behind.

    The output has the input's container, codec, rate, channels, sample format (or bit rate) and tags, and its length.
    Strength 0 copies the file. All channels go through the network side by side. Above 24 kHz, where the network hears
    nothing, only the dry share of the mix is kept.

    Parameters
    ----------
    on_progress
        Called after each block with (completed_s, total_s); the total is the header's until the end.
    is_cancelled
        Asked before each block.

    Raises
    ------
    EngineError
        Any ``INPUT_*`` code, CANCELLED or ENGINE_FAILED.
    ValueError
        If the strength is outside its scale.
    """
    if not 0 <= strength <= 100:
        msg = f"strength is 0 to 100, not {strength}"
        raise ValueError(msg)
    run = _Run(source, identify(source), on_progress, is_cancelled)
    try:
        if strength == 0:
            _copy(run, sink)
        else:
            _enhance(run, sink, model, wet_gain(strength))
    except BaseException:
        sink.unlink(missing_ok=True)
        raise
    run.report_progress(done=True)
    return _report(run, model.name, strength)


def _enhance(run: _Run, sink: Path, model: Enhancer, gain: float) -> None:
    signal = _Enhancer(model, run.found, gain)
    with writer(sink, run.found) as out:
        for block in run.blocks():
            with run.timed("enhance"):
                mixed = signal.process(block)
            run.write(out, mixed)
        with run.timed("enhance"):
            rest = signal.finish()
        run.write(out, rest)


def _copy(run: _Run, sink: Path) -> None:
    """Strength 0: the file itself, unless it has to be mended."""
    for block in run.blocks():
        run.peak = max(run.peak, float(np.max(np.abs(block))))
    run.written = run.read
    if not run.repaired:
        shutil.copyfile(run.source, sink)
        return
    again = _Run(run.source, run.found, None, run.is_cancelled)
    with writer(sink, run.found) as out:
        for block in again.blocks():
            again.write(out, block)


class _Enhancer:
    """Resample, enhance, resample back, mix with the input that has waited meanwhile."""

    def __init__(self, model: Enhancer, found: AudioFormat, gain: float) -> None:
        channels = found.channels
        self._gain = gain
        self._up = Resampler(found.rate_hz, RATE_HZ, channels)
        self._stream = model.stream(channels)
        self._down = Resampler(RATE_HZ, found.rate_hz, channels)
        self._dry: Real = np.zeros((channels, 0), np.float32)
        self._wet: Real = np.zeros((channels, 0), np.float32)

    def process(self, block: Real) -> Real:
        """Take ``(channels, n)`` at the file's rate, return what is ready, ``(channels, m)``, aligned."""
        return self._pair(block, self._down.process(self._stream.process(self._up.process(block))))

    def finish(self) -> Real:
        """Return what is left: as many frames as were given in all."""
        tail = np.concatenate([self._stream.process(self._up.finish()), self._stream.finish()], axis=1)
        tail = np.concatenate([self._down.process(tail), self._down.finish()], axis=1)
        missing = self._dry.shape[1] - self._wet.shape[1] - tail.shape[1]
        return self._pair(self._dry[:, :0], np.pad(tail, ((0, 0), (0, max(0, missing)))))

    def _pair(self, dry: Real, wet: Real) -> Real:
        self._dry = np.concatenate([self._dry, dry], axis=1)
        self._wet = np.concatenate([self._wet, wet], axis=1)
        ready = min(self._dry.shape[1], self._wet.shape[1])
        mixed = mix(self._dry[:, :ready], self._wet[:, :ready], self._gain)
        self._dry, self._wet = self._dry[:, ready:], self._wet[:, ready:]
        return mixed


def _report(run: _Run, model: str, strength: float) -> EnhanceReport:
    output = run.found.facts(run.written)
    return EnhanceReport(
        input=run.found.facts(run.read),
        output=output,
        strength=strength,
        model=model,
        nan_count=run.nan,
        repaired_count=run.repaired,
        limited_count=run.limited,
        silent=run.peak < SILENCE,
        seconds={stage: round(seconds, 4) for stage, seconds in run.seconds.items()},
        real_time_factor=round(sum(run.seconds.values()) / output.duration_s, 5),
        warnings=tuple(_warnings(run)),
    )


def _warnings(run: _Run) -> Iterator[str]:
    if run.repaired:
        yield f"{run.repaired} samples of the input were not numbers or absurdly large and were mended"
    if run.limited:
        yield f"{run.limited} samples were limited"
    if run.peak < SILENCE:
        yield "the result is silent"
    if run.found.has_cover:
        yield "the cover art was left out"
    if run.found.declared_s and run.read / run.found.rate_hz < CUT_SHORT * run.found.declared_s:
        yield "the file breaks off before the end that its header declares"
