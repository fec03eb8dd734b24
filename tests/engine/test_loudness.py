"""Loudness against the EBU's own test signals and FFmpeg; the limiter against the meter."""

import itertools
import math

import av
import numpy as np
import pytest

from gpu_container.engine.loudness import Loudness, LoudnessMeter, TruePeakLimiter
from gpu_container.engine.stft import Real
from tests.engine.signals import error_db, noisy_voice

RATE_HZ = 48_000


def tone(*parts: tuple[float, float], rate_hz: int = RATE_HZ, hz: float = 1_000.0) -> Real:
    """Return ``(1, n)``: one sine, its peak level in dBFS and its seconds given part by part."""
    levels = [np.full(round(seconds * rate_hz), 10 ** (level_db / 20)) for level_db, seconds in parts]
    amplitude = np.concatenate(levels)
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(amplitude.size) / rate_hz)).astype(np.float32)[None]


def stereo(mono: Real) -> Real:
    return np.repeat(mono, 2, axis=0)


def measured(signal: Real, rate_hz: int = RATE_HZ, piece: int | None = None) -> Loudness:
    meter = LoudnessMeter(rate_hz, len(signal))
    for start in range(0, signal.shape[1], piece or signal.shape[1]):
        meter.add(signal[:, start : start + (piece or signal.shape[1])])
    return meter.result()


@pytest.mark.parametrize(
    ("parts", "lufs"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
    ids=["1", "2", "3", "4", "5"],
)
def test_integrated_loudness_of_ebu_tech_3341(parts: list[tuple[float, float]], lufs: float) -> None:
    assert measured(stereo(tone(*parts))).integrated_lufs == pytest.approx(lufs, abs=0.1)


def test_case_6_of_ebu_tech_3341_weighs_five_channels() -> None:
    levels_db = (-28, -28, -24, -30, -30)
    signal = np.concatenate([tone((level_db, 20)) for level_db in levels_db])

    assert measured(signal).integrated_lufs == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize(
    ("levels_db", "range_lu"),
    [((-20, -30), 10), ((-20, -15), 5), ((-40, -20), 20), ((-50, -35, -20, -35, -50), 15)],
    ids=["1", "2", "3", "4"],
)
def test_loudness_range_of_ebu_tech_3342(levels_db: tuple[float, ...], range_lu: float) -> None:
    signal = stereo(tone(*((level_db, 20) for level_db in levels_db)))

    assert measured(signal).range_lu == pytest.approx(range_lu, abs=1.0)


@pytest.mark.parametrize(
    ("period", "phase_deg", "amplitude", "dbtp"),
    [(4, 0, 0.5, -6.0), (4, 45, 0.5, -6.0), (6, 60, 0.5, -6.0), (8, 67.5, 0.5, -6.0), (4, 45, 1.41, 3.0)],
    ids=["15", "16", "17", "18", "19"],
)
def test_true_peak_of_ebu_tech_3341(period: int, phase_deg: float, amplitude: float, dbtp: float) -> None:
    fade = np.minimum(1, np.minimum(np.arange(RATE_HZ), np.arange(RATE_HZ)[::-1]) / 480)
    signal = amplitude * fade * np.sin(2 * np.pi * np.arange(RATE_HZ) / period + math.radians(phase_deg))

    peak_dbtp = measured(signal.astype(np.float32)[None]).true_peak_dbtp

    assert peak_dbtp is not None
    assert dbtp - 0.4 <= peak_dbtp <= dbtp + 0.2


@pytest.mark.parametrize(
    ("rate_hz", "tolerance_lu"),
    [(4_000, 0.2), (8_000, 0.1), (11_025, 0.1), (22_050, 0.1), (44_100, 0.1), (96_000, 0.1), (192_000, 0.1)],
)
def test_every_rate_reads_alike(rate_hz: int, tolerance_lu: float) -> None:
    result = measured(stereo(tone((-23, 4), rate_hz=rate_hz)), rate_hz)

    assert result.integrated_lufs == pytest.approx(-23.0, abs=tolerance_lu)
    assert result.true_peak_dbtp == pytest.approx(-23.0, abs=0.2)


def test_a_full_scale_sine_in_one_channel_reads_as_the_standard_says() -> None:
    assert measured(tone((0, 4), hz=997.0)).integrated_lufs == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize(("channel", "lufs"), [(0, -20.0), (3, None), (4, -18.5)], ids=["front", "lfe", "surround"])
def test_a_channel_counts_by_its_place(channel: int, lufs: float | None) -> None:
    signal = np.zeros((6, 4 * RATE_HZ), np.float32)
    signal[channel] = tone((-16.99, 4), hz=997.0)[0]

    found = measured(signal).integrated_lufs

    assert found is None if lufs is None else found == pytest.approx(lufs, abs=0.05)


@pytest.mark.parametrize("signal", [np.zeros((1, 96_000), np.float32), tone((-20, 0.3))], ids=["silent", "short"])
def test_what_has_no_loudness_gets_none(signal: Real) -> None:
    assert measured(signal).integrated_lufs is None


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_ffmpeg_measures_the_same(rate_hz: int) -> None:
    voices = [noisy_voice(seconds=8, rate_hz=rate_hz, seed=seed) * gain for seed, gain in ((0, 0.3), (3, 0.05))]
    signal = np.concatenate(voices, axis=1) * np.array([[1.0], [0.5]], np.float32)

    ours, theirs = measured(signal, rate_hz), _by_ffmpeg(signal, rate_hz)

    assert ours.integrated_lufs == pytest.approx(theirs["I"], abs=0.02)
    assert ours.range_lu == pytest.approx(theirs["LRA"], abs=0.05)
    assert ours.true_peak_dbtp == pytest.approx(20 * math.log10(theirs["true_peak"]), abs=0.2)


def _by_ffmpeg(signal: Real, rate_hz: int) -> dict[str, float]:
    """Return what FFmpeg's ebur128 filter says at the end of a stereo signal."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate_hz, format="fltp", layout="stereo", time_base=f"1/{rate_hz}")
    meter, sink = graph.add("ebur128", "metadata=1:peak=true"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(signal), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts = rate_hz, 0
    graph.push(frame)
    graph.push(None)
    found: dict[str, float] = {}
    while True:
        try:
            metadata = graph.pull().metadata
        except av.error.EOFError:
            return found
        found = {name.removeprefix("lavfi.r128."): float(value) for name, value in metadata.items()}


@pytest.mark.parametrize("piece", [1_000, 48_000, 77_777])
def test_pieces_of_any_size_read_alike(piece: int) -> None:
    signal = stereo(noisy_voice(seconds=5.03, rate_hz=RATE_HZ))

    assert measured(signal, piece=piece) == measured(signal)


def _limited(signal: Real, limiter: TruePeakLimiter, pieces: list[int] | None = None) -> Real:
    sizes = itertools.cycle(pieces or [signal.shape[1]])
    parts, start = [], 0
    while start < signal.shape[1]:
        end = start + next(sizes)
        parts.append(limiter.process(signal[:, start:end]))
        start = end
    return np.concatenate([*parts, limiter.finish()], axis=1)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 96_000])
@pytest.mark.parametrize("gain_db", [6, 20])
def test_the_limiter_keeps_the_true_peak_below_its_ceiling(rate_hz: int, gain_db: float) -> None:
    voice = noisy_voice(seconds=3, rate_hz=rate_hz)
    loud = (voice / np.abs(voice).max() * 10 ** (gain_db / 20)).astype(np.float32)

    limited = _limited(loud, TruePeakLimiter(rate_hz, 1, -1.0))

    peak_dbtp = measured(limited, rate_hz).true_peak_dbtp
    assert peak_dbtp is not None
    assert -1.3 < peak_dbtp <= -0.95
    assert np.abs(limited).max() <= 10 ** (-1 / 20) * 1.000001


def test_the_limiter_leaves_what_stays_below_alone() -> None:
    limiter = TruePeakLimiter(RATE_HZ, 2)
    signal = stereo(noisy_voice(seconds=2, rate_hz=RATE_HZ)) * np.float32(0.3)

    assert np.array_equal(_limited(signal, limiter), signal)
    assert limiter.limited_count == 0


def test_one_loud_click_is_limited_in_step_and_soon_forgotten() -> None:
    limiter = TruePeakLimiter(RATE_HZ, 2)
    signal = stereo(noisy_voice(seconds=3, rate_hz=RATE_HZ)) * np.float32([[0.3], [0.1]])
    signal[0, RATE_HZ] = 2.0

    limited = _limited(signal, limiter)

    assert limited.shape == signal.shape
    assert np.array_equal(limited[:, : RATE_HZ - 300], signal[:, : RATE_HZ - 300])
    assert np.array_equal(limited[:, -RATE_HZ:], signal[:, -RATE_HZ:])
    assert 0 < limiter.limited_count < RATE_HZ
    heard = np.abs(signal).min(axis=0) > 1e-4
    left, right = (limited[:, heard] / signal[:, heard]).astype(np.float64)
    assert left == pytest.approx(right, rel=1e-5)


def test_the_limiters_pieces_do_not_matter() -> None:
    loud = stereo(noisy_voice(seconds=2.5, rate_hz=RATE_HZ)) * np.float32(4)

    whole = _limited(loud, TruePeakLimiter(RATE_HZ, 2))

    assert np.array_equal(_limited(loud, TruePeakLimiter(RATE_HZ, 2), [1, 977, 50_000]), whole)


def test_the_limiter_is_gentle() -> None:
    voice = noisy_voice(seconds=3, rate_hz=RATE_HZ)
    slightly_loud = (voice / np.abs(voice).max() * 10 ** (1 / 20)).astype(np.float32)

    limited = _limited(slightly_loud, TruePeakLimiter(RATE_HZ, 1, -1.0))

    assert error_db(limited, slightly_loud * np.float32(10 ** (-1 / 20))) < -15


@pytest.mark.parametrize("size", [0, 1, 31, 300])
def test_the_shortest_recordings_pass(size: int) -> None:
    signal = np.full((1, size), 2.0, np.float32)

    limited = _limited(signal, TruePeakLimiter(RATE_HZ, 1))

    assert limited.shape == signal.shape
    assert (np.abs(limited) < 0.9).all()
