"""Pictures and peaks: valid, about the right time and levels, and of one size however long the recording is."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from gpu_container.contract import ReportLevel
from gpu_container.engine.measure import Measured, Measurement
from gpu_container.engine.pictures import draw_spectrogram, draw_waveform, peaks
from gpu_container.engine.stft import Real
from gpu_container.engine.traces import MAX_COLUMNS, Fold
from tests.engine.signals import noisy_voice

DRAWINGS = pytest.mark.parametrize("draw", [draw_spectrogram, draw_waveform])
Draw = Callable[[Measured], bytes]


def measured(before: Real, after: Real, rate_hz: int, *, level: ReportLevel = ReportLevel.FULL) -> Measured:
    measurement = Measurement(rate_hz, len(before), level=level)
    measurement.add(before, after)
    return measurement.finish()


def pixels(png: bytes) -> Real:
    """Return ``(height, width, 3)``."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float32)


@pytest.fixture(scope="module")
def enhanced() -> Measured:
    """Eight tenths of a second, of which the second half was silenced."""
    before = noisy_voice(seconds=0.8, rate_hz=16_000)
    after = before.copy()
    after[:, before.shape[1] // 2 :] = 0
    return measured(before, after, 16_000)


@DRAWINGS
def test_a_picture_shows_both_sides(draw: Draw, enhanced: Measured) -> None:
    picture = pixels(draw(enhanced))

    height, width, _ = picture.shape
    assert (width, height) == (1_440, 810)
    before, after = picture[: height // 2], picture[height // 2 :]
    assert np.abs(before - after).mean() > 1
    # What was silenced looks different from what was not, after and only after.
    first, second = slice(int(0.15 * width), int(0.45 * width)), slice(int(0.55 * width), int(0.85 * width))
    middle = slice(int(0.15 * height), int(0.35 * height))
    contrast = [abs(float(side[middle, first].mean() - side[middle, second].mean())) for side in (before, after)]
    assert contrast[1] > 3 * contrast[0]


@DRAWINGS
def test_equal_sides_look_equal(draw: Draw) -> None:
    voice = noisy_voice(seconds=0.5, rate_hz=16_000)

    picture = pixels(draw(measured(voice, voice, 16_000)))

    middle = slice(200, 1_200)
    rows = [np.flatnonzero(picture[:, middle].std(axis=(1, 2)) > 5)]
    upper, lower = rows[0][rows[0] < 400], rows[0][(rows[0] > 410) & (rows[0] < 760)]
    assert len(upper) == pytest.approx(len(lower), abs=6)


@DRAWINGS
@pytest.mark.parametrize("frames", [1, 100, 3_000])
@pytest.mark.parametrize("gain", [0.0, 1.0])
def test_the_shortest_and_the_silent_are_drawn(draw: Draw, frames: int, gain: float) -> None:
    signal = noisy_voice(seconds=1, rate_hz=8_000)[:, :frames] * np.float32(gain)

    assert draw(measured(signal, signal, 8_000)).startswith(b"\x89PNG")


@pytest.mark.parametrize("make", [draw_spectrogram, draw_waveform, peaks])
def test_a_basic_measurement_has_no_pictures(make: Callable[[Measured], object]) -> None:
    voice = noisy_voice(seconds=0.2, rate_hz=8_000)

    with pytest.raises(ValueError, match="full report level"):
        make(measured(voice, voice, 8_000, level=ReportLevel.BASIC))


def test_peaks_outline_the_result_for_players(enhanced: Measured) -> None:
    outline = peaks(enhanced)

    assert (outline.version, outline.channels, outline.bits, outline.sample_rate) == (2, 1, 8, 16_000)
    assert len(outline.data) == 2 * outline.length
    assert outline.length * outline.samples_per_pixel == pytest.approx(12_800, abs=outline.samples_per_pixel)
    pairs = np.array(outline.data).reshape(-1, 2)
    assert (pairs[:, 0] <= pairs[:, 1]).all()
    assert np.abs(pairs).max() > 30
    assert not pairs[outline.length // 2 + 1 :].any()


def test_peaks_never_leave_eight_bits() -> None:
    loud = np.tile(np.array([[-1.5, 1.5]], np.float32), 4_000)

    assert set(peaks(measured(loud, loud, 8_000)).data) == {-128, 127}


@pytest.mark.parametrize("seconds", [20, 200])
def test_a_long_recording_takes_no_more_columns(seconds: int) -> None:
    rate_hz = 8_000
    second = noisy_voice(seconds=1, rate_hz=rate_hz)
    measurement = Measurement(rate_hz, 1, level=ReportLevel.FULL)
    for number in range(seconds):
        loudness = np.float32(number + 1 == seconds)  # the last second alone is heard
        measurement.add(second * loudness, second * loudness)
    result = measurement.finish()

    traces = result.traces
    assert traces is not None
    outline = peaks(result)
    heard = np.flatnonzero(np.abs(np.array(outline.data)).reshape(-1, 2).max(axis=1))
    assert outline.length <= MAX_COLUMNS
    assert len(traces.before.power) <= MAX_COLUMNS
    assert heard[0] / outline.length == pytest.approx(1 - 1 / seconds, abs=0.02)
    loud_columns = np.flatnonzero(traces.after.power.sum(axis=1) > 1e-3)
    assert loud_columns[0] * traces.seconds_per_column == pytest.approx(seconds - 1, abs=0.3)


@pytest.mark.parametrize("piece", [1, 7, 5_000])
def test_folding_keeps_means_and_extremes(piece: int) -> None:
    values = np.random.default_rng(0).standard_normal((9_001, 2)).astype(np.float32)
    mean, highest = Fold(2, np.add), Fold(2, np.maximum)

    for start in range(0, len(values), piece):
        mean.add(values[start : start + piece])
        highest.add(values[start : start + piece])

    groups = np.array_split(values, range(8, len(values), 8))
    assert mean.per_column == highest.per_column == 8
    assert mean.columns() == pytest.approx(np.array([group.mean(axis=0) for group in groups]), abs=1e-5)
    assert np.array_equal(highest.columns(), np.array([group.max(axis=0) for group in groups]))
