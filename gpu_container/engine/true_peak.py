"""True peak: how far a signal swings between its samples, ITU-R BS.1770-5, annex 2."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin

from gpu_container.engine.stft import Real

TAPS: Final = 24
"""Samples that each value in between is computed from: twice the standard's own, flat to 0.8 of the band."""

AHEAD: Final = TAPS // 2
"""Samples after a point that must be known before the signal beside it is."""

_SPAN: Final = 32
"""Points are examined in groups of this many, or not at all."""


class Oversampler:
    """Finds the magnitude between samples, but only where it can matter.

    A value in between is at most the loudest sample around it times the sum of the filter's magnitudes. Where that
    bound is below what is asked for, nothing is computed: for most recordings 19 groups in 20.

    Parameters
    ----------
    channels
        Rows of every block.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._matrix, self._bound = _interpolator(_factor(rate_hz))
        self._past: Real = np.zeros((channels, TAPS - 1), np.float32)

    def loud_groups(self, block: Real) -> "Groups":
        """Take ``(channels, n)``, n at least 32; the n points looked at lie 12 samples before."""
        signal = np.concatenate([self._past, block], axis=1)  # (channels, n + 23)
        self._past = signal[:, -(TAPS - 1) :].copy()
        return Groups(signal, self._matrix, self._bound)


class Groups:
    """The points of one block in groups of 32, with a bound on each group's true peak."""

    def __init__(self, signal: Real, matrix: Real, bound: float) -> None:
        count = signal.shape[1] - TAPS + 1
        self._matrix = matrix
        # The last group ends with the block, and may overlap the one before.
        self.starts = np.minimum(np.arange(0, count, _SPAN), count - _SPAN)
        self._windows = np.lib.stride_tricks.sliding_window_view(signal, _SPAN + TAPS - 1, axis=1)
        loudest = np.maximum.reduceat(np.abs(signal), np.arange(0, signal.shape[1], _SPAN), axis=1)  # (channels, cells)
        first = self.starts // _SPAN
        last = np.minimum(first + 2, loudest.shape[1] - 1)
        nearby = np.maximum(np.maximum(loudest[:, first], loudest[:, first + 1]), loudest[:, last])
        self.bounds: Real = nearby * np.float32(bound)  # (channels, groups)

    def magnitudes(self, channel: NDArray[np.intp], group: NDArray[np.intp]) -> Real:
        """Return the largest magnitude from each point up to the next, ``(m, 32)``, of m groups."""
        values = self._windows[channel, self.starts[group]] @ self._matrix  # (m, factor * 32)
        largest: Real = np.abs(values).reshape(len(values), -1, _SPAN).max(axis=1)
        return largest


class TruePeakMeter:
    """The largest magnitude of a recording, between samples too.

    Parameters
    ----------
    channels
        Rows of every block.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._oversampler = Oversampler(rate_hz, channels)
        self._channels = channels
        self.peak = 0.0

    def add(self, block: Real) -> None:
        """Take ``(channels, n)``, n at least 32."""
        groups = self._oversampler.loud_groups(block)
        # The most promising groups first: what they reach rules most others out.
        promising = np.sort(groups.bounds, axis=None)[-min(_SPAN, groups.bounds.size)]
        self._examine(groups, promising)
        self._examine(groups, self.peak)

    def finish(self) -> None:
        """Look at the last points: silence follows them."""
        self.add(np.zeros((self._channels, _SPAN), np.float32))

    def _examine(self, groups: Groups, above: float) -> None:
        channel, group = np.nonzero(groups.bounds > max(above, self.peak))
        if channel.size:
            self.peak = max(self.peak, float(groups.magnitudes(channel, group).max()))


def _factor(rate_hz: int) -> int:
    """Return how many points there are to a sample: about 192 kHz is enough for any true peak."""
    if rate_hz < 96_000:
        return 4
    return 2 if rate_hz < 192_000 else 1


@lru_cache
def _interpolator(factor: int) -> tuple[Real, float]:
    """Return the matrix ``(55, factor * 32)`` from a group's samples to its points, and its largest gain."""
    phases = np.zeros((factor, TAPS))
    phases[0, AHEAD - 1] = 1.0  # the sample itself
    if factor > 1:
        low_pass = factor * firwin(factor * TAPS + 1, 1 / factor, window=("kaiser", 6.0))
        for phase in range(1, factor):
            phases[phase] = low_pass[phase::factor][::-1]
    matrix = np.zeros((_SPAN + TAPS - 1, factor, _SPAN), np.float32)
    for point in range(_SPAN):
        matrix[point : point + TAPS, :, point] = phases.T
    return matrix.reshape(_SPAN + TAPS - 1, -1), float(np.abs(phases).sum(axis=1).max())
