"""How a recording sounds, in numbers and in a picture, for the demo: the engine's own measures."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from gpu_container.contract import ReportLevel, SpeechQuality
from gpu_container.engine.errors import EngineError
from gpu_container.engine.measure import Measurement
from gpu_container.engine.opinion import MAX_WINDOWS, MOS_RATE_HZ, MOS_WINDOW, filled, mean_opinion
from gpu_container.engine.pictures import draw_spectrogram
from gpu_container.engine.stft import Real
from scripts.local.paths import LauncherError

FIGURE_RATE_HZ = 48_000


def read_mono(path: Path, rate_hz: int) -> Real:
    """Return the mean of all channels at ``rate_hz``."""
    samples, own_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), own_rate_hz, rate_hz), dtype=np.float32)


def dnsmos(path: Path) -> SpeechQuality:
    """Return the mean DNSMOS of up to twelve windows, spread over a recording."""
    samples = read_mono(path, MOS_RATE_HZ)
    if not samples.size:
        raise LauncherError(f"{path} holds no samples.")
    samples = filled(samples) if samples.size < MOS_WINDOW else samples
    starts = np.arange(0, samples.size - MOS_WINDOW + 1, MOS_RATE_HZ)
    if starts.size > MAX_WINDOWS:
        starts = starts[np.linspace(0, starts.size - 1, MAX_WINDOWS).round().astype(int)]
    try:
        return mean_opinion([samples[at : at + MOS_WINDOW] for at in starts])
    except EngineError as error:
        raise LauncherError(error.message) from error


def draw_spectrograms(before: Path, after: Path, picture: Path) -> None:
    """Write both spectrograms on one scale, so that what is gone can be seen."""
    sides = [read_mono(path, FIGURE_RATE_HZ) for path in (before, after)]
    shortest = min(side.size for side in sides)
    measurement = Measurement(FIGURE_RATE_HZ, 1, level=ReportLevel.FULL)
    measurement.add(sides[0][None, :shortest], sides[1][None, :shortest])
    picture.write_bytes(draw_spectrogram(measurement.finish()))
