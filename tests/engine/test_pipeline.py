"""Files: the same container, codec, rate, channels and length come out; bad ones are refused in words."""

import argparse
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_container.contract import ErrorCode
from gpu_container.engine.audio_io import probe, writer
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import AudioFormat, identify
from gpu_container.engine.mix import limit, mix, wet_gain
from gpu_container.engine.pipeline import EnhanceReport, enhance_file
from scripts.cli import engine as command
from tests.engine.conftest import SAMPLE, Signal, read

PCM = {
    "wav16": AudioFormat("wav", "pcm_16", 48_000, 1, subtype="PCM_16", major="WAV"),
    "wav24_96k": AudioFormat("wav", "pcm_24", 96_000, 1, subtype="PCM_24", major="WAV"),
    "wav_float_stereo": AudioFormat("wav", "float", 44_100, 2, subtype="FLOAT", major="WAV"),
    "wav_8bit_8k": AudioFormat("wav", "pcm_u8", 8_000, 1, subtype="PCM_U8", major="WAV"),
    "flac_stereo": AudioFormat("flac", "flac", 44_100, 2, subtype="PCM_16", major="FLAC"),
    "aiff": AudioFormat("aiff", "pcm_16", 32_000, 1, subtype="PCM_16", major="AIFF"),
    "rf64": AudioFormat("wav", "pcm_16", 48_000, 1, subtype="PCM_16", major="RF64"),
}
LOSSY = {
    "mp3": AudioFormat("mp3", "mp3", 44_100, 2, bit_rate=128_000, tags={"title": "Talk", "artist": "Ann"}),
    "mp3_8k": AudioFormat("mp3", "mp3", 8_000, 1, bit_rate=24_000),
    "m4a": AudioFormat("m4a", "aac", 48_000, 2, bit_rate=128_000, tags={"title": "Talk"}),
    "adts": AudioFormat("aac", "aac", 44_100, 1, bit_rate=96_000),
    "opus": AudioFormat("opus", "opus", 48_000, 1, bit_rate=64_000),
    "ogg": AudioFormat("ogg", "vorbis", 44_100, 2, subtype="VORBIS", major="OGG"),
}


def make(path: Path, like: AudioFormat, speech: Signal, *, seconds: float = 2.5, gain: float = 1.0) -> Path:
    """Write speech at the format's rate, different in each channel."""
    frames = int(seconds * like.rate_hz) + 17
    step = 48_000 / like.rate_hz
    rows = [
        np.interp(np.arange(frames) * step + 4_000 * row, np.arange(len(speech)), speech)
        for row in range(like.channels)
    ]
    with writer(path, like) as out:
        out.write((gain * np.stack(rows)).astype(np.float32))
    return path


def run(dfn3: DeepFilterNet, source: Path, *, strength: float = 100, **more: Any) -> tuple[Path, EnhanceReport]:
    sink = source.with_name(f"{source.name}-{strength}")
    return sink, enhance_file(source, sink, strength=strength, model=dfn3, **more)


@pytest.mark.parametrize("name", PCM)
def test_pcm_keeps_its_format_and_every_frame(dfn3: DeepFilterNet, speech: Signal, tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, PCM[name], speech)
    sink, report = run(dfn3, source)
    assert identify(sink) == identify(source)
    assert probe(sink) == probe(source) == report.output
    assert (report.nan_count, report.silent) == (0, False)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_keeps_format_duration_and_place(dfn3: DeepFilterNet, speech: Signal, tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, LOSSY[name], speech, seconds=4)
    sink, _ = run(dfn3, source, strength=30)
    was, became = identify(source), identify(sink)
    assert (became.container, became.codec, became.rate_hz, became.channels) == (
        was.container, was.codec, was.rate_hz, was.channels,
    )  # fmt: skip
    assert abs(probe(sink).duration_s - probe(source).duration_s) < 0.05
    for tag, value in LOSSY[name].tags.items():
        assert became.tags[tag] == value
    if was.bit_rate and became.bit_rate:
        assert became.bit_rate == pytest.approx(was.bit_rate, rel=0.25)
    assert abs(_lag(read(source)[0], read(sink)[0])) <= 0.001 * was.rate_hz


def test_noise_goes_and_channels_stay_apart(dfn3: DeepFilterNet, speech: Signal, tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    length = 3 * 48_000
    left = speech[:length]
    right = (0.05 * np.random.default_rng(1).standard_normal(length)).astype(np.float32)
    sf.write(path, np.stack([left, right], axis=1), 48_000, subtype="FLOAT")
    out = read(run(dfn3, path)[0])
    assert 10 * np.log10(np.mean(out[1, 48_000:] ** 2) / np.mean(right[48_000:] ** 2)) < -20
    assert np.corrcoef(out[0], left)[0, 1] > 0.7


def test_strength_0_is_the_file_itself(dfn3: DeepFilterNet, tmp_path: Path) -> None:
    source = tmp_path / "in.mp3"
    source.write_bytes(SAMPLE.read_bytes())
    sink, report = run(dfn3, source, strength=0)
    assert sink.read_bytes() == source.read_bytes()
    assert report.output.frames == probe(source).frames


def test_strength_100_is_the_network_alone(dfn3: DeepFilterNet, speech: Signal, tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav", PCM["wav_float_stereo"], speech)
    signal = read(make(tmp_path / "in48.wav", AudioFormat("wav", "float", 48_000, 1, "FLOAT", "WAV"), speech))
    sink, _ = run(dfn3, tmp_path / "in48.wav")
    assert np.abs(read(sink) - dfn3.enhance(signal)).max() < 1e-6
    assert source.exists()


def test_more_strength_is_less_noise(dfn3: DeepFilterNet, speech: Signal, tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav", AudioFormat("wav", "float", 48_000, 1, "FLOAT", "WAV"), speech, seconds=5)
    noise_db = []
    for strength in (0, 10, 25, 50, 75, 90, 100):
        out = read(run(dfn3, source, strength=strength)[0])[0]
        frames = out[: len(out) // 960 * 960].reshape(-1, 960)
        noise_db.append(np.percentile(10 * np.log10(np.mean(frames**2, axis=1) + 1e-12), 5))
    assert all(later < earlier - 0.5 for earlier, later in zip(noise_db[:-2], noise_db[1:-1], strict=True))
    assert noise_db[-1] <= noise_db[-2]


@given(st.floats(0, 100), st.floats(0, 100))
def test_the_wet_share_grows_with_strength(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= wet_gain(low) <= wet_gain(high) <= 1
    assert wet_gain(50) == pytest.approx(1 - 10 ** (-20 / 20))
    dry, wet = np.ones((1, 3), np.float32), np.zeros((1, 3), np.float32)
    assert np.allclose(mix(dry, wet, wet_gain(low)), 1 - wet_gain(low), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=50))
def test_the_limiter_never_wraps_and_keeps_the_order(values: list[float]) -> None:
    signal = np.array([values], np.float32)
    limited, _ = limit(signal)
    assert np.abs(limited).max() < 1
    assert (np.diff(limited[0][np.argsort(signal[0])]) >= 0).all()
    quiet = np.abs(signal) <= 0.95
    assert np.array_equal(limited[quiet], signal[quiet])


def test_loud_input_does_not_clip(dfn3: DeepFilterNet, speech: Signal, tmp_path: Path) -> None:
    source = make(tmp_path / "loud.wav", AudioFormat("wav", "float", 48_000, 1, "FLOAT", "WAV"), speech, gain=8)
    loud = tmp_path / "loud16.wav"
    sf.write(loud, np.clip(read(source)[0], -1, 0.9999), 48_000, subtype="PCM_16")
    out = read(run(dfn3, loud, strength=20)[0])[0]
    signal = read(loud)[0]
    assert np.abs(out).max() < 1
    assert np.abs(out - signal).max() < 1.5  # a wrapped sample would be off by nearly 2
    assert np.mean(np.sign(out[np.abs(signal) > 0.9]) == np.sign(signal[np.abs(signal) > 0.9])) > 0.99


def test_samples_that_are_not_numbers(dfn3: DeepFilterNet, speech: Signal, tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    signal = speech[:48_000].copy()
    signal[[100, 2_000]], signal[30_000] = np.nan, np.inf
    sf.write(path, signal, 48_000, subtype="FLOAT")
    sink, report = run(dfn3, path, strength=60)
    assert np.isfinite(read(sink)).all()
    assert (report.repaired_count, report.nan_count) == (3, 0)
    assert any("not numbers" in warning for warning in report.warnings)


@pytest.mark.parametrize("signal", [np.zeros(48_000), np.full(48_000, 0.5), np.ones(1), np.zeros(1)])
def test_degenerate_signals(dfn3: DeepFilterNet, tmp_path: Path, signal: Any) -> None:
    path = tmp_path / "odd.wav"
    sf.write(path, signal.astype(np.float32), 48_000, subtype="PCM_16")
    sink, report = run(dfn3, path)
    assert read(sink).shape == (1, len(signal))
    assert report.silent == bool(np.abs(read(sink)).max() < 10 ** (-90 / 20))


def test_progress_only_grows_and_ends_at_the_end(dfn3: DeepFilterNet, tmp_path: Path) -> None:
    source = tmp_path / "in.mp3"
    source.write_bytes(SAMPLE.read_bytes())
    seen: list[tuple[float, float]] = []
    run(dfn3, source, on_progress=lambda completed_s, total_s: seen.append((completed_s, total_s)))
    completed = [completed_s for completed_s, _ in seen]
    assert len(seen) > 5
    assert completed == sorted(completed)
    assert seen[-1][0] == seen[-1][1] == pytest.approx(12, abs=0.05)


def test_a_cancelled_enhancement_stops_soon(dfn3: DeepFilterNet, tmp_path: Path) -> None:
    source = tmp_path / "in.mp3"
    source.write_bytes(SAMPLE.read_bytes())
    asked = iter(range(100))
    with pytest.raises(EngineError) as stopped:
        run(dfn3, source, is_cancelled=lambda: next(asked) >= 2)
    assert stopped.value.code is ErrorCode.CANCELLED
    assert next(asked) == 3


class TestBadFiles:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"", ErrorCode.INPUT_EMPTY),
            (b"\x00", ErrorCode.INPUT_CORRUPT),
            (b"no audio at all, but some text " * 100, ErrorCode.INPUT_CORRUPT),
            (b"RIFF\xff\xff\xff\xffWAVEfmt ", ErrorCode.INPUT_CORRUPT),
            (b"fLaC\x00\x00\x00\x22" + b"\x00" * 400, ErrorCode.INPUT_CORRUPT),
            (b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\x55" * 5000, ErrorCode.INPUT_CORRUPT),
            (b"OggS" + b"\x00" * 100, ErrorCode.INPUT_CORRUPT),
        ],
    )
    def test_garbage(self, tmp_path: Path, data: bytes, code: ErrorCode) -> None:
        path = tmp_path / "bad"
        path.write_bytes(data)
        with pytest.raises(EngineError) as refusal:
            probe(path)
        assert refusal.value.code is code
        assert refusal.value.message.endswith(".")

    def test_noise_bytes_of_any_seed(self, tmp_path: Path) -> None:
        for seed in range(30):
            path = tmp_path / f"noise{seed}"
            path.write_bytes(np.random.default_rng(seed).bytes(20_000))
            with pytest.raises(EngineError):
                probe(path)

    def test_a_header_without_samples(self, tmp_path: Path) -> None:
        path = tmp_path / "empty.wav"
        sf.write(path, np.zeros(0), 48_000)
        with pytest.raises(EngineError) as refusal:
            probe(path)
        assert refusal.value.code is ErrorCode.INPUT_EMPTY

    def test_a_file_that_breaks_off_is_read_as_far_as_it_goes(self, dfn3: DeepFilterNet, tmp_path: Path) -> None:
        whole = SAMPLE.read_bytes()
        path = tmp_path / "half.mp3"
        path.write_bytes(whole[: len(whole) // 2])
        _, report = run(dfn3, path)
        assert report.output.duration_s == pytest.approx(6, abs=0.2)

    def test_too_many_channels(self, tmp_path: Path) -> None:
        path = tmp_path / "nine.wav"
        sf.write(path, np.zeros((100, 9)), 48_000)
        with pytest.raises(EngineError) as refusal:
            probe(path)
        assert refusal.value.code is ErrorCode.INPUT_TOO_MANY_CHANNELS

    @pytest.mark.parametrize("rate_hz", [1_000, 384_000])
    def test_absurd_rates(self, tmp_path: Path, rate_hz: int) -> None:
        path = tmp_path / "rate.wav"
        sf.write(path, np.zeros(100), rate_hz)
        with pytest.raises(EngineError) as refusal:
            probe(path)
        assert refusal.value.code is ErrorCode.INPUT_RATE_UNSUPPORTED

    def test_too_long(self, tmp_path: Path) -> None:
        path = tmp_path / "long.wav"
        sf.write(path, np.zeros(48_000 * 3), 48_000)
        with pytest.raises(EngineError) as refusal:
            probe(path, max_duration_s=2)
        assert refusal.value.code is ErrorCode.INPUT_TOO_LONG

    def test_video_is_not_for_this_version(self, tmp_path: Path) -> None:
        path = tmp_path / "film.mp4"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for _ in range(3):
                file.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
            file.mux(stream.encode(None))
        with pytest.raises(EngineError) as refusal:
            probe(path)
        assert refusal.value.code is ErrorCode.INPUT_UNSUPPORTED


def test_the_command_goes_on_after_a_bad_file(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"nothing")
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    out, report = tmp_path / "out", tmp_path / "report.json"
    given = ["engine", str(bad), str(SAMPLE), "--out", str(out), "--strength", "80", "--report", str(report)]
    arguments = parser.parse_args(given)
    assert arguments.run(arguments) == 1
    first, second = json.loads(report.read_text())
    assert first["error"]["code"] == "input_corrupt"
    assert second["output"]["container"] == "mp3"
    assert [path.name for path in out.iterdir()] == [SAMPLE.name]


def _lag(one: Signal, other: Signal) -> int:
    """Return by how many samples ``other`` is behind ``one``."""
    size = 2 * max(len(one), len(other))
    correlation = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(one, size)))
    lag = int(np.argmax(correlation))
    return lag if lag < size // 2 else lag - size
