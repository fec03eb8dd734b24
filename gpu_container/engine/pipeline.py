"""A recording in, an enhanced recording like it out: block by block, in constant memory.

One pass where it can be one: decode, enhance, mix, encode. With a loudness target two: the first makes the wet track
and measures, the second mixes and encodes. A kept wet track takes the network's place either way.
"""

import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnxruntime as ort

from gpu_container.contract import (
    DEFAULT_TRUE_PEAK_DBTP,
    Dereverb,
    EnhancementReport,
    ErrorCode,
    OutputFormat,
    ReportLevel,
    ReportWarning,
    WarningCode,
    WaveformPeaks,
)
from gpu_container.engine.audio_io import Decoding, Encoding, decode, encode
from gpu_container.engine.blocks import Pair, PairQueue
from gpu_container.engine.byte_io import ByteSink, ByteSource, FileSink, FileSource
from gpu_container.engine.enhancer import Enhancer
from gpu_container.engine.errors import EngineError, stop_if_cancelled
from gpu_container.engine.finish import Finish
from gpu_container.engine.formats import AudioFormat, OutputSpec, output_spec
from gpu_container.engine.loudness import LoudnessMeter
from gpu_container.engine.measure import Measured, Measurement
from gpu_container.engine.mending import mended
from gpu_container.engine.mix import mix, wet_gain
from gpu_container.engine.pictures import draw_spectrogram, draw_waveform, peaks
from gpu_container.engine.resample import Resampler
from gpu_container.engine.signal_path import SignalPath
from gpu_container.engine.stft import Real
from gpu_container.engine.wet import FolderWet, WetParts, WetStore, WetWriter, kept_track, writing

ENGINE_VERSION: Final = "4"
"""Raised with every change that is heard: kept wet tracks of another version are not used again."""

SILENCE: Final = 10 ** (-90 / 20)
"""A recording that nowhere passes -90 dBFS holds nothing."""

MISSED_LU: Final = 0.5
"""A result further from its target loudness is worth a warning; EBU R 128 allows programmes as much."""

COPY_BYTES: Final = 2**20

STAGES: Final = ("read", "enhance", "write", "measure")

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class EnhanceOptions:
    """What to do.

    Attributes
    ----------
    strength
        0 (the input) to 100 (all of the enhancement).
    output_format
        None writes the input's own format.
    loudness_lufs
        Bring the whole recording to this loudness (BS.1770-5), its true peak limited; None leaves it.
    jobs
        Threads that share a lone long recording.
    """

    strength: float = 100.0
    dereverb: Dereverb = Dereverb.AUTO
    output_format: OutputFormat | None = None
    loudness_lufs: float | None = None
    true_peak_dbtp: float = DEFAULT_TRUE_PEAK_DBTP
    report: ReportLevel = ReportLevel.NONE
    jobs: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 100:
            raise ValueError(f"strength is 0 to 100, not {self.strength}")

    @property
    def is_copy(self) -> bool:
        """True where the result is the input itself."""
        return self.strength == 0 and self.output_format is None and self.loudness_lufs is None


@dataclass(frozen=True)
class Pictures:
    """What can be looked at: PNG, PNG, and the outline that players draw."""

    spectrogram: bytes
    waveform: bytes
    peaks: WaveformPeaks


@dataclass(frozen=True)
class Enhanced:
    """The account of an enhancement; pictures with a full report only."""

    report: EnhancementReport
    pictures: Pictures | None = None


def enhance(
    source: ByteSource,
    sink: ByteSink,
    *,
    model: Enhancer,
    options: EnhanceOptions,
    wet: WetStore | WetParts | None = None,
    on_progress: Progress | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> Enhanced:
    """Write ``source``, enhanced, to ``sink``; what a failure leaves in the sink is no recording.

    The output has the input's container, codec, rate, channels, sample format (or bit rate), tags, pictures and length,
    or the format that the options name. Strength 0 copies the input. Channels run through everything side by side.
    Above 24 kHz, where the network hears nothing, only the dry share of the mix is kept.

    Parameters
    ----------
    wet
        Where to keep the wet track, or take it from; from parts it is only taken.
    on_progress
        Called after each block with (completed_s, total_s); the total is the header's until the end.
    is_cancelled
        Asked at each block.

    Raises
    ------
    EngineError
        Any ``INPUT_*`` code, CANCELLED or ENGINE_FAILED. What source, sink and store raise comes through.
    """
    with ExitStack() as stack:
        if wet is None and options.loudness_lufs is not None:
            wet = FolderWet(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wet-"))))
        return _Enhancement(source, sink, model, options, wet, _Hooks(on_progress, is_cancelled)).run()


def enhance_file(source: Path, sink: Path, *, model: Enhancer, options: EnhanceOptions, **hooks: Any) -> Enhanced:
    """Enhance a file on this machine, see `enhance`; a failure leaves no sink behind."""
    try:
        with FileSource(source) as opened, FileSink(sink) as out:
            return enhance(opened, out, model=model, options=options, **hooks)
    except BaseException:
        sink.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class _Hooks:
    """The caller's ears."""

    on_progress: Progress | None
    is_cancelled: Callable[[], bool] | None

    def stop_if_cancelled(self) -> None:
        stop_if_cancelled(self.is_cancelled)


@dataclass
class _Counts:
    """What is counted on the way."""

    read: int = 0
    written: int = 0
    nan: int = 0
    repaired: int = 0
    limited: int = 0
    inferences: int = 0
    peak: float = 0.0
    missing_s: float = 0.0
    wet_track: Literal["computed", "reused", "none"] = "none"
    dereverbed_share: float = 0.0
    loudness_gain_db: float | None = None
    loudness_lufs: float | None = None
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start

    def timed_each(self, stage: str, blocks: Iterator[Real]) -> Iterator[Real]:
        """Pass blocks on; add the time that each took to come to a stage."""
        while True:
            with self.timed(stage):
                block = next(blocks, None)
            if block is None:
                return
            yield block


@dataclass
class _Enhancement:
    """One recording on its way."""

    source: ByteSource
    sink: ByteSink
    model: Enhancer
    options: EnhanceOptions
    wet: WetStore | WetParts | None
    hooks: _Hooks
    counts: _Counts = field(default_factory=_Counts)
    measured_s: float | None = None
    told_s: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def run(self) -> Enhanced:
        """Carry it out."""
        if self.options.loudness_lufs is not None:
            with self._pairs() as (found, pairs):
                self.counts.loudness_gain_db = self._gain_db(found, pairs, self.options.loudness_lufs)
            self.measured_s = self.counts.read / found.rate_hz
        with self._pairs() as (found, pairs):
            level = self.options.report
            is_wanted = level is not ReportLevel.NONE
            measurement = Measurement(found.rate_hz, found.channels, level=level) if is_wanted else None
            spec = OutputSpec(found) if self.options.is_copy else output_spec(found, self.options.output_format)
            warnings = self._render(found, spec, pairs, measurement)
        self._tell_progress(found, done=True)
        return self._enhanced(found, spec, measurement, warnings)

    # The two sides of the mix.

    @contextmanager
    def _pairs(self) -> Iterator[tuple[AudioFormat, Iterator[Pair]]]:
        """Open what yields dry and wet: the network, or a kept track in its place."""
        self.counts.read = 0
        with ExitStack() as stack:
            recording = stack.enter_context(decode(self.source))
            found, dry = recording.format, self._dry(recording)
            if self.options.strength == 0:
                yield found, ((block, block) for block in dry)
                return
            kept = stack.enter_context(kept_track(self.wet, found)) if self.wet else None
            if kept:
                if self.counts.wet_track == "none":
                    self.counts.wet_track = "reused"
                yield found, _joined(found, dry, kept)
                return
            self.counts.wet_track = "computed"
            keeper = None
            if self.wet and not isinstance(self.wet, WetParts):
                keeper = stack.enter_context(writing(self.wet, found))
            yield found, self._computed(found, dry, keeper)

    def _dry(self, recording: Decoding) -> Iterator[Real]:
        """Yield the recording's blocks, mended; stop at the next one if nobody waits for the rest."""
        self.hooks.stop_if_cancelled()
        for block in self.counts.timed_each("read", recording.blocks()):
            self.counts.read += block.shape[1]
            sane, count = mended(block)
            self.counts.repaired += count
            yield sane
            self._tell_progress(recording.format)
            self.hooks.stop_if_cancelled()
        self.counts.missing_s = recording.missing_s

    def _computed(self, found: AudioFormat, dry: Iterator[Real], keeper: WetWriter | None) -> Iterator[Pair]:
        """Run the network; its answer comes later than what it was given."""
        path = SignalPath(
            self.model,
            rate_hz=found.rate_hz,
            channels=found.channels,
            dereverb=self.options.dereverb,
            jobs=self.options.jobs,
            checkpoint=self.hooks.stop_if_cancelled,
        )
        waiting = PairQueue(found.channels, block_frames=found.rate_hz)
        counts = self.counts
        for block in dry:
            waiting.put_dry(block)
            for wet in counts.timed_each("enhance", path.process(block)):
                yield from _kept_too(waiting.put_wet(wet), keeper)
        for wet in counts.timed_each("enhance", path.finish()):
            yield from _kept_too(waiting.put_wet(wet), keeper)
        missing = max(0, waiting.waiting)  # what resampling gives beyond the end stays in the queue
        yield from _kept_too(waiting.put_wet(np.zeros((found.channels, missing), np.float32)), keeper)
        counts.inferences += path.inferences
        counts.dereverbed_share = path.dereverbed_share

    # Loudness, measured first.

    def _gain_db(self, found: AudioFormat, pairs: Iterator[Pair], target_lufs: float) -> float | None:
        """Return what brings the mix to the target; None where there is nothing that could be loud."""
        meter = LoudnessMeter(found.rate_hz, found.channels)
        gain = wet_gain(self.options.strength)
        for dry, wet in pairs:
            with self.counts.timed("measure"):
                meter.add(mix(dry, wet, gain))
        measured_lufs = meter.result().integrated_lufs
        return None if measured_lufs is None else target_lufs - measured_lufs

    # The mix, on its way out.

    def _render(
        self, found: AudioFormat, spec: OutputSpec, pairs: Iterator[Pair], measurement: Measurement | None
    ) -> tuple[ReportWarning, ...]:
        """Mix, finish and write; returns the writer's warnings."""
        if self.options.is_copy:
            return self._copy(found, spec, pairs, measurement)
        with encode(self.sink, spec, original=self.source) as out:
            self._write(found, spec, pairs, measurement, out)
        return out.warnings

    def _copy(
        self, found: AudioFormat, spec: OutputSpec, pairs: Iterator[Pair], measurement: Measurement | None
    ) -> tuple[ReportWarning, ...]:
        """Strength 0: the input's own bytes, unless its samples had to be mended."""
        for dry, _ in pairs:
            self._note(dry, dry, measurement)
            self.counts.written += dry.shape[1]
        if self.counts.repaired:
            self.counts.written = self.counts.repaired = 0
            spec = output_spec(found)
            with self._pairs() as (_, again), encode(self.sink, spec, original=self.source) as out:
                self._write(found, spec, again, None, out)
            return out.warnings
        for offset in range(0, self.source.size_bytes, COPY_BYTES):
            self.sink.write_at(offset, self.source.read_at(offset, COPY_BYTES))
        return ()

    def _write(
        self,
        found: AudioFormat,
        spec: OutputSpec,
        pairs: Iterator[Pair],
        measurement: Measurement | None,
        out: Encoding,
    ) -> None:
        options, counts = self.options, self.counts
        # With a report the measurement hears this anyway.
        is_heard = counts.loudness_gain_db is not None and measurement is None
        heard = LoudnessMeter(found.rate_hz, found.channels) if is_heard else None
        finish = Finish(
            found.rate_hz,
            found.channels,
            gain_db=counts.loudness_gain_db,
            ceiling_dbtp=options.true_peak_dbtp,
            holds_any_level=spec.format.holds_any_level,
        )
        to_output = Resampler(found.rate_hz, spec.format.rate_hz, found.channels)
        waiting = PairQueue(found.channels, block_frames=found.rate_hz)
        gain = wet_gain(options.strength)

        def finished() -> Iterator[Pair]:
            for dry, wet in pairs:
                waiting.put_dry(dry)
                yield from waiting.put_wet(finish.process(mix(dry, wet, gain)))
            yield from waiting.put_wet(finish.finish())

        for before, after in finished():
            self._note(before, after, measurement)
            if heard:
                with counts.timed("measure"):
                    heard.add(after)
            self._put(out, to_output.process(after))
        self._put(out, to_output.finish())
        counts.limited = finish.limited_count
        counts.loudness_lufs = heard.result().integrated_lufs if heard else None

    def _note(self, before: Real, after: Real, measurement: Measurement | None) -> None:
        """Check and measure what is about to be written."""
        if not np.isfinite(after).all():
            self.counts.nan += int(np.count_nonzero(~np.isfinite(after)))
            raise EngineError(ErrorCode.ENGINE_FAILED, "The network's answer holds samples that are not numbers.")
        self.counts.peak = max(self.counts.peak, float(np.max(np.abs(after))))
        if measurement:
            with self.counts.timed("measure"):
                measurement.add(before, after)

    def _put(self, out: Encoding, block: Real) -> None:
        self.counts.written += block.shape[1]
        with self.counts.timed("write"):
            out.write(block)

    def _tell_progress(self, found: AudioFormat, *, done: bool = False) -> None:
        """Tell how far reading is; the total is the header's word until the end is known. Never less than before."""
        if self.hooks.on_progress is None:
            return
        completed_s = read_s = self.counts.read / found.rate_hz
        total_s = max(read_s, found.declared_s or 0.0)
        if self.options.loudness_lufs is not None:  # the first of two passes learns the length
            completed_s = (read_s + (self.measured_s or 0.0)) / 2
            total_s = self.measured_s or total_s
        self.told_s = max(self.told_s, read_s if done else completed_s)
        self.hooks.on_progress(self.told_s, self.told_s if done else total_s)

    # The account.

    def _enhanced(
        self,
        found: AudioFormat,
        spec: OutputSpec,
        measurement: Measurement | None,
        warnings: tuple[ReportWarning, ...],
    ) -> Enhanced:
        counts = self.counts
        with counts.timed("measure"):
            measured = None
            if measurement:
                added_db = counts.loudness_gain_db or 0.0
                measured = measurement.finish(gain_db=added_db)
                counts.loudness_lufs = measured.after.loudness_lufs
            pictures = _draw(measured) if measured else None
        report = self._report(found, spec, measured, warnings)
        return Enhanced(report, pictures)

    def _report(
        self, found: AudioFormat, spec: OutputSpec, measured: Measured | None, warnings: tuple[ReportWarning, ...]
    ) -> EnhancementReport:
        options, counts = self.options, self.counts
        whole_s = time.perf_counter() - self.started
        duration_s = counts.read / found.rate_hz
        stages = {stage: round(seconds, 4) for stage, seconds in counts.seconds.items()}
        return EnhancementReport(
            model=self.model.name,
            strength=options.strength,
            dereverb=options.dereverb,
            dereverbed_share=counts.dereverbed_share,
            input=found.facts(counts.read),
            output=spec.format.facts(counts.written),
            before=measured.before if measured else None,
            after=measured.after if measured else None,
            dnsmos_windows=measured.dnsmos_windows if measured else 0,
            speech_share=measured.speech_share if measured else None,
            loudness_target_lufs=options.loudness_lufs,
            loudness_gain_db=counts.loudness_gain_db,
            network_inferences=counts.inferences,
            wet_track=counts.wet_track,
            nan_count=counts.nan,
            repaired_count=counts.repaired,
            limited_count=counts.limited,
            silent=counts.peak < SILENCE,
            seconds={**stages, "whole": round(whole_s, 4)},
            real_time_factor=round(whole_s / duration_s, 5),
            versions={"engine": ENGINE_VERSION, "onnxruntime": ort.__version__, "python": platform.python_version()},
            warnings=(*_warnings(counts, options), *warnings, *(measured.warnings if measured else ())),
        )


def _joined(found: AudioFormat, dry: Iterator[Real], wet: Iterator[Real]) -> Iterator[Pair]:
    """Pair the input with its kept wet track, which has to be as long: nothing of the input may be lost."""
    waiting = PairQueue(found.channels, block_frames=found.rate_hz)
    nothing = np.zeros((found.channels, 0), np.float32)
    for block in dry:
        waiting.put_dry(block)
        yield from waiting.put_wet(next(wet, nothing))
    for block in wet:
        yield from waiting.put_wet(block)
    if waiting.waiting:
        raise EngineError(ErrorCode.ENGINE_FAILED, "The kept wet track is not as long as the recording.")


def _kept_too(pairs: Iterator[Pair], keeper: WetWriter | None) -> Iterator[Pair]:
    """Pass pairs on, and write their wet half to where it is kept: the result is the same as from there."""
    for dry, wet in pairs:
        yield dry, keeper.write(wet) if keeper else wet


def _draw(measured: Measured) -> Pictures | None:
    if measured.traces is None:
        return None
    return Pictures(draw_spectrogram(measured), draw_waveform(measured), peaks(measured))


def _warnings(counts: _Counts, options: EnhanceOptions) -> Iterator[ReportWarning]:
    if counts.repaired:
        message = f"{counts.repaired} samples of the input were not numbers or absurdly large and were mended"
        yield ReportWarning(code=WarningCode.SAMPLES_MENDED, message=message)
    if counts.limited:
        yield ReportWarning(code=WarningCode.SAMPLES_LIMITED, message=f"{counts.limited} samples were limited")
    if counts.peak < SILENCE:
        yield ReportWarning(code=WarningCode.SILENT, message="the result is silent")
    if counts.missing_s:
        message = f"the file breaks off {counts.missing_s:.1f} s before the end that its header declares"
        yield ReportWarning(code=WarningCode.TRUNCATED, message=message)
    if options.loudness_lufs is not None and (missed := _missed(counts, options.loudness_lufs)):
        yield ReportWarning(code=WarningCode.TARGET_NOT_REACHED, message=missed)


def _missed(counts: _Counts, target_lufs: float) -> str | None:
    """Say why the result is not as loud as it was to be; None where it is."""
    if counts.loudness_gain_db is None:
        return "nothing in the recording is loud enough to be brought to the target"
    lufs = counts.loudness_lufs
    if lufs is None or abs(lufs - target_lufs) <= MISSED_LU:
        return None
    return f"the result has {lufs:.1f} LUFS instead of {target_lufs:.1f}: its peaks had to stay below the limit"
