"""What an enhancement did, in numbers: both sides measured side by side while they stream by, in constant memory.

Loudness, true peak and clipping hear every sample of every channel. The rest hears the channels' mean; speech, noise,
music and opinions are judged at 16 kHz, which is what their networks know, and opinions on twelve windows alone;
reverberation at 48 kHz, as in `dereverb`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from gpu_container.contract import ReportLevel, ReportWarning, SoundMeasures, SpeechQuality, WarningCode
from gpu_container.engine.clipping import ClippingMeter
from gpu_container.engine.framing import Framer
from gpu_container.engine.loudness import LoudnessMeter
from gpu_container.engine.music import MusicDetector
from gpu_container.engine.opinion import WindowSampler, mean_opinion
from gpu_container.engine.resample import Resampler
from gpu_container.engine.reverberation import ReverberationMeter
from gpu_container.engine.spectrum import LongTermSpectrum, PowerFrames
from gpu_container.engine.speech import COLLAPSE_DB, VAD_FRAME, VAD_RATE_HZ, SpeechLevels, VoiceDetector
from gpu_container.engine.stft import RATE_HZ, Real
from gpu_container.engine.traces import TraceRecorder, Traces

SPEECH_BLOCK: Final = 25 * VAD_FRAME
"""0.8 s at 16 kHz: the voice detector costs half as much in blocks as frame by frame."""

COLLAPSED_SHARE: Final = 0.1
"""One word in ten gone is what a listener notices; on 29 recordings where speech survived it was 0.02 at most."""

MUSIC_SHARE: Final = 0.3
"""A jingle before a talk is no reason to warn; three minutes in ten are."""

CLIPPED_SHARE: Final = 1e-4
"""Five samples a second at 48 kHz: one flat peak is an accident that nobody hears."""

FULL_BAND_HZ: Final = 12_000.0
"""Consonants such as s and f reach up to here; telephones (4 kHz), wideband calls (8 kHz) and low bit rates do not."""


@dataclass(frozen=True)
class Measured:
    """What was measured on one enhancement; ``traces`` are what pictures need, at the full report level alone."""

    before: SoundMeasures
    after: SoundMeasures
    speech_share: float | None
    dnsmos_windows: int
    warnings: tuple[ReportWarning, ...]
    traces: Traces | None


class Measurement:
    """Takes a recording before and after its enhancement in aligned pieces of any size; the size changes nothing.

    Parameters
    ----------
    rate_hz
        From 4,000 up to 192,000.
    channels
        1 to 8.
    level
        ``FULL`` adds DNSMOS and the traces for pictures; ``NONE`` is not asked for.
    directory
        Where the model files are; the usual place by default.

    Raises
    ------
    EngineError
        MODEL_UNAVAILABLE.
    """

    def __init__(self, rate_hz: int, channels: int, *, level: ReportLevel, directory: Path | None = None) -> None:
        self._rate_hz = rate_hz
        self._channels = channels
        self._directory = directory
        self._frames = 0
        self._framer = Framer(2 * channels, rate_hz)
        is_full = level is ReportLevel.FULL
        self._before = _Side(rate_hz, channels, with_trace=is_full)
        self._after = _Side(rate_hz, channels, with_trace=is_full)
        self._to_speech = Resampler(rate_hz, VAD_RATE_HZ, 2)
        self._to_room = Resampler(rate_hz, RATE_HZ, 2)
        self._rooms = (ReverberationMeter(1), ReverberationMeter(1))
        self._speech_framer = Framer(2, SPEECH_BLOCK)
        self._detector = VoiceDetector(directory)
        self._levels = SpeechLevels()
        self._music = MusicDetector()
        self._windows = WindowSampler() if is_full else None

    def add(self, before: Real, after: Real) -> None:
        """Take the same ``(channels, n)`` of both sides, finite, at the recording's rate."""
        self._frames += before.shape[1]
        for both in self._framer.frames(np.concatenate([before, after])):  # (2 * channels, rate_hz)
            self._measure(both)

    def finish(self, *, gain_db: float = 0.0) -> Measured:
        """Return the measures; ends the measurement.

        Parameters
        ----------
        gain_db
            What was added to the result on purpose; speech that lost no more than that has not collapsed.
        """
        self._measure(self._framer.rest())
        self._hear(self._to_speech.finish())
        self._hear_room(self._to_room.finish())
        reverberation_s = [_rounded(room.finish(), 2) for room in self._rooms]
        rest = self._speech_framer.rest()
        self._judge(rest[:, : rest.shape[1] // VAD_FRAME * VAD_FRAME])
        self._music.finish()
        opinions, windows = self._opinions()
        snr_db = self._levels.snr_db()
        return Measured(
            before=self._before.measures(opinions[0], snr_db[0], reverberation_s[0]),
            after=self._after.measures(opinions[1], snr_db[1], reverberation_s[1]),
            speech_share=_rounded(self._levels.share, 4),
            dnsmos_windows=windows,
            warnings=tuple(self._warnings(gain_db)),
            traces=self._traces(),
        )

    def _measure(self, both: Real) -> None:
        """Take ``(2 * channels, n)``."""
        before, after = both[: self._channels], both[self._channels :]
        pair = np.stack([self._before.add(before), self._after.add(after)])  # (2, n)
        self._hear(self._to_speech.process(pair))
        self._hear_room(self._to_room.process(pair))

    def _hear(self, pair: Real) -> None:
        for block in self._speech_framer.frames(pair):
            self._judge(block)

    def _hear_room(self, pair: Real) -> None:
        for room, side in zip(self._rooms, np.split(pair, 2), strict=True):
            room.process(side)

    def _judge(self, pair: Real) -> None:
        """Take ``(2, T * 512)`` at 16 kHz."""
        if not pair.shape[1]:
            return
        probability = self._detector.process(pair[0])
        before, after = np.square(pair).reshape(2, -1, VAD_FRAME).mean(axis=-1)
        is_speech = self._levels.add(probability, before, after)
        self._music.add(pair[0], is_speech)
        if self._windows:
            self._windows.add(pair, probability)

    def _opinions(self) -> tuple[tuple[SpeechQuality | None, SpeechQuality | None], int]:
        """Return DNSMOS before and after; none where nobody speaks: it knows only speech."""
        windows = self._windows.finish() if self._windows and self._levels.share else []
        if not windows:
            return (None, None), 0
        before, after = (
            mean_opinion([window[side] for window in windows], directory=self._directory) for side in (0, 1)
        )
        return (before, after), len(windows)

    def _warnings(self, gain_db: float) -> Iterator[ReportWarning]:
        collapsed = self._levels.collapsed_share(gain_db)
        if collapsed > COLLAPSED_SHARE:
            message = (
                f"{collapsed:.0%} of the speech lost more than {COLLAPSE_DB:.0f} dB; a lower strength keeps more of it"
            )
            yield ReportWarning(code=WarningCode.SPEECH_COLLAPSED, message=message)
        if self._music.share > MUSIC_SHARE:
            message = f"{self._music.share:.0%} of the recording sounds like music, which is treated as noise"
            yield ReportWarning(code=WarningCode.MUSIC_LIKE, message=message)
        clipped = self._before.clipping.share
        if clipped > CLIPPED_SHARE:
            message = f"{clipped:.2%} of the input's samples are clipped; what was cut off does not come back"
            yield ReportWarning(code=WarningCode.INPUT_CLIPPED, message=message)
        bandwidth_hz = self._before.spectrum.bandwidth_hz()
        if bandwidth_hz is not None and bandwidth_hz < FULL_BAND_HZ:
            message = f"the input ends at {bandwidth_hz / 1000:.1f} kHz; what lies above was lost earlier"
            yield ReportWarning(code=WarningCode.BAND_LIMITED, message=message)

    def _traces(self) -> Traces | None:
        before, after = self._before.recorder, self._after.recorder
        if before is None or after is None:
            return None
        return Traces(
            before=before.finish(),
            after=after.finish(),
            rate_hz=self._rate_hz,
            duration_s=self._frames / self._rate_hz,
            edges_hz=before.edges_hz,
            seconds_per_column=before.frames_per_column * self._before.frames.hop / self._rate_hz,
            samples_per_column=before.samples_per_column,
        )


def _rounded(value: float | None, digits: int) -> float | None:
    """Return no more digits than the measure is good for."""
    return None if value is None else round(value, digits)


class _Side:
    """What is measured on either side alone."""

    def __init__(self, rate_hz: int, channels: int, *, with_trace: bool) -> None:
        self._mean = np.full(channels, 1 / channels, np.float32)
        self._loudness = LoudnessMeter(rate_hz, channels)
        self.clipping = ClippingMeter(channels)
        self.frames = PowerFrames(rate_hz, for_pictures=with_trace)
        self.spectrum = LongTermSpectrum(rate_hz, self.frames.size)
        self.recorder = TraceRecorder(rate_hz, self.frames) if with_trace else None

    def add(self, block: Real) -> Real:
        """Take ``(channels, n)``, return the channels' mean, ``(n,)``."""
        self._loudness.add(block)
        self.clipping.add(block)
        mono: Real = self._mean @ block
        self._record(mono, self.frames.process(mono))
        return mono

    def measures(
        self, dnsmos: SpeechQuality | None, snr_db: float | None, reverberation_s: float | None
    ) -> SoundMeasures:
        """Return all measures; ends the measurement."""
        self._record(self._mean[:0], self.frames.finish())
        loudness = self._loudness.result()
        return SoundMeasures(
            dnsmos=dnsmos,
            snr_db=_rounded(snr_db, 1),
            reverberation_s=reverberation_s,
            loudness_lufs=_rounded(loudness.integrated_lufs, 2),
            loudness_range_lu=_rounded(loudness.range_lu, 2),
            true_peak_dbtp=_rounded(loudness.true_peak_dbtp, 2),
            clipped_share=round(self.clipping.share, 7),
            bandwidth_hz=self.spectrum.bandwidth_hz(),
        )

    def _record(self, mono: Real, power: Real) -> None:
        self.spectrum.add(power)
        if self.recorder:
            self.recorder.add(mono, power)
