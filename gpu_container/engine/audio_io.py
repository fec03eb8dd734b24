"""Reading and writing recordings block by block, in constant memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

import av
import numpy as np
import soundfile as sf

from gpu_container.contract import AudioFacts, ErrorCode
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import (
    DEFAULT_BIT_RATES,
    ENCODERS,
    FFMPEG_MUXERS,
    MAX_DURATION_S,
    AudioFormat,
    identify,
    open_with_ffmpeg,
)
from gpu_container.engine.stft import Real

BLOCK_S = 1.0
BROKEN_SHARE = 0.05
"""A file of which more than this share of packets cannot be decoded is corrupt; fewer are left out, as players do."""


def probe(path: Path, *, max_duration_s: float = MAX_DURATION_S) -> AudioFacts:
    """Decode a whole file and return what is in it.

    Raises
    ------
    EngineError
        Any ``INPUT_*`` code.
    """
    found = identify(path)
    frames = sum(block.shape[1] for block in blocks(path, found, max_duration_s=max_duration_s))
    return found.facts(frames)


def blocks(path: Path, found: AudioFormat, *, max_duration_s: float = MAX_DURATION_S) -> Iterator[Real]:
    """Yield ``(channels, n)`` float32, about a second each.

    Raises
    ------
    EngineError
        INPUT_CORRUPT, INPUT_EMPTY, INPUT_TOO_LONG.
    """
    decode = _sndfile_blocks if found.by_sndfile else _ffmpeg_blocks
    frames, limit = 0, max_duration_s * found.rate_hz
    for block in decode(path, found):
        frames += block.shape[1]
        if frames > limit:
            raise EngineError(ErrorCode.INPUT_TOO_LONG, f"The recording is longer than {max_duration_s:.0f} s.")
        if block.shape[1]:
            yield block
    if frames == 0:
        raise EngineError(ErrorCode.INPUT_EMPTY, "The recording has no samples.")


LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Used where the input names none."""

BIT_RATE_LIMITS = {"mp3": (8_000, 320_000), "aac": (8_000, 288_000), "opus": (6_000, 256_000)}
"""Bits per second and channel."""

VORBIS_RATES = (32_000, 40_000, 48_000, 56_000, 64_000, 80_000, 96_000, 112_000, 128_000, 160_000, 250_000)
VORBIS_QUALITIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Writer(Protocol):
    """Takes a recording block by block."""

    def write(self, block: Real) -> None:
        """Append ``(channels, n)`` float32 in [-1, 1]."""
        ...


@contextmanager
def writer(path: Path, like: AudioFormat) -> Iterator[Writer]:
    """Open a file of the given format for writing; it is complete when the context ends."""
    try:
        opened = _SndfileWriter(path, like) if like.by_sndfile else _FfmpegWriter(path, like)
        try:
            yield opened
            opened.finish()
        finally:
            opened.close()
    except (av.error.FFmpegError, sf.LibsndfileError) as error:
        raise EngineError(
            ErrorCode.INPUT_UNSUPPORTED,
            f"{like.codec} with {like.channels} channels at {like.rate_hz} Hz cannot be written.",
        ) from error


def _sndfile_blocks(path: Path, found: AudioFormat) -> Iterator[Real]:
    try:
        with sf.SoundFile(path) as file:
            size = max(1, round(BLOCK_S * found.rate_hz))
            while len(block := file.read(size, dtype="float32", always_2d=True)):
                yield np.ascontiguousarray(block.T)
    except sf.LibsndfileError as error:
        raise EngineError(ErrorCode.INPUT_CORRUPT, "The file is damaged and cannot be decoded.") from error


def _ffmpeg_blocks(path: Path, found: AudioFormat) -> Iterator[Real]:
    decoded = broken = 0
    # Packed, never planar: PyAV counts the planes of a frame of eight channels past their end.
    resampler = av.AudioResampler(format="flt", rate=found.rate_hz)
    held: list[Real] = []
    with open_with_ffmpeg(path) as file:
        for packet in _packets(file):
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, ValueError):
                broken += 1
                continue
            decoded += 1
            for frame in frames:
                if isinstance(frame, av.AudioFrame):
                    held.extend(_samples(resampler, frame, found))
            if sum(array.shape[1] for array in held) >= BLOCK_S * found.rate_hz:
                yield np.concatenate(held, axis=1)
                held = []
    if broken > 1 and broken > BROKEN_SHARE * (decoded + broken):
        raise EngineError(ErrorCode.INPUT_CORRUPT, "The file is damaged and cannot be decoded.")
    if held:
        yield np.concatenate(held, axis=1)


def _packets(file: "av.container.InputContainer") -> Iterator["av.Packet[av.AudioStream]"]:
    """Yield the first audio stream's packets; a container that breaks off ends there."""
    try:
        yield from file.demux(file.streams.audio[0])
    except (av.error.FFmpegError, ValueError):
        return


def _samples(resampler: "av.AudioResampler", frame: "av.AudioFrame", found: AudioFormat) -> Iterator[Real]:
    """Yield a frame's samples as ``(channels, n)`` float32."""
    if frame.sample_rate != found.rate_hz or len(frame.layout.channels) != found.channels:
        raise EngineError(ErrorCode.INPUT_CORRUPT, "The recording changes its sample rate or channels midway.")
    for packed in resampler.resample(frame):
        yield np.ascontiguousarray(packed.to_ndarray().reshape(-1, found.channels).T, np.float32)


class _SndfileWriter:
    """WAV, FLAC, AIFF and Ogg Vorbis."""

    def __init__(self, path: Path, like: AudioFormat) -> None:
        # RF64 falls back to plain WAV when the file stays small, and is written where 4 GiB may be passed.
        self._file = sf.SoundFile(
            path,
            "w",
            samplerate=like.rate_hz,
            channels=like.channels,
            format=like.major,
            subtype=like.subtype,
            compression_level=_vorbis_compression(like) if like.codec == "vorbis" else None,
        )
        for name, value in like.tags.items():
            setattr(self._file, name, value)

    def write(self, block: Real) -> None:
        """Append a block."""
        self._file.write(np.ascontiguousarray(block.T))

    def finish(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _bit_rate(like: AudioFormat) -> int:
    """Return the input's bit rate, within what its encoder takes."""
    lowest, highest = BIT_RATE_LIMITS[like.codec]
    wanted = like.bit_rate or DEFAULT_BIT_RATES[like.container]
    return min(max(wanted, lowest * like.channels), highest * like.channels)


def _vorbis_compression(like: AudioFormat) -> float:
    """Return libsndfile's compression level, 0 (best) to 1, for about the input's bit rate.

    Vorbis knows qualities and no rates; the table is the encoder's nominal one for a channel at 44.1 kHz.
    """
    if not like.bit_rate:
        return 0.4
    a_channel = like.bit_rate / like.channels * 44_100 / like.rate_hz
    return float(1 - np.interp(a_channel, VORBIS_RATES, VORBIS_QUALITIES))


class _FfmpegWriter:
    """MP3, AAC and Opus. The encoders' delay is written into the files, so that players trim it (ADTS cannot)."""

    def __init__(self, path: Path, like: AudioFormat) -> None:
        self._file = av.open(str(path), "w", format=FFMPEG_MUXERS[like.container])
        self._file.metadata.update({name: value for name, value in like.tags.items() if name != "encoder"})
        self._layout = like.layout or LAYOUTS[like.channels]
        stream = self._file.add_stream(ENCODERS[like.container], rate=like.rate_hz, layout=self._layout)
        self._stream = cast("av.AudioStream", stream)
        self._stream.bit_rate = _bit_rate(like)
        self._rate_hz = like.rate_hz
        self._says_its_delay = like.container != "aac"
        self._written = 0

    def write(self, block: Real) -> None:
        """Encode a block."""
        packed = np.ascontiguousarray(block.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate_hz, self._written
        self._written += block.shape[1]
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        self._mux(self._stream.encode(None))

    def _mux(self, packets: "list[av.Packet[av.AudioStream]]") -> None:
        """Write packets; where the format cannot say how long the encoder's run-up is, leave the run-up out."""
        self._file.mux([packet for packet in packets if self._says_its_delay or (packet.pts or 0) >= 0])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
