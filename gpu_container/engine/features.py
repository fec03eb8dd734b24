"""What the network hears: loudness in ERB bands and the low bins' phase, both normalised by running means.

Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", Interspeech 2023.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from gpu_container.engine.stft import BINS, FFT, RATE_HZ, Complex, Real

ERB_BANDS = 32
MIN_BINS_PER_BAND = 2
DF_BINS = 96
"""The deep filter works below 4.8 kHz; above, one gain per band."""

SMOOTHING = 0.99
ERB_MEAN_START_DB = np.linspace(-60, -90, ERB_BANDS, dtype=np.float32)
UNIT_MEAN_START = np.linspace(1e-3, 1e-4, DF_BINS, dtype=np.float32)


def erb_band_widths() -> NDArray[np.int64]:
    """Return the number of bins of each band on the ERB scale (Glasberg and Moore 1990), ``(ERB_BANDS,)``.

    Low bands would hold less than one bin: each takes at least two and the next ones pay for it, as libDF does.
    """

    def to_hz(erb: float) -> float:
        return float(24.7 * 9.265 * (np.exp(erb / 9.265) - 1))

    step = 9.265 * np.log1p(RATE_HZ / 2 / (24.7 * 9.265)) / ERB_BANDS
    widths, previous, borrowed = [], 0, 0
    for band in range(1, ERB_BANDS + 1):
        edge = round(to_hz(band * step) / (RATE_HZ / FFT))
        width = edge - previous - borrowed
        borrowed = max(0, MIN_BINS_PER_BAND - width)
        widths.append(max(width, MIN_BINS_PER_BAND))
        previous = edge
    widths[-1] += 1  # the bin at half the rate
    widths[-1] -= max(0, sum(widths) - BINS)
    return np.array(widths)


BAND_WIDTHS = erb_band_widths()
BAND_STARTS = np.concatenate([[0], np.cumsum(BAND_WIDTHS)[:-1]])
BAND_OF_BIN = np.repeat(np.arange(ERB_BANDS), BAND_WIDTHS)


@dataclass
class RunningMeans:
    """State of the normalisation: ``(B, ERB_BANDS)`` in dB and ``(B, DF_BINS)``."""

    erb_db: Real
    unit: Real

    @classmethod
    def start(cls, batch: int) -> "RunningMeans":
        """Return the means that the network was trained to start with."""
        return cls(np.tile(ERB_MEAN_START_DB, (batch, 1)), np.tile(UNIT_MEAN_START, (batch, 1)))

    def take(self, rows: NDArray[np.intp]) -> "RunningMeans":
        """Return some rows' means, repeated where ``rows`` repeats them."""
        return RunningMeans(self.erb_db[rows], self.unit[rows])


def extract(spectrum: Complex, means: RunningMeans) -> tuple[Real, Real]:
    """Return the network's two inputs and move the means on.

    Parameters
    ----------
    spectrum
        ``(B, T, BINS)``.

    Returns
    -------
    feat_erb
        ``(B, 1, T, ERB_BANDS)``.
    feat_spec
        ``(B, 2, T, DF_BINS)``: real and imaginary part.
    """
    power = spectrum.real**2 + spectrum.imag**2  # (B, T, BINS)
    band_power = np.add.reduceat(power, BAND_STARTS, axis=-1) / BAND_WIDTHS.astype(np.float32)  # (B, T, ERB_BANDS)
    loudness_db: Real = (10 * np.log10(band_power + 1e-10)).astype(np.float32)
    mean_db, means.erb_db = _smooth(loudness_db, means.erb_db)
    feat_erb = ((loudness_db - mean_db) / np.float32(40))[:, None]  # (B, 1, T, ERB_BANDS)

    low = spectrum[..., :DF_BINS]  # (B, T, DF_BINS)
    mean, means.unit = _smooth(np.sqrt(power[..., :DF_BINS]), means.unit)
    scale = 1 / np.sqrt(mean)
    return feat_erb, np.stack([low.real * scale, low.imag * scale], axis=1)  # (B, 2, T, DF_BINS)


def _smooth(values: Real, state: Real) -> tuple[Real, Real]:
    """Exponential mean along time: ``(B, T, F)``, state ``(B, F)`` → means ``(B, T, F)``, state ``(B, F)``."""
    start = (SMOOTHING * state)[:, None, :]
    means, _ = lfilter([1 - SMOOTHING], [1, -SMOOTHING], values, axis=1, zi=start)
    smoothed: Real = np.asarray(means, np.float32)
    return smoothed, smoothed[:, -1].copy()
