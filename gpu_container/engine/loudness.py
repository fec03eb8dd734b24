"""Loudness after ITU-R BS.1770-5 and EBU Tech 3342, and a limiter that keeps a louder copy below a true peak."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import sosfilt

from gpu_container.engine.framing import Framer
from gpu_container.engine.stft import Real
from gpu_container.engine.true_peak import AHEAD, Oversampler, TruePeakMeter

SIDE: Final = 10 ** (1.5 / 10)
"""Sound from 60° to 120° to the side counts 1.5 dB more; from the front and the back it does not."""

CHANNEL_WEIGHTS: Final = {
    1: (1.0,),
    2: (1.0, 1.0),
    3: (1.0, 1.0, 1.0),
    4: (1.0, 1.0, 1.0, 1.0),
    5: (1.0, 1.0, 1.0, SIDE, SIDE),
    6: (1.0, 1.0, 1.0, 0.0, SIDE, SIDE),
    7: (1.0, 1.0, 1.0, 0.0, 1.0, SIDE, SIDE),
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, SIDE, SIDE),
}
"""BS.1770-5, tables 3 and 4, for mono, stereo, 3.0, 4.0, 5.0, 5.1, 6.1 and 7.1 in the order of WAVE_EXTENSIBLE."""

STEPS_PER_S: Final = 10
MOMENTARY_STEPS: Final = 4
SHORT_TERM_STEPS: Final = 30

ABSOLUTE_GATE_LUFS: Final = -70.0
RELATIVE_GATE_LU: Final = -10.0
RANGE_GATE_LU: Final = -20.0
RANGE_PERCENTILES: Final = (0.10, 0.95)

_OFFSET_LUFS: Final = -0.691
"""So that a 997 Hz sine of full scale in one channel reads -3.01 LUFS."""

_BIN_LU: Final = 0.01
_BINS: Final = 10_001
"""From the absolute gate up to +30 LUFS; ten hours need no more room than ten seconds."""


@dataclass(frozen=True)
class Loudness:
    """A recording's loudness; None where it is too short or too quiet to have one."""

    integrated_lufs: float | None
    range_lu: float | None
    true_peak_dbtp: float | None


class LoudnessMeter:
    """Measures a recording that comes in pieces of any size, in constant memory.

    Parameters
    ----------
    rate_hz
        From 4,000 up to 192,000.
    channels
        1 to 8; weighted by the usual layout of that many.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._rate_hz = rate_hz
        self._weights = np.array(CHANNEL_WEIGHTS[channels])
        self._framer = Framer(channels, rate_hz)
        self._sos = k_weighting(rate_hz)
        self._filter = np.zeros((len(self._sos), channels, 2))
        self._edges = np.arange(STEPS_PER_S) * rate_hz // STEPS_PER_S
        self._steps = np.zeros(0)
        self._momentary = _Histogram()
        self._short_term = _Histogram()
        self._true_peak = TruePeakMeter(rate_hz, channels)

    def add(self, block: Real) -> None:
        """Take ``(channels, n)``."""
        for frame in self._framer.frames(block):
            self._true_peak.add(frame)
            self._count(self._energies(frame, self._edges))

    def result(self) -> Loudness:
        """Return what was measured; ends the measurement."""
        rest = self._framer.rest()
        silence = np.zeros((len(rest), self._rate_hz - rest.shape[1]), np.float32)
        self._true_peak.add(np.concatenate([rest, silence], axis=1))
        self._true_peak.finish()
        edges = self._edges[self._edges <= rest.shape[1]]
        if len(edges) > 1:  # at least one whole step
            self._count(self._energies(rest[:, : edges[-1]], edges[:-1]))
        peak = self._true_peak.peak
        return Loudness(
            integrated_lufs=self._momentary.gated_mean_lufs(),
            range_lu=self._short_term.spread_lu(),
            true_peak_dbtp=20 * math.log10(peak) if peak else None,
        )

    def _energies(self, frame: Real, edges: NDArray[np.int_]) -> NDArray[np.float64]:
        """Return the weighted energy of each step of 100 ms that begins at one of the edges."""
        filtered, self._filter = sosfilt(self._sos, frame.astype(np.float64), axis=-1, zi=self._filter)
        power = self._weights @ np.square(filtered)  # (n,)
        energies: NDArray[np.float64] = np.add.reduceat(power, edges)
        return energies

    def _count(self, energies: NDArray[np.float64]) -> None:
        known = np.concatenate([self._steps, energies])
        for histogram, steps in ((self._momentary, MOMENTARY_STEPS), (self._short_term, SHORT_TERM_STEPS)):
            window = known[-(len(energies) + steps - 1) :]
            if len(window) >= steps:
                sums = np.lib.stride_tricks.sliding_window_view(window, steps).sum(axis=-1)
                histogram.add(sums * STEPS_PER_S / (steps * self._rate_hz))
        self._steps = known[-(SHORT_TERM_STEPS - 1) :]


class _Histogram:
    """Loudness values by hundredths of a unit, and their exact powers."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)
        self._powers = np.zeros(_BINS)

    def add(self, powers: NDArray[np.float64]) -> None:
        """Count windows by their mean power; what is below the absolute gate is left out."""
        lufs = _OFFSET_LUFS + 10 * np.log10(np.maximum(powers, 1e-30))
        heard = lufs > ABSOLUTE_GATE_LUFS
        bins = np.minimum(_bin(lufs[heard]), _BINS - 1)
        np.add.at(self._counts, bins, 1)
        np.add.at(self._powers, bins, powers[heard])

    def gated_mean_lufs(self) -> float | None:
        """Return the mean of what passes both gates."""
        loud = self._passing(RELATIVE_GATE_LU)
        return None if loud is None else self._mean_lufs(loud)

    def spread_lu(self) -> float | None:
        """Return the distance between the 10th and the 95th percentile of what passes both gates."""
        loud = self._passing(RANGE_GATE_LU)
        if loud is None:
            return None
        ranks = np.cumsum(self._counts[loud])
        low, high = (int(np.searchsorted(ranks, round((ranks[-1] - 1) * share) + 1)) for share in RANGE_PERCENTILES)
        return (high - low) * _BIN_LU

    def _passing(self, gate_lu: float) -> slice | None:
        if not self._counts.any():
            return None
        gate_lufs = self._mean_lufs(slice(None)) + gate_lu
        return slice(max(0, int(_bin(np.asarray(gate_lufs)))), None)

    def _mean_lufs(self, bins: slice) -> float:
        return float(_OFFSET_LUFS + 10 * np.log10(self._powers[bins].sum() / self._counts[bins].sum()))


def _bin(lufs: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.floor((lufs - ABSOLUTE_GATE_LUFS) / _BIN_LU).astype(np.intp)


def k_weighting(rate_hz: int) -> NDArray[np.float64]:
    """Return the K-weighting filter as second-order sections, ``(2, 6)``, for any rate from 4 kHz.

    The standard lists coefficients for 48 kHz alone; these analogue parameters give them back to 1e-9, and the same
    response at other rates (De Man, "Evaluation of implementations of the EBU R128 loudness measurement", 2018). Below
    8 kHz, where the shelf comes close to the end of the band, speech reads up to 0.2 LU off.
    """
    head = _biquad(rate_hz, 1681.974450955533, 0.7071752369554196, shelf_db=3.999843853973347)
    cut = _biquad(rate_hz, 38.13547087602444, 0.5003270373238773, shelf_db=None)
    return np.array([head, cut])


def _biquad(rate_hz: int, frequency_hz: float, quality: float, shelf_db: float | None) -> list[float]:
    """Return a high shelf, or a high-pass where no shelf is given, by the bilinear transform."""
    k = np.tan(np.pi * frequency_hz / rate_hz)
    a0 = 1 + k / quality + k * k
    poles = [1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]
    if shelf_db is None:
        return [1.0, -2.0, 1.0, *poles]
    high = 10 ** (shelf_db / 20)
    band = high**0.4996667741545416
    zeros = [high + band * k / quality + k * k, 2 * (k * k - high), high - band * k / quality + k * k]
    return [*(zero / a0 for zero in zeros), *poles]


class TruePeakLimiter:
    """Turns the gain down before a peak would pass the ceiling, and up again after it; all channels alike.

    The gain falls over 5 ms before a peak and rises by 30 dB a second after it; it is never below what its peaks need,
    so that nothing clips, and exactly 1 elsewhere. The result is aligned with the input and as long.

    Parameters
    ----------
    rate_hz
        From 4,000 up to 192,000.
    channels
        Rows of every piece; their balance does not move.
    """

    LOOK_AHEAD_S: Final = 0.005
    RELEASE_DB_PER_S: Final = 30.0

    def __init__(self, rate_hz: int, channels: int, ceiling_dbtp: float = -1.0) -> None:
        self._ceiling = 10 ** (ceiling_dbtp / 20)
        self._attack = 2 * round(self.LOOK_AHEAD_S * rate_hz / 2)
        self._release_db = self.RELEASE_DB_PER_S / rate_hz
        self._framer = Framer(channels, rate_hz)
        self._oversampler = Oversampler(rate_hz, channels)
        self._late: Real = np.zeros((channels, AHEAD + self._attack), np.float32)
        self._needed_db = np.zeros(self._attack + 1)
        self._held_db = np.zeros(self._attack)
        self._owed = self._late.shape[1]  # samples of silence that stand before the first
        self.limited_count = 0

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)``, return what is ready, ``(channels, m)``."""
        ready = [self._limited(frame) for frame in self._framer.frames(signal)]
        return self._without_delay(np.concatenate([self._late[:, :0], *ready], axis=1))

    def finish(self) -> Real:
        """Return what is left: as many samples as were given in all."""
        rest = self._framer.rest()
        return self._without_delay(self._limited(np.concatenate([rest, np.zeros_like(self._late)], axis=1)))

    def _without_delay(self, ready: Real) -> Real:
        dropped = min(self._owed, ready.shape[1])
        self._owed -= dropped
        return ready[:, dropped:]

    def _limited(self, frame: Real) -> Real:
        """Take ``(channels, n)``, return the n samples that were given ``AHEAD + attack`` ago, limited."""
        gain_db = self._gain_db(self._reduction_db(frame))
        late = np.concatenate([self._late, frame], axis=1)
        ready, self._late = late[:, : frame.shape[1]], late[:, frame.shape[1] :].copy()
        if gain_db is None:
            return ready.copy()
        limited: Real = ready * (10 ** (gain_db / 20)).astype(np.float32)
        self.limited_count += int(np.count_nonzero(limited != ready))
        return limited

    def _reduction_db(self, frame: Real) -> NDArray[np.float64]:
        """Return what each point needs, ``(n,)``, 12 samples late; 0 where nothing passes the ceiling."""
        groups = self._oversampler.loud_groups(frame)
        needed_db = np.zeros(frame.shape[1])
        channel, group = np.nonzero(groups.bounds > self._ceiling)
        if channel.size:
            peaks = groups.magnitudes(channel, group)  # (m, 32)
            reduction_db = np.minimum(0.0, -20 * np.log10(np.maximum(peaks, 1e-9) / self._ceiling))
            np.minimum.at(needed_db, groups.starts[group][:, None] + np.arange(peaks.shape[1]), reduction_db)
        return needed_db

    def _gain_db(self, needed_db: NDArray[np.float64]) -> NDArray[np.floating] | None:
        """Return the gain, ``attack`` samples late; None where it is 0 dB throughout."""
        needed = np.concatenate([self._needed_db, needed_db])
        if not needed.any() and not self._held_db.any():
            return None
        self._needed_db = needed[-(self._attack + 1) :]
        lowest = _valid(minimum_filter1d, needed, self._attack + 2)
        # Rising by so much a sample at most: a running minimum once the slope is taken out.
        slope = self._release_db * np.arange(len(lowest) + 1)
        start = self._held_db[-1]
        rising = slope + np.minimum.accumulate(np.concatenate([[start], lowest]) - slope)
        held = np.concatenate([self._held_db, np.minimum(rising[1:], 0.0)])
        self._held_db = held[-self._attack :]
        box = self._attack // 2 + 1
        return _valid(uniform_filter1d, _valid(uniform_filter1d, held, box), box)


def _valid(
    running: Callable[[NDArray[np.floating], int], NDArray[np.floating]], values: NDArray[np.floating], size: int
) -> NDArray[np.floating]:
    """Apply a running filter and keep what no border has touched: ``(n,)`` to ``(n - size + 1,)``."""
    return running(values, size)[size // 2 :][: len(values) - size + 1]
