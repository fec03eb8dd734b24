"""The account of one enhancement: written beside the result as JSON, shown to clients."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from gpu_container.contract.options import Dereverb
from gpu_container.contract.work import SCHEMA_VERSION, AudioFacts, Document, SchemaVersion


class WarningCode(StrEnum):
    """What a client should know about a result that is otherwise good. Append-only."""

    SPEECH_COLLAPSED = "speech_collapsed"
    MUSIC_LIKE = "music_like"
    INPUT_CLIPPED = "input_clipped"
    BAND_LIMITED = "band_limited"
    SAMPLES_MENDED = "samples_mended"
    SAMPLES_LIMITED = "samples_limited"
    SILENT = "silent"
    TRUNCATED = "truncated"
    COVER_DROPPED = "cover_dropped"
    FORMAT_CHANGED = "format_changed"
    TARGET_NOT_REACHED = "target_not_reached"


class ReportWarning(Document):
    """A warning, for programs and for people."""

    code: WarningCode
    message: str


class SpeechQuality(Document):
    """Mean opinion scores after ITU-T P.835 as DNSMOS estimates them, each from 1 (bad) to 5 (excellent)."""

    signal: float
    background: float
    overall: float


class SoundMeasures(Document):
    """What was measured on one side of the enhancement; None where the recording does not allow an answer.

    Attributes
    ----------
    snr_db
        Estimated level of speech over the level between the words.
    reverberation_s
        Estimated decay time (the time in which sound falls by 60 dB).
    loudness_lufs, loudness_range_lu, true_peak_dbtp
        ITU-R BS.1770-5 and EBU Tech 3342.
    clipped_share
        Share of samples that sit in runs at full scale.
    bandwidth_hz
        Where the spectrum ends.
    """

    dnsmos: SpeechQuality | None = None
    snr_db: float | None = None
    reverberation_s: float | None = None
    loudness_lufs: float | None = None
    loudness_range_lu: float | None = None
    true_peak_dbtp: float | None = None
    clipped_share: float = 0.0
    bandwidth_hz: float | None = None


class EnhancementReport(Document):
    """What was done to one recording.

    Attributes
    ----------
    dereverbed_share
        Share of the recording from which echo was taken.
    network_inferences
        Blocks that ran through a network; 0 where an earlier enhancement's wet track was used again.
    wet_track
        Whether the fully enhanced signal was computed for this result, or kept from an earlier strength.
    dnsmos_windows
        Windows of nine seconds that the opinion scores are the mean of; the same ones before and after.
    speech_share
        Share of the recording in which somebody speaks.
    loudness_gain_db
        What was added to reach the target loudness; None where no target was set.
    nan_count
        Samples of the output that are not numbers; always 0 unless the engine is broken.
    repaired_count
        Samples of the input that were not numbers, or larger than any recording's, and were mended.
    limited_count
        Samples that the limiter changed.
    seconds
        Wall-clock time by stage. Stages overlap: their sum may be more than the whole.
    real_time_factor
        Seconds of work per second of audio.
    versions
        Of the engine and of what it stands on.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    model: str
    strength: float
    dereverb: Dereverb = Dereverb.OFF
    dereverbed_share: float = 0.0
    input: AudioFacts
    output: AudioFacts
    before: SoundMeasures | None = None
    after: SoundMeasures | None = None
    dnsmos_windows: int = 0
    speech_share: float | None = None
    loudness_target_lufs: float | None = None
    loudness_gain_db: float | None = None
    network_inferences: int = 0
    wet_track: Literal["computed", "reused", "none"] = "none"
    nan_count: int = 0
    repaired_count: int = 0
    limited_count: int = 0
    silent: bool = False
    seconds: dict[str, float] = Field(default_factory=dict)
    real_time_factor: float = 0.0
    versions: dict[str, str] = Field(default_factory=dict)
    warnings: tuple[ReportWarning, ...] = ()


class WaveformPeaks(Document):
    """A recording's outline for players: the JSON form of BBC audiowaveform, version 2, which peaks.js reads.

    ``data`` holds ``length`` pairs of minimum and maximum, one channel, 8-bit.
    """

    version: Literal[2] = 2
    channels: Literal[1] = 1
    sample_rate: int
    samples_per_pixel: int
    bits: Literal[8] = 8
    length: int
    data: tuple[int, ...]
