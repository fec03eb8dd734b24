"""What a file is, decided by its bytes and never by its name."""

from dataclasses import dataclass, field
from pathlib import Path

import av
import soundfile as sf

from gpu_container.contract import AudioFacts, ErrorCode
from gpu_container.engine.errors import EngineError

MAX_CHANNELS = 8
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 192_000
MAX_DURATION_S = 12 * 3600.0

# libsndfile's names of the containers it reads and writes without loss of anything that we know of.
SNDFILE_CONTAINERS = {"WAV": "wav", "WAVEX": "wav", "RF64": "wav", "W64": "wav", "FLAC": "flac", "AIFF": "aiff"}

# FFmpeg's names of the demuxers, and the muxer that writes the same container.
FFMPEG_CONTAINERS = {"mp3": "mp3", "mov,mp4,m4a,3gp,3g2,mj2": "m4a", "aac": "aac", "ogg": "ogg"}
DEMUXERS = ("mp3", "mov", "aac", "ogg", "matroska", "avi", "asf", "mpeg", "mpegts", "flv")
"""FFmpeg's demuxers that are allowed to look at a file; those beyond `FFMPEG_CONTAINERS` only to say what it is."""

FFMPEG_MUXERS = {"mp3": "mp3", "m4a": "ipod", "aac": "adts", "opus": "ogg"}
CODEC_OF = {"mp3": "mp3", "m4a": "aac", "aac": "aac", "opus": "opus"}
ENCODERS = {"mp3": "libmp3lame", "m4a": "aac", "aac": "aac", "opus": "libopus"}
DEFAULT_BIT_RATES = {"mp3": 128_000, "m4a": 128_000, "aac": 128_000, "opus": 96_000}


@dataclass(frozen=True)
class AudioFormat:
    """All that is needed to read a file and to write one like it.

    Attributes
    ----------
    container
        ``wav``, ``flac``, ``aiff``, ``ogg`` (Vorbis), ``opus`` (in Ogg), ``mp3``, ``m4a`` or ``aac`` (ADTS).
    subtype
        libsndfile's name of the sample format (``PCM_24`` …) where libsndfile handles the file, else None.
    layout
        FFmpeg's name of the channel layout, where FFmpeg handles the file.
    declared_s
        The duration that the header claims; only a hint.
    """

    container: str
    codec: str
    rate_hz: int
    channels: int
    subtype: str | None = None
    major: str | None = None
    bit_rate: int | None = None
    layout: str | None = None
    declared_s: float | None = None
    has_cover: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def by_sndfile(self) -> bool:
        """True where libsndfile reads and writes the file, else FFmpeg does."""
        return self.subtype is not None

    @property
    def holds_any_level(self) -> bool:
        """True where samples beyond full scale can be stored."""
        return self.subtype in {"FLOAT", "DOUBLE"}

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


def identify(path: Path) -> AudioFormat:
    """Return the file's format.

    Raises
    ------
    EngineError
        INPUT_EMPTY, INPUT_CORRUPT, INPUT_NO_AUDIO, INPUT_UNSUPPORTED, INPUT_TOO_MANY_CHANNELS, INPUT_RATE_UNSUPPORTED.
    """
    if path.stat().st_size == 0:
        raise EngineError(ErrorCode.INPUT_EMPTY, "The file is empty.")
    found = _identify_sndfile(path) or _identify_ffmpeg(path)
    if found.channels > MAX_CHANNELS:
        raise EngineError(
            ErrorCode.INPUT_TOO_MANY_CHANNELS, f"The file has {found.channels} channels; at most {MAX_CHANNELS} work."
        )
    if not MIN_RATE_HZ <= found.rate_hz <= MAX_RATE_HZ:
        raise EngineError(
            ErrorCode.INPUT_RATE_UNSUPPORTED,
            f"The sample rate is {found.rate_hz} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz work.",
        )
    return found


def _identify_sndfile(path: Path) -> AudioFormat | None:
    """Return the format if libsndfile is the one to handle it. Its MP3 and Opus are left to FFmpeg."""
    try:
        with sf.SoundFile(path) as file:
            vorbis = file.format == "OGG" and file.subtype == "VORBIS"
            if file.format not in SNDFILE_CONTAINERS and not vorbis:
                return None
            return AudioFormat(
                container="ogg" if vorbis else SNDFILE_CONTAINERS[file.format],
                codec="vorbis" if vorbis else "flac" if file.format == "FLAC" else file.subtype.lower(),
                rate_hz=file.samplerate,
                channels=file.channels,
                subtype=file.subtype,
                major=file.format,
                bit_rate=round(path.stat().st_size * 8 * file.samplerate / file.frames)
                if vorbis and file.frames
                else None,
                declared_s=file.frames / file.samplerate,
                tags={name: value for name, value in file.copy_metadata().items() if value},
            )
    except sf.LibsndfileError:
        return None


def _identify_ffmpeg(path: Path) -> AudioFormat:
    try:
        with open_with_ffmpeg(path) as file:
            return _of_container(file)
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        raise EngineError(
            ErrorCode.INPUT_CORRUPT, "The file is not audio that can be read, or it is damaged."
        ) from error


def open_with_ffmpeg(path: Path) -> "av.container.InputContainer":
    """Open a file with the demuxers that we mean, and no other file or address through it.

    Left to guess, FFmpeg takes a text file for a playlist and opens what it names.
    """
    options = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "file"}
    return av.open(str(path), container_options=options, metadata_errors="replace")


def _of_container(file: "av.container.InputContainer") -> AudioFormat:
    if any(stream.type == "video" and not _is_cover(stream) for stream in file.streams):
        raise EngineError(ErrorCode.INPUT_UNSUPPORTED, "The file holds video; send the sound alone.")
    if not file.streams.audio:
        raise EngineError(ErrorCode.INPUT_NO_AUDIO, "The file holds no sound.")
    stream = file.streams.audio[0]
    codec = stream.codec_context
    container = FFMPEG_CONTAINERS.get(file.format.name)
    if container == "ogg" and codec.name in {"opus", "libopus"}:
        container = "opus"
    known = {"mp3": "mp3", "mp3float": "mp3", "opus": "opus", "libopus": "opus", "aac": "aac"}
    name = known.get(codec.name)
    if container is None or name is None or name != CODEC_OF.get(container):
        raise EngineError(ErrorCode.INPUT_UNSUPPORTED, f"{file.format.name} with {codec.name} is not supported.")
    if codec.sample_rate <= 0 or codec.channels <= 0:
        raise EngineError(ErrorCode.INPUT_CORRUPT, "The file's header names no sample rate or no channels.")
    return AudioFormat(
        container=container,
        codec=name,
        rate_hz=codec.sample_rate,
        channels=codec.channels,
        layout=codec.layout.name,
        declared_s=file.duration / av.time_base if file.duration else None,
        has_cover=any(_is_cover(stream) for stream in file.streams if stream.type == "video"),
        bit_rate=stream.bit_rate or file.bit_rate or None,
        tags=dict(file.metadata),
    )


def _is_cover(stream: "av.stream.Stream") -> bool:
    """Tell attached cover art from video: FFmpeg shows both as video streams."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)
