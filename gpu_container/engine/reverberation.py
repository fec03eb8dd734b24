"""How reverberant a recording is, heard where speech ends: a mouth closes at once, a room dies away.

In each band the level of dry speech falls by hundreds of dB per second wherever a sound stops. A room cannot fall
faster than 60 dB in its decay time, so that even the steepest falls of a reverberant recording are slow, whoever
speaks and whatever is said. Decay rates as a measure of reverberation: Wen, Habets and Naylor, "Blind estimation of
reverberation time based on the distribution of signal decay rates", ICASSP 2008.
"""

from collections import deque

import numpy as np
import scipy.fft
from scipy.signal import lfilter

from gpu_container.engine.stft import RATE_HZ, Complex, Real

FFT = 1_536
"""32 ms."""

HOP = 384
"""8 ms."""

OVERLAP = FFT - HOP
FIRST_BIN, END_BIN = 2, 256
"""From 62.5 Hz, which leaves a constant offset alone, to 8 kHz, above which rooms absorb and little can be heard."""

BINS = END_BIN - FIRST_BIN
HOP_S = HOP / RATE_HZ

WINDOW = (np.sin(np.pi * (np.arange(FFT) + 0.5) / FFT) / np.sqrt(2)).astype(np.float32)
"""Root of a Hann window, on both sides: its squares at four hops add up to one."""

BAND_EDGES = np.array([1, 4, 7, 10, 14, 18, 23, 28, 34, 41, 49, 58, 69, 82, 97, 114, 134, 158, 188, 222, BINS])
"""Twenty bands, about a third of an octave each above 500 Hz."""

FALL_HOPS = 12
"""A fall is the slope of the line through 96 ms of levels: shorter ones see pitch, longer ones miss short pauses."""

HEADROOMS_DB = (25.0, 20.0, 15.0)
"""How far above the band's quietest tenth a fall begins, so that it is not the noise that ends it; the first that
enough falls allow. Noise and rooms that never fall silent leave little, and a fall with less room reads slower."""

DEPTH_DB = 35.0
"""Falls that begin further below the band's loudest are left out."""

STEEPEST_PERCENT = 10.0
MIN_FALLS = 40

OPENS_BELOW_DB_PER_S = 250.0
CLOSES_ABOVE_DB_PER_S = 265.0
"""With noise 5 dB below the speech or fainter, simulated rooms with decay times of 0.25 to 1.2 s read 95 to 264 (one in
a hundred reads more), dry speech 271 to 450. A room that is missed for its 0.25 s is hardly heard either."""

SEGMENT_HOPS = 250
"""Two seconds."""

WINDOW_SEGMENTS = 7
"""What is judged at once."""


def analyse(signal: Real) -> Complex:
    """Transform ``(channels, OVERLAP + T * HOP)`` to the bins between 62.5 Hz and 8 kHz, ``(channels, T, BINS)``."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, FFT, axis=-1)[:, ::HOP]  # (channels, T, FFT)
    spectrum = scipy.fft.rfft(frames * WINDOW, axis=-1)[..., FIRST_BIN:END_BIN]
    return np.ascontiguousarray(spectrum, np.complex64)


def mean_power(spectrum: Complex) -> Real:
    """Return the power of ``(channels, T, BINS)``, mean over channels, ``(T, BINS)``."""
    power: Real = np.mean(spectrum.real**2 + spectrum.imag**2, axis=0, dtype=np.float32)
    return power


def band_levels_db(power: Real) -> Real:
    """Return the levels of ``(T, BINS)`` in bands, ``(T, bands)``."""
    bands = np.add.reduceat(power, BAND_EDGES[:-1], axis=1)
    levels: Real = 10 * np.log10(bands + np.float32(1e-12))
    return levels


def decay_db_per_s(levels_db: Real) -> float | None:
    """Return how fast the steepest falls of ``(T, bands)`` are, a positive number; None where too few fall far enough.

    It takes a second or two of speech. What had less headroom than the most is scaled as if it had had it.
    """
    if len(levels_db) < FALL_HOPS:
        return None
    ramp = np.arange(FALL_HOPS) - (FALL_HOPS - 1) / 2
    line = ramp[::-1] / (ramp @ ramp) / HOP_S
    slopes = lfilter(line, [1.0], levels_db, axis=0)[FALL_HOPS - 1 :]  # (T - FALL_HOPS + 1, bands), dB per second
    begin = levels_db[: len(slopes)]
    above_noise = begin - np.percentile(levels_db, 10, axis=0)
    falls = (slopes < 0) & (begin > levels_db.max(axis=0) - DEPTH_DB)
    for headroom_db in HEADROOMS_DB:
        counted = slopes[falls & (above_noise > headroom_db)]
        if len(counted) >= MIN_FALLS:
            return -float(np.percentile(counted, STEEPEST_PERCENT)) * HEADROOMS_DB[0] / headroom_db
    return None


def decay_time_s(rate_db_per_s: float) -> float:
    """Return about the time in which sound falls by 60 dB, from what `decay_db_per_s` says.

    Fitted to simulated rooms, which it meets within 30 % (standard deviation). Speech itself ends in 0.1 to 0.2 s:
    less than 0.25 s means that no room is heard.
    """
    return float(np.clip(np.exp(6.70 - 1.43 * np.log(max(rate_db_per_s, 1.0))), 0.1, 5.0))


class Gate:
    """Whether to treat, with hysteresis; closed until reverberation has been heard, and while in doubt as before."""

    def __init__(self) -> None:
        self.is_open = False

    def decide(self, rate_db_per_s: float | None) -> bool:
        """Take the next segment's decay rate, return whether the gate is open for it."""
        if rate_db_per_s is not None:
            limit = CLOSES_ABOVE_DB_PER_S if self.is_open else OPENS_BELOW_DB_PER_S
            self.is_open = rate_db_per_s < limit
        return self.is_open


class ReverberationMeter:
    """Listens to a recording in pieces of any size, in constant memory; every two seconds judge the last fourteen."""

    def __init__(self, channels: int) -> None:
        self._pending: Real = np.zeros((channels, OVERLAP), np.float32)
        self._levels: deque[Real] = deque(maxlen=WINDOW_SEGMENTS)  # (T, bands) each
        self._rates_db_per_s, self._judged = 0.0, 0

    def process(self, signal: Real) -> None:
        """Take ``(channels, n)`` float32 at 48 kHz."""
        self._pending = np.concatenate([self._pending, signal], axis=1)
        while self._pending.shape[1] >= OVERLAP + SEGMENT_HOPS * HOP:
            self._listen(SEGMENT_HOPS)

    def finish(self) -> float | None:
        """Return the decay time, once everything has been given; None where no speech stands out of the noise."""
        hops = (self._pending.shape[1] - OVERLAP) // HOP
        if hops:
            self._listen(hops)
        return decay_time_s(self._rates_db_per_s / self._judged) if self._judged else None

    def _listen(self, hops: int) -> None:
        piece, self._pending = self._pending[:, : OVERLAP + hops * HOP], self._pending[:, hops * HOP :]
        self._levels.append(band_levels_db(mean_power(analyse(piece))))
        rate_db_per_s = decay_db_per_s(np.concatenate(self._levels))
        if rate_db_per_s is not None:  # else it says nothing about the room
            self._rates_db_per_s += rate_db_per_s
            self._judged += 1
