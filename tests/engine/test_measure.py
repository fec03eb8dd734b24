"""The report's measures: right where the truth is known, silent where nothing is wrong, the same for any pieces."""

from pathlib import Path

import numpy as np
import pytest
import soxr
from scipy.signal import butter, sosfilt

from gpu_container.contract import ErrorCode, ReportLevel, SoundMeasures, WarningCode
from gpu_container.engine.clipping import ClippingMeter
from gpu_container.engine.errors import EngineError
from gpu_container.engine.measure import Measured, Measurement
from gpu_container.engine.opinion import MOS_WINDOW, WindowSampler
from gpu_container.engine.speech import SpeechLevels
from gpu_container.engine.stft import Real
from tests.engine.files import read
from tests.engine.rooms import in_room, room, talk

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "librivox-noisy.mp3"
RATE_HZ = 44_100


@pytest.fixture(scope="module")
def speech() -> Real:
    """Twelve seconds of a noisy reading, ``(1, n)`` at 44.1 kHz."""
    samples, rate_hz = read(SAMPLE)
    assert rate_hz == RATE_HZ
    return np.ascontiguousarray(samples)


def measured(
    before: Real,
    after: Real | None = None,
    *,
    rate_hz: int = RATE_HZ,
    level: ReportLevel = ReportLevel.BASIC,
    piece: int | None = None,
    gain_db: float = 0.0,
) -> Measured:
    after = before if after is None else after
    measurement = Measurement(rate_hz, len(before), level=level)
    for start in range(0, before.shape[1], piece or before.shape[1]):
        end = start + (piece or before.shape[1])
        measurement.add(before[:, start:end], after[:, start:end])
    return measurement.finish(gain_db=gain_db)


def codes(result: Measured) -> set[WarningCode]:
    return {warning.code for warning in result.warnings}


def test_speech_that_survives_gives_no_warning(speech: Real) -> None:
    result = measured(speech, speech * np.float32(0.7))

    assert result.warnings == ()
    assert result.speech_share is not None
    assert 0.4 < result.speech_share < 0.9


def test_both_sides_are_measured(speech: Real) -> None:
    result = measured(speech, speech / 2)

    assert result.before.loudness_lufs is not None
    assert result.after.loudness_lufs == pytest.approx(result.before.loudness_lufs - 6.02, abs=0.02)
    assert result.before.true_peak_dbtp is not None
    assert result.after.true_peak_dbtp == pytest.approx(result.before.true_peak_dbtp - 6.02, abs=0.02)
    assert result.before.snr_db is not None
    assert 3 < result.before.snr_db < 10
    assert result.after.snr_db == pytest.approx(result.before.snr_db, abs=0.1)


def test_reverberation_is_heard_on_both_sides() -> None:
    dry = talk(seconds=8)
    reverberant, _ = in_room(dry, room(decay_s=0.6))

    result = measured(reverberant, dry, rate_hz=48_000)

    assert result.before.reverberation_s == pytest.approx(0.6, rel=0.35)
    assert result.after.reverberation_s is not None
    assert result.after.reverberation_s < 0.25


def test_speech_that_vanishes_is_noticed(speech: Real) -> None:
    after = speech.copy()
    after[:, 3 * RATE_HZ : 6 * RATE_HZ] *= np.float32(0.05)

    assert codes(measured(speech, after)) == {WarningCode.SPEECH_COLLAPSED}


def test_faint_speech_that_vanishes_is_noticed(speech: Real) -> None:
    faint = speech * np.float32(10 ** (-45 / 20))

    assert codes(measured(faint, faint * np.float32(0.01))) == {WarningCode.SPEECH_COLLAPSED}


def test_a_gain_on_purpose_neither_hides_nor_makes_a_collapse(speech: Real) -> None:
    quieter = np.float32(0.1)

    assert measured(speech, speech * quieter, gain_db=-20).warnings == ()
    assert codes(measured(speech, speech * quieter * 10, gain_db=20)) == {WarningCode.SPEECH_COLLAPSED}


def test_the_level_of_speech_over_the_pauses() -> None:
    levels = SpeechLevels()
    probability = np.tile(np.repeat([0.9, 0.05], 40), 5).astype(np.float32)
    speech_power = np.tile(np.repeat([1.0, 0.0], 40), 5)

    levels.add(probability, (speech_power + 0.1).astype(np.float32), (speech_power + 0.001).astype(np.float32))

    assert levels.snr_db() == pytest.approx((10, 30), abs=0.01)
    assert levels.share == 0.5


def test_without_pauses_there_is_no_noise_level() -> None:
    levels = SpeechLevels()
    levels.add(np.full(100, 0.9, np.float32), np.ones(100, np.float32), np.ones(100, np.float32))

    assert levels.snr_db() == (None, None)


def music(*, seconds: float, rate_hz: int = 16_000) -> Real:
    """Return ``(1, n)``: plucked chords, two a second."""
    chords = ((261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7))
    time_s = np.arange(rate_hz // 2) / rate_hz
    beats = []
    for beat in range(round(2 * seconds)):
        chord = chords[beat // 2 % 4]
        notes = [
            np.sin(2 * np.pi * hz * k * time_s) / k**1.3 for hz in (*chord, 2 * chord[beat % 3]) for k in range(1, 6)
        ]
        beats.append(np.sum(notes, axis=0) * np.exp(-3 * time_s))
    return (0.05 * np.concatenate(beats)).astype(np.float32)[None]


def test_music_is_told_from_speech_hum_and_noise(speech: Real) -> None:
    hum = np.sin(2 * np.pi * 50 * np.arange(12 * RATE_HZ) / RATE_HZ)[None, : speech.shape[1]].astype(np.float32)
    noise = np.random.default_rng(0).standard_normal((1, 8 * RATE_HZ)).astype(np.float32)

    assert WarningCode.MUSIC_LIKE in codes(measured(music(seconds=12), rate_hz=16_000))
    assert codes(measured(speech + np.float32(0.1) * np.clip(3 * hum, -1, 1))) == set()
    assert codes(measured(noise * np.float32(0.1))) == set()


def test_clipping_is_told_from_loudness(speech: Real) -> None:
    loud = speech / np.abs(speech).max()
    clipped = np.clip(4 * loud, -1, 1) * np.float32(0.5)

    result = measured(clipped, loud)

    assert codes(result) == {WarningCode.INPUT_CLIPPED}
    assert result.before.clipped_share == pytest.approx(np.mean(np.abs(clipped) == 0.5), abs=0.01)
    assert result.after.clipped_share == 0.0


def test_runs_that_cross_a_border_count_once() -> None:
    signal = np.zeros((1, 1_000), np.float32)
    signal[:, 98:102] = 1.0  # crosses a border
    signal[:, 299:301] = 1.0  # too short
    signal[:, 395:605] = -1.0  # longer than a block
    signal[:, 799] = 1.0

    meter = ClippingMeter(1)
    for block in np.split(signal, 10, axis=1):
        meter.add(block)

    assert meter.share == pytest.approx(214 / 1_000)


def test_a_louder_passage_starts_the_count_again() -> None:
    meter = ClippingMeter(1)
    meter.add(np.full((1, 100), 0.5, np.float32))
    meter.add(np.array([[0.0, 0.9, 0.0]], np.float32))

    assert meter.share == 0.0


@pytest.mark.parametrize("limit_hz", [4_000, 8_000, 16_000])
def test_the_end_of_the_band_is_found(speech: Real, limit_hz: int) -> None:
    narrow = soxr.resample(soxr.resample(speech[0], RATE_HZ, 2 * limit_hz), 2 * limit_hz, RATE_HZ)[None]

    result = measured(narrow.astype(np.float32))

    assert result.before.bandwidth_hz == pytest.approx(limit_hz, abs=500)
    assert codes(result) == ({WarningCode.BAND_LIMITED} if limit_hz < 12_000 else set())


def test_a_spectrum_that_falls_gently_is_not_cut_off() -> None:
    noise = np.random.default_rng(0).standard_normal((1, 4 * RATE_HZ))
    falling = sosfilt(butter(1, 300, fs=RATE_HZ, output="sos"), noise).astype(np.float32)

    result = measured(falling)

    assert result.before.bandwidth_hz == pytest.approx(RATE_HZ / 2, abs=500)
    assert result.warnings == ()


def test_a_telephones_own_rate_is_a_narrow_band(speech: Real) -> None:
    call = soxr.resample(speech.T, RATE_HZ, 8_000).T.astype(np.float32)

    result = measured(call, rate_hz=8_000)

    assert result.before.bandwidth_hz == 4_000
    assert codes(result) == {WarningCode.BAND_LIMITED}


@pytest.mark.parametrize("piece", [4_410, 100_003])
def test_pieces_of_any_size_measure_alike(speech: Real, piece: int) -> None:
    both = np.concatenate([speech, speech[:, ::-1]])

    assert measured(both, both * np.float32(0.1), piece=piece) == measured(both, both * np.float32(0.1))


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("frames", [1, 600, 20_000])
@pytest.mark.parametrize("level", [0.0, 0.25])
def test_the_shortest_and_the_silent_are_measured_without_a_word(channels: int, frames: int, level: float) -> None:
    result = measured(np.full((channels, frames), level, np.float32), level=ReportLevel.FULL, rate_hz=48_000)

    assert result.dnsmos_windows == 0
    assert (result.before.dnsmos, result.before.snr_db) == (None, None)
    assert WarningCode.SPEECH_COLLAPSED not in codes(result)


def test_silence_has_no_measures() -> None:
    result = measured(np.zeros((1, 48_000), np.float32), rate_hz=48_000)

    assert result.before == result.after == SoundMeasures()
    assert result.speech_share == 0.0


def test_opinions_are_asked_on_both_sides_and_twice_alike(speech: Real) -> None:
    speech = speech[:, : 7 * RATE_HZ]
    after = sosfilt(butter(4, 3_000, fs=RATE_HZ, output="sos"), speech).astype(np.float32)

    first, second = (measured(speech, after, level=ReportLevel.FULL, piece=piece) for piece in (None, 50_000))

    assert first.before.dnsmos is not None
    assert first.after.dnsmos is not None
    assert first.before.dnsmos != first.after.dnsmos
    assert 1 <= first.before.dnsmos.overall <= 5
    assert first.dnsmos_windows == second.dnsmos_windows > 0
    assert (first.before, first.after) == (second.before, second.after)


def test_opinion_windows_are_few_and_come_from_speech() -> None:
    sampler = WindowSampler()
    for block in range(500):
        speaks = 100 <= block < 200
        pair = np.full((2, 12_800), block, np.float32)
        sampler.add(pair, np.full(25, 0.95 if speaks else 0.01, np.float32))

    windows = sampler.finish()

    assert len(windows) == 12
    assert all(window.shape == (2, MOS_WINDOW) for window in windows)
    middles = [float(window[0, MOS_WINDOW // 2]) for window in windows]
    assert middles == sorted(middles)
    assert np.mean([95 <= middle <= 205 for middle in middles]) > 0.9


def test_a_short_recording_fills_one_window() -> None:
    sampler = WindowSampler()
    sampler.add(np.tile(np.arange(25_600, dtype=np.float32), (2, 1)), np.ones(50, np.float32))

    (window,) = sampler.finish()

    assert np.array_equal(window[0, 25_600:51_200], window[0, :25_600])


def test_a_missing_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="silero-vad") as caught:
        Measurement(48_000, 1, level=ReportLevel.BASIC, directory=tmp_path)

    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE
