"""A file in, an enhanced file like it out: block by block, in constant memory."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gpu_container.contract import AudioFacts, ErrorCode
from gpu_container.engine.audio_io import Writer, blocks, probe, writer
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import AudioFormat, identify
from gpu_container.engine.mix import limit, mix, wet_gain
from gpu_container.engine.resample import Resampler
from gpu_container.engine.stft import RATE_HZ, Real

SILENCE = 10 ** (-90 / 20)
"""A recording that nowhere passes -90 dBFS holds nothing."""

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class EnhanceReport:
    """What was done to one file.

    Attributes
    ----------
    nan_count
        Samples of the output that are not numbers; always 0 unless the engine is broken.
    repaired_count
        Samples of the input that were not numbers and were taken for silence.
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
class _Tally:
    """What is counted on the way."""

    frames: int = 0
    nan: int = 0
    repaired: int = 0
    limited: int = 0
    peak: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.0, "enhance": 0.0, "write": 0.0})

    def timed(self, stage: str, since: float) -> float:
        """Add the time since ``since`` to a stage; returns now."""
        now = time.perf_counter()
        self.seconds[stage] += now - since
        return now


def enhance_file(
    source: Path,
    sink: Path,
    *,
    strength: float,
    model: DeepFilterNet,
    on_progress: Progress | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> EnhanceReport:
    """Write ``source``, enhanced at ``strength`` in [0, 100], to ``sink``.

    The output has the input's container, codec, rate, channels, sample format (or bit rate) and tags, and its length.
    Strength 0 copies the file. All channels go through the network side by side. Above 24 kHz, where the network hears
    nothing, only the dry share of the mix is kept.

    Parameters
    ----------
    on_progress
        Called after each block with (completed_s, total_s); the total is an estimate until the end for some formats.
    is_cancelled
        Asked before each block.

    Raises
    ------
    EngineError
        Any ``INPUT_*`` code, or CANCELLED.
    """
    found = identify(source)
    tally, total_s = _Tally(), probe(source).duration_s
    if strength <= 0:
        return _copied(source, sink, found, model.name, tally)
    signal = _Enhancer(model, found, wet_gain(strength))
    with writer(sink, found) as out:
        clock = time.perf_counter()
        for block in blocks(source, found):
            if is_cancelled and is_cancelled():
                raise EngineError(ErrorCode.CANCELLED, "The enhancement was cancelled.")
            clock = tally.timed("read", clock)
            mixed = signal.process(_repaired(block, tally))
            clock = tally.timed("enhance", clock)
            _write(out, mixed, found, tally)
            clock = tally.timed("write", clock)
            if on_progress:
                on_progress(min(tally.frames / found.rate_hz, total_s), total_s)
        rest = signal.finish()
        clock = tally.timed("enhance", clock)
        _write(out, rest, found, tally)
        tally.timed("write", clock)
    if on_progress:
        on_progress(total_s, total_s)
    return _report(found, model.name, strength, tally)


class _Enhancer:
    """Resample, enhance, resample back, mix with the input that has waited meanwhile."""

    def __init__(self, model: DeepFilterNet, found: AudioFormat, gain: float) -> None:
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


def _repaired(block: Real, tally: _Tally) -> Real:
    """Take samples that are not numbers for silence."""
    finite = np.isfinite(block)
    if finite.all():
        return block
    tally.repaired += int(np.count_nonzero(~finite))
    return np.where(finite, block, np.float32(0))


def _write(out: Writer, block: Real, found: AudioFormat, tally: _Tally) -> None:
    if not block.shape[1]:
        return
    if not found.holds_any_level:
        block, limited = limit(block)
        tally.limited += limited
    tally.frames += block.shape[1]
    tally.nan += int(np.count_nonzero(np.isnan(block)))
    tally.peak = max(tally.peak, float(np.max(np.abs(block))))
    out.write(block)


def _copied(source: Path, sink: Path, found: AudioFormat, model: str, tally: _Tally) -> EnhanceReport:
    """Strength 0: the file itself."""
    clock = time.perf_counter()
    for block in blocks(source, found):
        tally.frames += block.shape[1]
        tally.peak = max(tally.peak, float(np.max(np.abs(np.nan_to_num(block)))))
    clock = tally.timed("read", clock)
    shutil.copyfile(source, sink)
    tally.timed("write", clock)
    return _report(found, model, 0.0, tally)


def _report(found: AudioFormat, model: str, strength: float, tally: _Tally) -> EnhanceReport:
    facts = found.facts(tally.frames)
    return EnhanceReport(
        input=facts,
        output=facts,
        strength=strength,
        model=model,
        nan_count=tally.nan,
        repaired_count=tally.repaired,
        limited_count=tally.limited,
        silent=tally.peak < SILENCE,
        seconds={stage: round(seconds, 4) for stage, seconds in tally.seconds.items()},
        real_time_factor=round(sum(tally.seconds.values()) / facts.duration_s, 5),
        warnings=tuple(_warnings(tally)),
    )


def _warnings(tally: _Tally) -> Iterator[str]:
    if tally.repaired:
        yield f"{tally.repaired} samples of the input were not numbers and were taken for silence"
    if tally.limited:
        yield f"{tally.limited} samples were limited"
    if tally.peak < SILENCE:
        yield "the result is silent"
