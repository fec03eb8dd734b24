"""Writes and reads files without the engine's own code, so that a mistake there cannot hide itself."""

from pathlib import Path

import av
import numpy as np
import soundfile as sf

from gpu_container.engine.stft import Real

LAYOUTS = {1: "mono", 2: "stereo"}
LOSSY = {
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "aac": ("adts", "aac"),
    "opus": ("ogg", "libopus"),
}


def write_pcm(path: Path, signal: Real, rate_hz: int, *, container: str, subtype: str) -> Path:
    """Write ``(channels, n)`` with libsndfile."""
    sf.write(path, signal.T, rate_hz, format=container, subtype=subtype)
    return path


def write_lossy(
    path: Path, signal: Real, rate_hz: int, *, kind: str, bit_rate: int = 128_000, tags: dict[str, str] | None = None
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


def write_video(path: Path, *, sound: Real | None = None) -> Path:
    """Write half a second of grey pictures, with or without sound at 48 kHz."""
    with av.open(str(path), "w", format="mp4") as file:
        pictures = file.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        for _ in range(5):
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 128, np.uint8))))
        file.mux(pictures.encode(None))
    if sound is None:
        return path
    silent = path.with_suffix(".silent")
    path.rename(silent)
    with av.open(str(silent)) as source, av.open(str(path), "w", format="mp4") as file:
        pictures = file.add_stream_from_template(source.streams.video[0])
        stream = file.add_stream("aac", rate=48_000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                file.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def read(path: Path) -> tuple[Real, int]:
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
