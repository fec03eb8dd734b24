"""Bytes in, a format and blocks of samples out. Runs in a child: it reads what strangers wrote."""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, Protocol

import av
import numpy as np
import soundfile as sf
from av.stream import Discard

from gpu_container.contract import ErrorCode
from gpu_container.engine.codecs import headers
from gpu_container.engine.codecs.ffmpeg import (
    FAULTS,
    Stream,
    codec_of,
    is_cover,
    is_video,
    open_input,
    packets_of,
    sound_of,
)
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import MAX_TAG_CHARACTERS, AudioFormat, Samples

BLOCK_S: Final = 1.0
BROKEN_SHARE: Final = 0.05
"""A file of which more than this share of packets cannot be decoded is corrupt; fewer are left out, as players do."""

_ROUNDING_S: Final = 0.001
"""Durations are declared in microseconds, or in a few milliseconds' ticks: less than this is not missing."""
_RUN_UP_S: Final = 0.1
"""Matroska's duration counts what encoders put before the sound (up to 50 ms) and rounds up the last packet."""

_GAP_S: Final = 0.04
"""Time stamps that are off by more mean a gap or an overlap; less is rounding (Matroska counts milliseconds)."""
_PADDING_FRAMES: Final = 4_096
"""No encoder fills its last packet with more than this."""
_ADDRESSABLE: Final = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Samples that lie in the file one by one."""
_MEASURED_PACKETS: Final = 200
"""As many give a bit rate where the header has none."""

_SNDFILE_CONTAINERS: Final = {"WAV": "wav", "WAVEX": "wav", "RF64": "wav", "W64": "wav", "AIFF": "aiff", "OGG": "ogg"}
_FFMPEG_CONTAINERS: Final = {
    "mp3": "mp3",
    "aac": "aac",
    "flac": "flac",
    "ogg": "opus",
    "amr": "amr",
    "matroska,webm": "mkv",
    "mov,mp4,m4a,3gp,3g2,mj2": "mp4",
}
_PLAIN: Final = {"mp3": "mp3", "aac": "aac", "flac": "flac", "opus": "opus"}
"""Containers that hold one codec."""
_NOT_TAGS: Final = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "software", "metadata_block_picture"}
)
"""Written anew by each muxer, or untrue of the result."""


class Decoder(Protocol):
    """An opened file.

    Attributes
    ----------
    format
        What it is.
    missing_s
        How much of the declared duration was not there; known at the end.
    """

    format: AudioFormat
    missing_s: float

    def skip(self, frames: int) -> int:
        """Leave out the first frames where that is exact and needs no decoding; return how many were left out."""
        ...

    def blocks(self) -> Iterator[Samples]:
        """Yield ``(channels, n)`` float32, about a second each."""
        ...


def open_decoder(file: io.RawIOBase, size_bytes: int) -> Decoder:
    """Identify a file by its bytes, and open it.

    Raises
    ------
    EngineError
        INPUT_EMPTY, INPUT_CORRUPT, INPUT_NO_AUDIO, INPUT_UNSUPPORTED.
    """
    if size_bytes == 0:
        raise EngineError(ErrorCode.INPUT_EMPTY, "The file is empty.")
    return _SndfileDecoder(file, size_bytes) if headers.for_sndfile(file) else _FfmpegDecoder(file)


class _SndfileDecoder:
    """WAV, AIFF and Ogg Vorbis."""

    def __init__(self, file: io.RawIOBase, size_bytes: int) -> None:
        missing = headers.missing_share(file, size_bytes)
        self._raw = file
        file.seek(0)
        try:
            self._file = sf.SoundFile(file)
        except sf.LibsndfileError as error:
            raise _damaged() from error
        container = _SNDFILE_CONTAINERS.get(self._file.format)
        if container is None or self._file.subtype.startswith("MPEG"):
            raise EngineError(ErrorCode.INPUT_UNSUPPORTED, f"{self._file.format_info} is not supported.")
        self.format = self._describe(container, size_bytes, missing, nominal=headers.vorbis_bit_rate(file))
        self.missing_s = (self.format.declared_s or 0.0) * missing

    def _describe(self, container: str, size_bytes: int, missing: float, *, nominal: int | None) -> AudioFormat:
        file = self._file
        present_s = file.frames / file.samplerate
        is_vorbis = file.subtype == "VORBIS"
        head = headers.first_bytes(self._raw, 2**16).lower() if is_vorbis else b""
        return AudioFormat(
            container=container,
            codec=file.subtype.lower(),
            rate_hz=file.samplerate,
            channels=file.channels,
            subtype=file.subtype,
            major=file.format,
            bits={"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}.get(file.subtype),
            bit_rate=nominal or round(size_bytes * 8 / present_s) if is_vorbis and present_s else None,
            declared_s=present_s / (1 - missing) if missing < 1 else present_s,
            is_declared_exactly=not is_vorbis,
            has_cover=b"metadata_block_picture=" in head,
            tags=_tags(file.copy_metadata()),
        )

    def skip(self, frames: int) -> int:
        if not self._file.subtype.startswith(_ADDRESSABLE):
            return 0
        try:
            return int(self._file.seek(min(frames, self._file.frames)))
        except sf.LibsndfileError as error:
            raise _damaged() from error

    def blocks(self) -> Iterator[Samples]:
        size = max(1, round(BLOCK_S * self.format.rate_hz))
        try:
            while len(block := self._file.read(size, dtype="float32", always_2d=True)):
                yield np.ascontiguousarray(block.T)
        except sf.LibsndfileError as error:
            raise _damaged() from error


class _FfmpegDecoder:
    """All the rest. Encoder delay and edit lists are FFmpeg's work: what comes out is what a player plays."""

    def __init__(self, file: io.RawIOBase) -> None:
        try:
            self._container = open_input(file)
            self._stream = sound_of(self._container)
            self._skip_the_others()
            self.format = self._describe(file)
            self._converter = _Converter(self._stream)
            if self.format.codec == "flac":
                # Left alone, FFmpeg plays frames whose checksum is wrong: noise at full scale.
                self._stream.codec_context.options = {"err_detect": "crccheck+explode"}
        except FAULTS as error:
            raise _damaged() from error
        self.missing_s = 0.0

    def _skip_the_others(self) -> None:
        """Leave the pictures unread where the container has an index: they may be a hundred times the sound."""
        if _has_index(self._container):
            for stream in self._container.streams:
                if stream is not self._stream:
                    stream.discard = Discard.all

    def skip(self, frames: int) -> int:  # noqa: ARG002 - seeking in packets is not exact
        return 0

    def blocks(self) -> Iterator[Samples]:
        wanted = max(1, round(BLOCK_S * self.format.rate_hz))
        held: list[Samples] = []
        for part in self._trimmed(self._timed()):
            held.append(part)
            if sum(array.shape[1] for array in held) >= wanted:
                yield np.concatenate(held, axis=1)
                held = []
        if held:
            yield np.concatenate(held, axis=1)

    def _timed(self) -> Iterator[Samples]:
        """Yield the samples; beside pictures, from where those begin, silence in gaps, and nothing twice.

        A sound track that begins late would need an empty edit in front of the encoder's delay, which MP4's readers
        understand differently; silence is understood by all.
        """
        rate_hz, written = self.format.rate_hz, 0
        for frame in self._decoded():
            part = self._converter.samples(frame)
            begin_s = _begin_s(frame) if self.format.has_video else None
            late = 0 if begin_s is None else round((float(begin_s) - self.format.start_s) * rate_hz) - written
            if written and abs(late) <= _GAP_S * rate_hz:
                late = 0
            if late > 0:
                yield from self._silence(late)
                written += late
            kept = part[:, -late:] if late < 0 else part
            written += kept.shape[1]
            yield kept

    def _silence(self, frames: int) -> Iterator[Samples]:
        for at in range(0, frames, self.format.rate_hz):
            yield np.zeros((self.format.channels, min(self.format.rate_hz, frames - at)), np.float32)

    def _trimmed(self, parts: Iterator[Samples]) -> Iterator[Samples]:
        """Leave out with what the last packet was filled up, where the header counts the samples."""
        declared = self._declared_frames()
        if declared is None:
            yield from parts
            return
        beyond: list[Samples] = []
        room = declared
        for part in parts:
            yield part[:, : max(0, room)]
            if part.shape[1] > room:
                beyond.append(part[:, max(0, room) :])
            room -= part.shape[1]
            # More than any encoder's padding: the header has miscounted, the samples are real.
            if room < -_PADDING_FRAMES:
                yield from beyond
                beyond = []

    def _declared_frames(self) -> int | None:
        return (
            round((self.format.declared_s or 0.0) * self.format.rate_hz) or None
            if _has_index(self._container)
            else None
        )

    def _decoded(self) -> Iterator["av.AudioFrame"]:
        decoded = broken = 0
        end_s = 0.0
        for packet in packets_of(self._container):
            end_s = max(end_s, _end_s(packet))
            if packet.stream is not self._stream:
                continue
            try:
                frames = packet.decode()
            except FAULTS:
                broken += 1
                continue
            decoded += 1
            for frame in frames:
                if isinstance(frame, av.AudioFrame):
                    yield frame
        if broken > max(1, BROKEN_SHARE * (decoded + broken)):
            raise _damaged()
        if self.format.is_declared_exactly:
            missing_s = (self.format.declared_s or 0.0) + self.format.start_s - end_s
            tolerance_s = _RUN_UP_S if self.format.container in {"mkv", "webm"} else _ROUNDING_S
            self.missing_s = missing_s if missing_s > tolerance_s else 0.0

    def _describe(self, file: io.RawIOBase) -> AudioFormat:
        container, stream = self._container, self._stream
        codec = codec_of(stream)
        kind = _container_of(container, codec, file)
        context = stream.codec_context
        xing = headers.xing_kind(file) if kind == "mp3" else None
        others = [other for other in container.streams if other is not stream]
        has_video = any(is_video(other) for other in others)
        start_s = (container.start_time or 0) / av.time_base if has_video else 0.0
        bit_rate = stream.bit_rate or (None if others else container.bit_rate)
        tags = dict(container.metadata) | (dict(stream.metadata) if kind == "opus" else {})
        return AudioFormat(
            container=kind,
            codec=codec,
            rate_hz=context.sample_rate,
            channels=context.channels,
            bits=headers.whole_bits(codec, context.extradata) or _pcm_bits(codec),
            bit_rate=bit_rate or _measured_bit_rate(file, stream.index),
            is_vbr=xing == b"Xing",
            layout=context.layout.name if "channels" not in context.layout.name else None,
            declared_s=_declared_s(container, stream, start_s=start_s if has_video else None),
            # An estimate in ADTS and AMR, and in MP3 without a count; Ogg's is where the file ends, wherever that is.
            is_declared_exactly=kind not in {"aac", "amr", "opus"} and (kind != "mp3" or xing is not None),
            start_s=start_s,
            has_cover=any(is_cover(other) for other in others),
            has_video=has_video,
            other_streams=len(others),
            tags=_tags(tags),
        )


class _Converter:
    """Turns frames of any kind into ``(channels, n)`` float32 of one."""

    def __init__(self, stream: "av.AudioStream") -> None:
        self._rate_hz = stream.codec_context.sample_rate
        self._layout = stream.codec_context.layout
        self._channels = stream.codec_context.channels
        self._resampler: av.AudioResampler | None = None
        self._resampled: tuple[int, str, str] | None = None

    def samples(self, frame: "av.AudioFrame") -> Samples:
        """Return a frame's samples; some broadcasts, and damaged files, change the rate or the channels midway."""
        kind = (frame.sample_rate, frame.layout.name, frame.format.name)
        if self._resampler is None or kind != self._resampled:
            # Packed, never planar: PyAV counts the planes of a frame of eight channels past their end.
            same = frame.sample_rate == self._rate_hz and len(frame.layout.channels) == self._channels
            self._resampler = av.AudioResampler(format="flt", rate=self._rate_hz, layout=None if same else self._layout)
            self._resampled = kind
        packed = [part.to_ndarray().reshape(-1, self._channels).T for part in self._resampler.resample(frame)]
        return np.ascontiguousarray(np.concatenate([np.zeros((self._channels, 0), np.float32), *packed], axis=1))


def _damaged() -> EngineError:
    return EngineError(ErrorCode.INPUT_CORRUPT, "The file is not audio that can be read, or it is damaged.")


def _container_of(container: "av.container.InputContainer", codec: str, file: io.RawIOBase) -> str:
    """Return our name of the container.

    Raises
    ------
    EngineError
        INPUT_UNSUPPORTED.
    """
    kind = _FFMPEG_CONTAINERS.get(container.format.name)
    if kind is None or _PLAIN.get(kind, codec) != codec or (kind == "amr" and not codec.startswith("amr")):
        raise EngineError(ErrorCode.INPUT_UNSUPPORTED, f"{container.format.name} with {codec} is not supported.")
    has_video = any(is_video(stream) for stream in container.streams)
    if has_video and kind not in {"mp4", "mkv"}:
        raise EngineError(ErrorCode.INPUT_UNSUPPORTED, f"Video in {container.format.name} is not supported.")
    if kind == "mkv":
        return "webm" if headers.is_webm(file) else "mkv"
    if kind == "mp4":
        return _brand(container.metadata.get("major_brand", ""), codec, has_video=has_video)
    return kind


def _brand(major_brand: str, codec: str, *, has_video: bool) -> str:
    """Tell the members of the MP4 family apart."""
    if major_brand.startswith("qt"):
        return "mov"
    if major_brand.startswith("3g"):
        return "3gp"
    return "m4a" if not has_video and codec in {"aac", "alac"} else "mp4"


def _pcm_bits(codec: str) -> int | None:
    digits = "".join(character for character in codec if character.isdigit())
    return int(digits) if codec.startswith(("pcm_s", "pcm_u")) and digits else None


def _tags(found: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in found.items()
        if value and len(value) <= MAX_TAG_CHARACTERS and name.lower() not in _NOT_TAGS
    }


def _measured_bit_rate(file: io.RawIOBase, index: int) -> int | None:
    """Return the bit rate of a stream's first packets."""
    size_bytes, duration_s = 0, Fraction(0)
    at = file.tell()
    with open_input(file) as container:
        stream = container.streams[index]
        for count, packet in enumerate(container.demux(stream)):
            size_bytes += packet.size
            duration_s += (packet.duration or 0) * (packet.time_base or 0)
            if count >= _MEASURED_PACKETS:
                break
    file.seek(at)
    return round(size_bytes * 8 / duration_s) if duration_s else None


def _has_index(container: "av.container.InputContainer") -> bool:
    """Tell whether the container lists where each packet lies, and what of it is to be heard: MP4 and its like."""
    return container.format.name.startswith("mov")


def _declared_s(
    container: "av.container.InputContainer", stream: "av.AudioStream", *, start_s: float | None
) -> float | None:
    """Return the duration that a stream's own index claims, else the container's.

    Sound that begins later than the pictures do, at ``start_s``, is counted from there.
    """
    if _has_index(container) and stream.duration and stream.time_base:
        late_s = 0.0 if start_s is None else float((stream.start_time or 0) * stream.time_base) - start_s
        return float(stream.duration * stream.time_base) + max(0.0, late_s)
    return container.duration / av.time_base if container.duration else None


def _begin_s(frame: "av.AudioFrame") -> Fraction | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return frame.pts * frame.time_base


def _end_s(packet: "av.Packet[Stream]") -> float:
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)
