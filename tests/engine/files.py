"""Writes and reads files without the engine's own code (all but `pass_on`, `facts`), so that mistakes cannot hide."""

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import soundfile as sf

from gpu_container.contract import AudioFacts, OutputFormat
from gpu_container.engine.audio_io import DecodeLimits, decode, encode, probe
from gpu_container.engine.byte_io import FileSink, FileSource
from gpu_container.engine.formats import MAX_DURATION_S, Samples, output_spec

LAYOUTS = {1: "mono", 2: "stereo"}
LOSSY = {
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "aac": ("adts", "aac"),
    "opus": ("ogg", "libopus"),
}


def write_pcm(path: Path, signal: Samples, rate_hz: int, *, container: str, subtype: str) -> Path:
    """Write ``(channels, n)`` with libsndfile."""
    sf.write(path, signal.T, rate_hz, format=container, subtype=subtype)
    return path


def write_lossy(
    path: Path, signal: Samples, rate_hz: int, *, kind: str, bit_rate: int = 128_000, tags: dict[str, str] | None = None
) -> Path:
    """Write ``(channels, n)`` with FFmpeg; ``kind`` is a key of `LOSSY`."""
    muxer, encoder = LOSSY[kind]
    layout = LAYOUTS[len(signal)]
    with av.open(str(path), "w", format=muxer) as file:
        file.metadata.update(tags or {})
        stream = file.add_stream(encoder, rate=rate_hz, layout=layout)
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(signal), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_silent_film(path: Path) -> Path:
    """Write half a second of grey pictures."""
    with av.open(str(path), "w", format="mp4") as file:
        pictures = cast("av.VideoStream", file.add_stream("mpeg4", rate=10))
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        for _ in range(5):
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 128, np.uint8))))
        file.mux(pictures.encode(None))
    return path


def read(path: Path) -> tuple[Samples, int]:
    """Decode a whole file with FFmpeg; returns ``(channels, n)`` float32 and the rate in Hz."""
    with av.open(str(path)) as file:
        rate_hz = file.streams.audio[0].codec_context.sample_rate
        # Packed: PyAV counts the planes of a planar frame of eight channels past their end.
        resampler = av.AudioResampler(format="flt")
        parts = [out for frame in file.decode(audio=0) for out in resampler.resample(frame)]
        samples = [part.to_ndarray().reshape(-1, len(part.layout.channels)).T for part in parts]
    return np.concatenate(samples, axis=1), rate_hz


def read_tags(path: Path) -> dict[str, str]:
    """Return a file's tags, names in lower case; some containers keep them on the stream."""
    with av.open(str(path)) as file:
        found = {**file.streams.audio[0].metadata, **file.metadata}
    return {name.lower(): value for name, value in found.items()}


def write_with_cover(path: Path, signal: Samples, rate_hz: int, *, muxer: str, encoder: str) -> Path:
    """Write ``(2, n)`` with a picture attached, as music shops do."""
    with av.open(str(path), "w", format=muxer) as file:
        stream = cast("av.AudioStream", file.add_stream(encoder, rate=rate_hz, layout="stereo"))
        cover = cast("av.VideoStream", file.add_stream("png", rate=1))
        cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = np.random.default_rng(1).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        file.mux(cover.encode(av.VideoFrame.from_ndarray(picture)))
        file.mux(cover.encode(None))
        packed = np.ascontiguousarray(signal.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="stereo")
        frame.sample_rate, frame.pts = rate_hz, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def read_covers(path: Path) -> list[bytes]:
    """Return a file's attached pictures."""
    with av.open(str(path)) as file:
        covers = [s for s in file.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        return [bytes(packet) for packet in file.demux(covers) if packet.size] if covers else []


def pass_on(source: Path, sink: Path, wanted: OutputFormat | None = None, *, gain: float = 1.0) -> tuple[str, ...]:
    """Decode and encode a file with the engine, nothing else done to it; return the warnings' codes."""
    with FileSource(source) as original, decode(original) as decoding, FileSink(sink) as out:
        spec = output_spec(decoding.format, wanted)
        with encode(out, spec, original=original) as encoding:
            for block in decoding.blocks():
                encoding.write(np.float32(gain) * block)
        return tuple(warning.code for warning in encoding.warnings)


@dataclass(frozen=True)
class Film:
    """What `write_film` shall make; pictures are 64 x 48, 25 a second.

    Attributes
    ----------
    muxer, picture, sound
        FFmpeg's names of the muxer, and of the encoders of picture and sound.
    sound_start_s
        How much later than the first picture the sound begins.
    further_sound
        Whether there is a second sound track, a low tone.
    subtitles
        FFmpeg's name of a subtitle codec, or None.
    """

    muxer: str = "mp4"
    picture: str = "libx264"
    sound: str = "aac"
    sound_start_s: float = 0.0
    further_sound: bool = False
    subtitles: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


def write_film(path: Path, film: Film, signal: Samples, rate_hz: int = 48_000) -> Path:
    """Write ``(channels, n)`` beside moving pictures of the same length."""
    layout = LAYOUTS[len(signal)]
    with av.open(str(path), "w", format=film.muxer, container_options=film.options) as file:
        file.metadata.update(film.tags)
        pictures = cast("av.VideoStream", file.add_stream(film.picture, rate=25))
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        pictures.codec_context.thread_count = 1
        tracks = [
            cast("av.AudioStream", file.add_stream(film.sound, rate=rate_hz, layout=layout, options={"strict": "-2"}))
        ]
        if film.further_sound:
            tracks.append(cast("av.AudioStream", file.add_stream(film.sound, rate=rate_hz, layout="mono")))
        words = file.add_mux_stream(film.subtitles) if film.subtitles else None
        for index in range(round(25 * signal.shape[1] / rate_hz)):
            picture = np.full((48, 64, 3), 40 + index % 160, np.uint8)
            picture[:, index % 64] = 255
            frame = av.VideoFrame.from_ndarray(picture)
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode(None))
        tone = 0.1 * np.sin(np.arange(signal.shape[1]) * 0.02).astype(np.float32)[None]
        for track, sound in zip(tracks, [signal, tone], strict=False):
            packed = np.ascontiguousarray(sound.T).reshape(1, -1)
            heard = av.AudioFrame.from_ndarray(packed, format="flt", layout=LAYOUTS[len(sound)])
            heard.sample_rate, heard.pts = rate_hz, round(film.sound_start_s * rate_hz)
            file.mux(track.encode(heard))
            file.mux(track.encode(None))
        if words:
            file.mux_one(_words(words, counted=film.subtitles == "mov_text"))
    return path


def _words(target: "av.stream.Stream", *, counted: bool) -> "av.Packet[Any]":
    """Return a subtitle of half a second's length, shown after a tenth."""
    text = b"Good evening."
    # A text sample of MP4 begins with its length.
    words = av.Packet(len(text).to_bytes(2, "big") + text if counted else text)
    words.stream, words.time_base = target, Fraction(1, 1_000)
    words.pts = words.dts = 100
    words.duration = 500
    return words


@dataclass(frozen=True)
class Reel:
    """What an independent reader finds in a file beside and around its sound.

    Attributes
    ----------
    streams
        Kind and codec of each stream, in order.
    packets
        By stream: number, and hash of all the bytes and time stamps. The first sound stream's are not in it.
    picture_s
        When the pictures are shown.
    click_s
        When the sound is loudest.
    """

    streams: tuple[tuple[str, str], ...]
    packets: dict[int, tuple[int, str]]
    picture_s: tuple[float, ...]
    click_s: float


def read_reel(path: Path) -> Reel:
    """Read a film with FFmpeg."""
    with av.open(str(path)) as file:
        sound = file.streams.audio[0]
        streams = tuple((stream.type, stream.codec_context.name) for stream in file.streams)
        digests = {stream.index: hashlib.sha256() for stream in file.streams if stream is not sound}
        counts = dict.fromkeys(digests, 0)
        for packet in file.demux():
            # MP4 fills the time between subtitles with empty ones.
            if packet.size > 2 and packet.stream_index in digests:
                digests[packet.stream_index].update(bytes(packet))
                digests[packet.stream_index].update(f"{float(packet.pts * packet.time_base):.3f}".encode())
                counts[packet.stream_index] += 1
    packets = {index: (counts[index], digest.hexdigest()) for index, digest in digests.items()}
    return Reel(streams, packets, _picture_s(path), _click_s(path))


def _picture_s(path: Path) -> tuple[float, ...]:
    with av.open(str(path)) as file:
        return tuple(round(frame.time, 3) for frame in file.decode(video=0)) if file.streams.video else ()


def _click_s(path: Path) -> float:
    loudest, at_s = -1.0, 0.0
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            samples = np.abs(frame.to_ndarray().reshape(-1, frame.samples)).max(axis=0)
            if samples.max() > loudest:
                loudest, at_s = float(samples.max()), frame.time + int(np.argmax(samples)) / frame.sample_rate
    return at_s


def facts(path: Path, *, max_duration_s: float = MAX_DURATION_S) -> AudioFacts:
    """Return what the engine finds in a file."""
    with FileSource(path) as source:
        return probe(source, limits=DecodeLimits(max_duration_s=max_duration_s))
