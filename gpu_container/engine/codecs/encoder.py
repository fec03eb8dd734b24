"""Blocks of samples in, a file out: written from its beginning to its end, then patched at its head alone."""

import io
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import Any, Final, Protocol, cast

import av
import numpy as np
import soundfile as sf
from av.stream import Discard
from numpy.typing import NDArray

from gpu_container.contract import ErrorCode, ReportWarning, WarningCode
from gpu_container.engine.codecs.ffmpeg import (
    ENCODERS,
    FAULTS,
    LAYOUTS,
    MUXERS,
    Stream,
    is_cover,
    open_input,
    packets_of,
    sound_of,
)
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import (
    TAKES_COVER,
    TAKES_STREAMS,
    WAV_LIMIT_BYTES,
    AudioFormat,
    Copies,
    OutputSpec,
    Samples,
)

_IO_BYTES: Final = 2**18
MAX_PICTURE_BYTES: Final = 3 * 2**20
"""Of all attached pictures: they lie before the head's last patch, and a streamed sink keeps only the head."""

_BIT_RATE_LIMITS: Final = {"mp3": (8_000, 320_000), "aac": (8_000, 288_000), "opus": (6_000, 256_000)}
"""Bits per second and channel that encoders take."""
_LAME_SCALES: Final = ((176_000, 0.95), (208_000, 0.97), (240_000, 0.98))
"""What LAME turns the input down by, up to which bit rate; FFmpeg has no switch for it. Measured at all its rates."""
_LAME_LOW_RATES_HZ: Final = 24_000
"""Up to this sample rate no bit rate is above 160 kbit/s."""
_AMR_BIT_RATES: Final = (4_750, 5_150, 5_900, 6_700, 7_400, 7_950, 10_200, 12_200)

_VORBIS_RATES: Final = (32_000, 40_000, 48_000, 56_000, 64_000, 80_000, 96_000, 112_000, 128_000, 160_000, 250_000)
_VORBIS_QUALITIES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

_NOT_SOUND_TAGS: Final = ("bps", "number_of_", "_statistics", "duration", "encoder")
"""Beginnings of a sound stream's tags that are not true of another encoding of it."""


class Encoder(Protocol):
    """A file that is being written.

    Attributes
    ----------
    warnings
        What of the original could not be taken along.
    """

    warnings: list[ReportWarning]

    def write(self, block: Samples) -> None:
        """Append ``(channels, n)`` float32 in [-1, 1]."""
        ...

    def finish(self) -> None:
        """Complete the file."""
        ...


def open_encoder(file: io.RawIOBase, spec: OutputSpec, original: io.RawIOBase | None) -> Encoder:
    """Begin a file.

    Raises
    ------
    EngineError
        INPUT_UNSUPPORTED if no encoder takes this channel layout or rate.
    """
    try:
        return _SndfileEncoder(file, spec.format) if spec.format.by_sndfile else _FfmpegEncoder(file, spec, original)
    except (*FAULTS, sf.LibsndfileError) as error:
        raise _unwritable(spec.format) from error


def _unwritable(like: AudioFormat) -> EngineError:
    message = f"{like.codec} with {like.channels} channels at {like.rate_hz} Hz cannot be written."
    return EngineError(ErrorCode.INPUT_UNSUPPORTED, message)


def quantise(block: Samples, bits: int) -> NDArray[np.int32]:
    """Round samples to ``bits`` bits, left-aligned in 32; shape and order stay.

    The inverse of what both libraries do on reading (divide by 2^(bits-1)), so that what was decoded is written again
    bit by bit. libsndfile alone would scale by 2^(bits-1) - 1.
    """
    scale = float(2 ** (bits - 1))
    whole = np.rint(np.clip(block.astype(np.float64), -1.0, 1.0) * scale)
    return (np.minimum(whole, scale - 1).astype(np.int64) << (32 - bits)).astype(np.int32)


class _SndfileEncoder:
    """WAV, AIFF and Ogg Vorbis."""

    def __init__(self, file: io.RawIOBase, like: AudioFormat) -> None:
        self.warnings: list[ReportWarning] = []
        self._like = like
        self._out = file
        self._file = sf.SoundFile(
            file,
            "w",
            samplerate=like.rate_hz,
            channels=like.channels,
            format=like.major,
            subtype=like.subtype,
            compression_level=_vorbis_compression(like) if like.codec == "vorbis" else None,
        )
        for name, value in like.tags.items():
            with suppress(AttributeError, TypeError, sf.LibsndfileError):  # the format has no room for such a tag
                setattr(self._file, name, value)

    def write(self, block: Samples) -> None:
        samples = quantise(block, self._like.bits) if self._like.bits else block
        self._file.write(np.ascontiguousarray(samples.T))
        if self._like.major in {"WAV", "WAVEX", "AIFF"} and self._out.tell() > WAV_LIMIT_BYTES:
            raise EngineError(ErrorCode.INPUT_TOO_LONG, "The recording is far longer than its header says.")

    def finish(self) -> None:
        self._file.close()


def _vorbis_compression(like: AudioFormat) -> float:
    """Return libsndfile's compression level, 0 (best) to 1, for about the input's bit rate.

    Vorbis knows qualities and no rates; the table is the encoder's nominal one for a channel at 44.1 kHz.
    """
    if not like.bit_rate:
        return 0.4
    a_channel = like.bit_rate / like.channels * 44_100 / like.rate_hz
    return float(1 - np.interp(a_channel, _VORBIS_RATES, _VORBIS_QUALITIES))


class _Copied:
    """The original's other streams on their way into the new file, in step with the sound."""

    def __init__(self, original: io.RawIOBase, copies: Copies) -> None:
        self.pictures = _pictures(original)
        self.container = open_input(original)
        self.sound = sound_of(self.container)
        self.streams = [stream for stream in self.container.streams if copies is Copies.ALL or is_cover(stream)]
        self._targets: dict[int, Stream] = {}
        self._packets: Iterator[av.Packet[Any]] = iter(())
        self._waiting: av.Packet[Any] | None = None

    def put(self, stream: Stream, target: Stream) -> None:
        """Say where a stream's packets go."""
        self._targets[stream.index] = target

    def begin(self) -> None:
        """Start reading; what is not taken stays unread where the container has an index."""
        taken = [stream for stream in self.container.streams if stream.index in self._targets]
        for stream in self.container.streams:
            if stream not in taken:
                stream.discard = Discard.all
        # The last packet of each stream is an empty one, for decoders to flush.
        packets = (packet for packet in packets_of(self.container, *taken) if packet.size)
        # Attached pictures come first, one packet each; behind them the whole sound would be read for nothing.
        self._packets = islice(packets, len(taken)) if all(is_cover(stream) for stream in taken) else packets

    def packets(self, until_s: float) -> "Iterator[av.Packet[Any]]":
        """Yield packets that are due before ``until_s``, set to their new streams."""
        while packet := self._waiting or next(self._packets, None):
            self._waiting = packet
            if _due_s(packet) > until_s:
                return
            self._waiting = None
            packet.stream = self._targets[packet.stream_index]
            yield packet


def _pictures(original: io.RawIOBase) -> dict[int, bytes]:
    """Return the attached pictures by stream, none where they are too large together."""
    with open_input(original) as container:
        covers = [stream for stream in container.streams if is_cover(stream)]
        packets = list(islice(packets_of(container, *covers), len(covers))) if covers else []
        if sum(packet.size for packet in packets) > MAX_PICTURE_BYTES:
            return {}
        return {packet.stream_index: bytes(packet) for packet in packets if packet.size}


class _FfmpegEncoder:
    """The rest. The encoder's delay is written into the file, so that players trim it (ADTS and AMR cannot)."""

    def __init__(self, file: io.RawIOBase, spec: OutputSpec, original: io.RawIOBase | None) -> None:
        like = spec.format
        self.warnings: list[ReportWarning] = []
        self._like = like
        # MP4 writes the length of the sound in this unit; its own thousandths of a second would cost samples.
        options = {"movie_timescale": str(like.rate_hz)} if like.container in {"m4a", "mp4", "mov", "3gp"} else {}
        muxer = MUXERS[like.container]
        if muxer == "ipod" and spec.copies and like.has_cover:
            # PyAV does not let pictures into FFmpeg's M4A; the MP4 under the same brand is the same file.
            muxer, options["brand"] = "mp4", "M4A "
        self._file = av.open(file, "w", format=muxer, container_options=options, buffer_size=_IO_BYTES)
        self._file.metadata.update(like.tags)
        self._layout = like.layout or LAYOUTS[like.channels]
        self._start = round(like.start_s * like.rate_hz)
        self._gain = np.float32(1 / _lame_scale(like)) if like.codec == "mp3" else np.float32(1)
        self._written = 0
        self._unusable = 0
        self._says_its_delay = like.container not in {"aac", "amr"}
        self._copied = _Copied(original, spec.copies) if original and spec.copies else None
        if self._copied:
            self._add_streams(self._copied)
        else:
            self._stream = self._add_sound()
        self._file.start_encoding()
        if self._copied:
            self._copied.begin()

    def write(self, block: Samples) -> None:
        packed = self._packed(self._gain * block)
        frame = av.AudioFrame.from_ndarray(packed, format=self._sample_format(), layout=self._layout)
        frame.sample_rate, frame.pts = self._like.rate_hz, self._start + self._written
        frame.time_base = Fraction(1, self._like.rate_hz)
        self._copy((self._start + self._written) / self._like.rate_hz)
        self._written += block.shape[1]
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._mux(self._stream.encode(None))
        self._copy(float("inf"))
        self._file.close()
        if self._unusable:
            message = f"{self._unusable} packets beside the sound were damaged and were left out."
            self.warnings.append(ReportWarning(code=WarningCode.FORMAT_CHANGED, message=message))

    def _packed(self, block: Samples) -> NDArray[Any]:
        """Return ``(1, n * channels)`` samples, in the kind that the encoder takes."""
        packed = np.ascontiguousarray(block.T).reshape(1, -1)
        match self._sample_format():
            case "s16":
                return (quantise(packed, min(16, self._like.bits or 16)) >> 16).astype(np.int16)
            case "s32":
                return quantise(packed, min(32, self._like.bits or 24))
            case _:
                return packed

    def _sample_format(self) -> str:
        if not self._like.bits:
            return "flt"
        return "s16" if self._like.bits <= 16 else "s32"

    def _add_sound(self) -> "av.AudioStream":
        like = self._like
        stream = self._file.add_stream(
            ENCODERS.get(like.codec, like.codec), rate=like.rate_hz, layout=self._layout, options=_options(like)
        )
        sound = cast("av.AudioStream", stream)
        if like.codec in {"flac", "alac"} and (like.bits or 16) <= 16:
            sound.codec_context.format = "s16p" if like.codec == "alac" else "s16"
        elif like.codec in {"flac", "alac"}:
            sound.codec_context.format = "s32p" if like.codec == "alac" else "s32"
        bit_rate = _bit_rate(like)
        if bit_rate:
            sound.bit_rate = bit_rate
        return sound

    def _add_streams(self, copied: _Copied) -> None:
        """Add the original's streams in their order; the sound is encoded, the others are taken as they are."""
        for stream in copied.container.streams:
            if stream is copied.sound:
                self._stream = self._add_sound()
                self._describe_sound(copied.sound)
            elif stream in copied.streams and not self._add_copy(copied, stream):
                self.warnings.append(_left_out(stream))
        self._file.set_chapters(copied.container.chapters())

    def _describe_sound(self, sound: Stream) -> None:
        kept = {name: value for name, value in sound.metadata.items() if not name.lower().startswith(_NOT_SOUND_TAGS)}
        self._stream.metadata.update(kept)
        self._stream.disposition = sound.disposition

    def _add_copy(self, copied: _Copied, stream: Stream) -> bool:
        takers = TAKES_COVER if is_cover(stream) else TAKES_STREAMS
        if self._like.container not in takers or (is_cover(stream) and stream.index not in copied.pictures):
            return False
        if is_cover(stream) and self._like.container == "mkv":
            return self._attach(stream, copied.pictures[stream.index])
        try:
            target = self._file.add_stream_from_template(stream, opaque=True)
        except (*FAULTS, KeyError):
            return False
        target.metadata.update(stream.metadata)
        target.disposition = stream.disposition
        target.time_base = stream.time_base
        copied.put(stream, target)
        return True

    def _attach(self, stream: Stream, picture: bytes) -> bool:
        """Write a picture as Matroska has it: a file of its own."""
        name, kind = stream.metadata.get("filename", "cover"), stream.metadata.get("mimetype", "image/jpeg")
        self._file.add_attachment(name, kind, picture)
        return True

    def _copy(self, until_s: float) -> None:
        if self._copied:
            for packet in self._copied.packets(until_s):
                try:
                    self._file.mux_one(packet)
                except av.error.FFmpegError:
                    self._unusable += 1  # a damaged file whose time runs backwards

    def _mux(self, packets: "list[av.Packet[av.AudioStream]]") -> None:
        """Write packets; where the format cannot say how long the encoder's run-up is, leave the run-up out."""
        self._file.mux([packet for packet in packets if self._says_its_delay or (packet.pts or 0) >= 0])


def _lame_scale(like: AudioFormat) -> float:
    """Return what LAME will multiply the samples with: left alone, each generation of an MP3 is 0.45 dB fainter."""
    bit_rate = 0 if like.rate_hz <= _LAME_LOW_RATES_HZ else _bit_rate(like) or 0
    return next((scale for up_to, scale in _LAME_SCALES if bit_rate <= up_to), 1.0)


def _options(like: AudioFormat) -> dict[str, str]:
    if like.codec == "mp3" and like.is_vbr:
        return {"abr": "1"}  # varies around the average that the input had
    if like.codec in {"flac", "alac"} and (like.bits or 16) > 16:
        return {"bits_per_raw_sample": "24"}
    return {}


def _bit_rate(like: AudioFormat) -> int | None:
    """Return the input's bit rate, within what its encoder takes; None leaves the encoder's own."""
    if like.codec == "amr_nb":
        return min(_AMR_BIT_RATES, key=lambda rate: abs(rate - (like.bit_rate or _AMR_BIT_RATES[-1])))
    if like.codec not in _BIT_RATE_LIMITS:
        return None if like.is_lossless else like.bit_rate
    lowest, highest = _BIT_RATE_LIMITS[like.codec]
    wanted = like.bit_rate or 64_000 * max(2, like.channels)
    return min(max(wanted, lowest * like.channels), highest * like.channels)


def _left_out(stream: Stream) -> ReportWarning:
    if is_cover(stream):
        return ReportWarning(code=WarningCode.COVER_DROPPED, message="An attached picture was left out.")
    message = f"Stream {stream.index} ({stream.type}) was left out: the container does not take it."
    return ReportWarning(code=WarningCode.FORMAT_CHANGED, message=message)


def _due_s(packet: "av.Packet[Any]") -> float:
    when = packet.dts if packet.dts is not None else packet.pts
    if when is None or packet.time_base is None:
        return 0.0
    return float(when * packet.time_base)
