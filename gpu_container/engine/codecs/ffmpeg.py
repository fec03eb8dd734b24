"""How FFmpeg's names and ours go together, and how it is opened: with what we mean, and nothing else."""

import io
from collections.abc import Iterator
from typing import Any, Final

import av

from gpu_container.contract import ErrorCode
from gpu_container.engine.errors import EngineError

DEMUXERS: Final = (
    *("mp3", "mov", "aac", "ogg", "flac", "matroska", "amr"),
    *("avi", "asf", "mpeg", "mpegts", "flv", "ac3", "eac3", "caf"),
)
"""Demuxers that may look at a file; those of the second line only to say what it is."""

MUXERS: Final = {
    "mp3": "mp3",
    "flac": "flac",
    "m4a": "ipod",
    "aac": "adts",
    "opus": "ogg",
    "amr": "amr",
    "mp4": "mp4",
    "mov": "mov",
    "3gp": "3gp",
    "mkv": "matroska",
    "webm": "webm",
}

ENCODERS: Final = {"mp3": "libmp3lame", "opus": "libopus", "amr_nb": "libopencore_amrnb"}
"""Where FFmpeg's encoder is not named as its codec is."""

_CODECS: Final = {
    "mp3float": "mp3",
    "libopus": "opus",
    "libvorbis": "vorbis",
    "mp2float": "mp2",
    "aac_fixed": "aac",
    "amrnb": "amr_nb",
    "amrwb": "amr_wb",
    "libopencore_amrnb": "amr_nb",
    "libopencore_amrwb": "amr_wb",
}
"""Where FFmpeg's decoder is not named as its codec is."""

_DECODED: Final = frozenset(
    {"mp3", "mp2", "aac", "opus", "vorbis", "flac", "alac", "ac3", "eac3", "amr_nb", "amr_wb", "dts", "dca", "truehd"}
)

LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Used where the input names none."""

Stream = av.stream.Stream
FAULTS: Final = (av.error.FFmpegError, ValueError, OverflowError, UnicodeError)
"""What PyAV raises for a damaged file."""

_IO_BYTES: Final = 2**18


def open_input(file: io.RawIOBase) -> "av.container.InputContainer":
    """Open a file with `DEMUXERS`.

    Left to guess, FFmpeg takes a text file for a playlist and opens what it names.
    """
    file.seek(0)
    return av.open(
        file,
        "r",
        container_options={"format_whitelist": ",".join(DEMUXERS)},
        metadata_errors="replace",
        buffer_size=_IO_BYTES,
    )


def sound_of(container: "av.container.InputContainer") -> "av.AudioStream":
    """Return the stream that is enhanced: the one that players take by default, else the first.

    Raises
    ------
    EngineError
        INPUT_NO_AUDIO.
    """
    streams = container.streams.audio
    if not streams:
        raise EngineError(ErrorCode.INPUT_NO_AUDIO, "The file holds no sound.")
    return next((stream for stream in streams if stream.disposition & av.stream.Disposition.default), streams[0])


def packets_of(container: "av.container.InputContainer", *streams: Stream) -> Iterator["av.Packet[Any]"]:
    """Yield the packets of some streams, or of all; a container that breaks off ends there."""
    try:
        yield from container.demux(*streams)
    except FAULTS:
        return


def codec_of(stream: "av.AudioStream") -> str:
    """Return the codec's name.

    Raises
    ------
    EngineError
        INPUT_UNSUPPORTED if it cannot be decoded here.
    """
    context = stream.codec_context
    decoder = context.name if context is not None else "an unknown codec"
    name = _CODECS.get(decoder, decoder)
    if name not in _DECODED and not name.startswith("pcm_"):
        raise EngineError(ErrorCode.INPUT_UNSUPPORTED, f"Sound in {name} is not supported.")
    return name


def is_cover(stream: Stream) -> bool:
    """Tell attached cover art from video: FFmpeg shows both as video streams."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def is_video(stream: Stream) -> bool:
    """Tell moving pictures from the rest."""
    return stream.type == "video" and not is_cover(stream)
