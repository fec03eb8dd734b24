"""What a recording is, what the engine accepts, and what a result like it, or in a chosen format, will be."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpu_container.contract import AudioFacts, ErrorCode, OutputFormat, ReportWarning, WarningCode
from gpu_container.engine.errors import EngineError

Samples = NDArray[np.float32]
"""``(channels, n)`` float32, full scale at 1."""

MAX_CHANNELS: Final = 8
MIN_RATE_HZ: Final = 4_000
MAX_RATE_HZ: Final = 192_000
MAX_DURATION_S: Final = 12 * 3600.0
MAX_TAG_CHARACTERS: Final = 65_536
"""Longer tags (lyrics are a few thousand) are left out."""

VIDEO_CONTAINERS: Final = frozenset({"mp4", "mov", "3gp", "mkv", "webm"})

LOSSY: Final = frozenset({"mp3", "aac", "opus", "vorbis", "ac3", "eac3", "amr_nb", "amr_wb", "mp2"})
FLOATING: Final = frozenset({"float", "double", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"})
"""Codecs that store samples beyond full scale."""

_ANY_PCM: Final = ("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_u8")
ENCODABLE: Final[dict[str, tuple[str, ...]]] = {
    "mp3": ("mp3",),
    "flac": ("flac",),
    "m4a": ("aac", "alac"),
    "aac": ("aac",),
    "opus": ("opus",),
    "amr": ("amr_nb",),
    "3gp": ("aac", "amr_nb"),
    "mp4": ("aac", "alac", "mp3", "ac3", "eac3", "opus", "flac"),
    "mov": (
        *("aac", "alac", "mp3", "ac3", "eac3", *_ANY_PCM),
        *("pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_s8", "pcm_alaw", "pcm_mulaw"),
    ),
    "mkv": ("aac", "opus", "flac", "mp3", "ac3", "eac3", "alac", "mp2", *_ANY_PCM, "pcm_f64le"),
    "webm": ("opus",),
}
"""What FFmpeg writes, by container; the first is taken where the input's own codec is not among them."""

TAKES_STREAMS: Final = VIDEO_CONTAINERS | {"m4a"}
TAKES_COVER: Final = frozenset({"mp3", "flac", "m4a", "mp4", "mov", "mkv"})

OPUS_RATE_HZ: Final = 48_000
"""What every Opus decoder gives back, whatever went in."""
_RATES_HZ: Final = {
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "aac": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000),
    "opus": (OPUS_RATE_HZ,),
    "vorbis": (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000),
    "amr_nb": (8_000,),
}
"""Sample rates that codecs take; those not named take any."""
_MAX_CHANNELS_OF: Final = {"mp3": 2, "amr_nb": 1, "ac3": 6, "eac3": 6, "mp2": 2}

_BIT_RATE_A_CHANNEL: Final = {"mp3": 64_000, "aac": 80_000, "opus": 48_000, "vorbis": 64_000, "amr_nb": 12_200}
"""Taken where the input names none, and for the first two channels of a chosen format."""
_SAMPLE_BYTES: Final = {"PCM_U8": 1, "PCM_S8": 1, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
WAV_LIMIT_BYTES: Final = 2**32 - 2**24
"""RIFF counts in 32 bits; a little is left for the header and for the tags."""


@dataclass(frozen=True)
class AudioFormat:
    """All that is needed to say what a file is and to write one like it.

    Attributes
    ----------
    container
        ``wav``, ``flac``, ``aiff``, ``ogg`` (Vorbis), ``opus`` (in Ogg), ``mp3``, ``m4a``, ``aac`` (ADTS), ``amr``,
        ``mp4``, ``mov``, ``3gp``, ``mkv`` or ``webm``. The last five with or without pictures.
    subtype, major
        libsndfile's names of the sample format (``PCM_24`` …) and of the container, where libsndfile handles the file.
    bits
        Bits per sample, where samples are whole numbers.
    bit_rate
        Of the sound, in bits per second; an average.
    is_vbr
        Whether an MP3 says of itself that its bit rate varies. Other codecs always do as they like.
    layout
        FFmpeg's name of the channel layout, where FFmpeg handles the file.
    declared_s
        The duration that the header claims.
    is_declared_exactly
        Whether the header counts, rather than estimates: only then can a file be called cut short.
    start_s
        When pictures and sound begin on the time line that they share; mostly 0.
    has_cover
        Whether a picture is attached.
    has_video
        Whether there are moving pictures.
    other_streams
        Number of streams (pictures, subtitles, further sound …) beside the one that is enhanced.
    """

    container: str
    codec: str
    rate_hz: int
    channels: int
    subtype: str | None = None
    major: str | None = None
    bits: int | None = None
    bit_rate: int | None = None
    is_vbr: bool = False
    layout: str | None = None
    declared_s: float | None = None
    is_declared_exactly: bool = False
    start_s: float = 0.0
    has_cover: bool = False
    has_video: bool = False
    other_streams: int = 0
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def by_sndfile(self) -> bool:
        """True where libsndfile reads and writes the file, else FFmpeg does."""
        return self.subtype is not None

    @property
    def is_lossless(self) -> bool:
        """True where what is written is what is read again."""
        return self.codec not in LOSSY

    @property
    def holds_any_level(self) -> bool:
        """True where samples beyond full scale can be stored."""
        return self.codec in FLOATING

    def facts(self, frames: int) -> AudioFacts:
        """Return the facts of a file of this format with ``frames`` sample frames."""
        return AudioFacts(
            container=self.container,
            codec=self.codec,
            rate_hz=self.rate_hz,
            channels=self.channels,
            frames=frames,
            duration_s=frames / self.rate_hz,
        )


def check(found: AudioFormat, *, max_duration_s: float = MAX_DURATION_S) -> None:
    """Refuse what the engine does not take.

    Raises
    ------
    EngineError
        INPUT_CORRUPT, INPUT_TOO_MANY_CHANNELS, INPUT_RATE_UNSUPPORTED, INPUT_TOO_LONG.
    """
    if found.channels < 1 or found.rate_hz < 1:
        raise EngineError(ErrorCode.INPUT_CORRUPT, "The file's header names no sample rate or no channels.")
    if found.channels > MAX_CHANNELS:
        raise EngineError(
            ErrorCode.INPUT_TOO_MANY_CHANNELS,
            f"The recording has {found.channels} channels; up to {MAX_CHANNELS} work.",
        )
    if not MIN_RATE_HZ <= found.rate_hz <= MAX_RATE_HZ:
        raise EngineError(
            ErrorCode.INPUT_RATE_UNSUPPORTED,
            f"The sample rate is {found.rate_hz} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz work.",
        )
    # libsndfile's count is what the file has room for. FFmpeg's may be a lie: there, only decoding tells.
    if found.by_sndfile and (found.declared_s or 0.0) > max_duration_s:
        raise EngineError(ErrorCode.INPUT_TOO_LONG, f"The recording is longer than {max_duration_s:.0f} s.")


class Copies(StrEnum):
    """What is taken along from the original, packet by packet."""

    NOTHING = ""
    COVERS = "covers"
    ALL = "all"


@dataclass(frozen=True)
class OutputSpec:
    """What will be written.

    Attributes
    ----------
    format
        The result's format; blocks come at its rate, with its channels.
    copies
        What else goes along; unless that is nothing, the original is read again while writing.
    warnings
        What cannot be kept, known before anything is written.
    """

    format: AudioFormat
    copies: Copies = Copies.NOTHING
    warnings: tuple[ReportWarning, ...] = ()


def output_spec(found: AudioFormat, wanted: OutputFormat | None = None) -> OutputSpec:
    """Decide what to write for an input: a file like it, or its sound alone in a chosen format.

    A chosen format keeps the sample rate where its codec takes it, else the next higher one that it does; above the
    highest, the highest of the same family (44.1 or 48 kHz). Opus is always 48 kHz. Channels are never mixed down:
    who chooses MP3 for six channels is told so.

    Raises
    ------
    EngineError
        INPUT_TOO_MANY_CHANNELS, if the chosen format cannot hold the channels; INPUT_UNSUPPORTED, if the sound's codec
        cannot be written and its container takes no other.
    """
    return _like(found) if wanted is None else _chosen(found, wanted)


def _like(found: AudioFormat) -> OutputSpec:
    if found.by_sndfile:
        return OutputSpec(replace(found, major=_major(found), has_cover=False), warnings=_dropped_cover(found))
    codecs = ENCODABLE[found.container]
    if found.codec in codecs:
        return OutputSpec(found, copies=Copies.ALL if found.other_streams else Copies.NOTHING)
    if found.container not in VIDEO_CONTAINERS:
        raise EngineError(ErrorCode.INPUT_UNSUPPORTED, f"{found.container} with {found.codec} cannot be written.")
    # WebM takes no other than Opus; elsewhere AAC, with at most the channels it had.
    format_ = _with_codec(replace(found, bits=None), codecs[0])
    message = f"The sound is {format_.codec} now: {found.codec} cannot be written into {found.container}."
    changed = ReportWarning(code=WarningCode.FORMAT_CHANGED, message=message)
    return OutputSpec(format_, copies=Copies.ALL if found.other_streams else Copies.NOTHING, warnings=(changed,))


def _chosen(found: AudioFormat, wanted: OutputFormat) -> OutputSpec:
    if wanted.value == found.container and not found.has_video:
        return _like(found)
    sound = replace(found, container=wanted.value, start_s=0.0, has_video=False, has_cover=False, other_streams=0)
    keeps_cover = found.has_cover and wanted.value in TAKES_COVER
    return OutputSpec(
        replace(_sound_alone(sound, wanted), has_cover=keeps_cover, other_streams=int(keeps_cover)),
        copies=Copies.COVERS if keeps_cover else Copies.NOTHING,
        warnings=() if keeps_cover else _dropped_cover(found),
    )


def _dropped_cover(found: AudioFormat) -> tuple[ReportWarning, ...]:
    message = "The attached picture was left out: the output's container does not take it."
    return (ReportWarning(code=WarningCode.COVER_DROPPED, message=message),) if found.has_cover else ()


def _sound_alone(sound: AudioFormat, wanted: OutputFormat) -> AudioFormat:
    plain = replace(sound, subtype=None, major=None, is_vbr=False, bits=None)
    match wanted:
        case OutputFormat.WAV:
            subtype = "FLOAT" if sound.holds_any_level else "PCM_16" if _bits(sound) == 16 else "PCM_24"
            wav = replace(plain, codec=subtype.lower(), subtype=subtype, bits=_bits(sound), bit_rate=None)
            return replace(wav, major=_major(wav))
        case OutputFormat.FLAC:
            return replace(plain, codec="flac", bits=_bits(sound), bit_rate=None)
        case OutputFormat.OGG:
            return replace(_with_codec(plain, "vorbis"), subtype="VORBIS", major="OGG")
        case OutputFormat.MP3:
            return _with_codec(plain, "mp3")
        case OutputFormat.M4A:
            return _with_codec(plain, "aac")
        case OutputFormat.OPUS:
            return _with_codec(plain, "opus")


def _bits(sound: AudioFormat) -> int:
    """Return 16 or 24, whichever loses nothing; decoded lossy sound has nothing below 16 bits that matters."""
    if sound.codec in LOSSY or (sound.bits or 24) <= 16:
        return 16
    return 24


def _with_codec(sound: AudioFormat, codec: str) -> AudioFormat:
    """Return the format in another codec, at a rate and bit rate that the codec takes."""
    highest = _MAX_CHANNELS_OF.get(codec, MAX_CHANNELS)
    if sound.channels > highest:
        raise EngineError(
            ErrorCode.INPUT_TOO_MANY_CHANNELS,
            f"{codec} holds at most {highest} channels and the recording has {sound.channels}; choose another format.",
        )
    kept = sound.bit_rate if sound.codec == codec else None
    return replace(
        sound,
        codec=codec,
        rate_hz=_rate_hz(sound.rate_hz, codec),
        bit_rate=kept or _BIT_RATE_A_CHANNEL[codec] * max(2, sound.channels),
    )


def _rate_hz(wanted_hz: int, codec: str) -> int:
    rates_hz = _RATES_HZ[codec]
    higher = [rate_hz for rate_hz in rates_hz if rate_hz >= wanted_hz]
    if higher:
        return higher[0]
    family = [rate_hz for rate_hz in rates_hz if wanted_hz % rate_hz == 0]
    return family[-1] if family else rates_hz[-1]


def _major(wav: AudioFormat) -> str | None:
    """Return libsndfile's container: RF64 where plain WAV could not count the bytes, or nobody knows how many."""
    if wav.container != "wav" or wav.major in {"RF64", "W64"}:
        return wav.major
    bytes_a_frame = wav.channels * _SAMPLE_BYTES.get(wav.subtype or "", 2)
    # An estimate may be wrong by a factor; the encoder refuses to go on where it was wrong by more.
    margin = 1 if wav.is_declared_exactly else 2
    is_small = wav.declared_s is not None and margin * wav.declared_s * wav.rate_hz * bytes_a_frame < WAV_LIMIT_BYTES
    return (wav.major or "WAV") if is_small else "RF64"
