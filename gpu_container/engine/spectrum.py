"""The long-term spectrum of a recording, and where it ends."""

from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from gpu_container.engine.stft import Real

WINDOW_S: Final = 0.043
"""2048 samples at 48 kHz: resolves the harmonics of a voice."""

BAND_HZ: Final = 250.0

LOWEST_HZ: Final = 250.0
"""Below it lie mains hum and direct current, which say nothing about where a spectrum ends."""

FAINTEST_DB: Final = -80.0
"""Against the loudest band. Speech has its s and f 40 to 60 dB below its vowels; codecs and resamplers leave less."""

CLIFF_DB: Final = 25.0
CLIFF_BANDS: Final = 4
"""A fall of 25 dB within 1 kHz is a filter's: no voice, room or microphone falls as fast above 2 kHz."""

CLIFF_FROM_HZ: Final = 2_000.0


class PowerFrames:
    """Short-time power spectra of a stream.

    Parameters
    ----------
    rate_hz
        The stream's.
    for_pictures
        Half a window apart; else a whole one, which is as good for a long-term mean and costs half.
    """

    def __init__(self, rate_hz: int, *, for_pictures: bool) -> None:
        self.size = 1 << round(np.log2(WINDOW_S * rate_hz))
        self.hop = self.size // 2 if for_pictures else self.size
        self._window = np.hanning(self.size + 1)[:-1].astype(np.float32)
        self._window /= np.sqrt(np.sum(np.square(self._window)))  # white noise of variance 1 reads 1 in every bin
        self._waiting: Real = np.zeros(0, np.float32)

    def process(self, signal: Real) -> Real:
        """Take ``(n,)``, return ``(frames, size // 2 + 1)``."""
        known = np.concatenate([self._waiting, signal])
        if len(known) < self.size:
            self._waiting = known
            return np.zeros((0, self.size // 2 + 1), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(known, self.size)[:: self.hop]  # (frames, size)
        self._waiting = known[len(frames) * self.hop :].copy()
        spectrum = scipy.fft.rfft(frames * self._window, axis=-1)
        return np.square(spectrum.real) + np.square(spectrum.imag)

    def finish(self) -> Real:
        """Return the frames that reach beyond the end, where silence follows."""
        return self.process(np.zeros(self.size - 1, np.float32))


class LongTermSpectrum:
    """Mean power in bands of 250 Hz.

    Parameters
    ----------
    rate_hz
        The recording's.
    size
        Of the transform that the powers come from.
    """

    def __init__(self, rate_hz: int, size: int) -> None:
        self._hz_per_bin = rate_hz / size
        self._power = np.zeros(size // 2 + 1)
        self._frames = 0

    def add(self, power: Real) -> None:
        """Take ``(frames, bins)``."""
        self._power += power.sum(axis=0, dtype=np.float64)
        self._frames += len(power)

    def bandwidth_hz(self) -> float | None:
        """Return where the spectrum ends, within half a kilohertz: at its cliff, or where it fades.

        None for silence.
        """
        levels_db = self._levels_db()
        if levels_db is None:
            return None
        bands = [band for band in (_cliff(levels_db), _fade(levels_db)) if band is not None]
        return LOWEST_HZ + (min(bands) + 1) * BAND_HZ

    def _levels_db(self) -> NDArray[np.float64] | None:
        """Return the level of each band from `LOWEST_HZ`, ``(bands,)``."""
        first, width = LOWEST_HZ / self._hz_per_bin, BAND_HZ / self._hz_per_bin
        edges = np.round(first + width * np.arange((len(self._power) - first) // width + 1)).astype(int)
        if not self._power[edges[0] : edges[-1]].any():
            return None
        bands = np.add.reduceat(self._power, edges[:-1])[: len(edges) - 1] / np.diff(edges)
        levels_db: NDArray[np.float64] = 10 * np.log10(np.maximum(bands / self._frames, 1e-20))
        return levels_db


def _cliff(levels_db: NDArray[np.float64]) -> int | None:
    """Return the last band after which the spectrum falls steeply and for good."""
    first = int((CLIFF_FROM_HZ - LOWEST_HZ) // BAND_HZ)
    beyond = np.maximum.accumulate(levels_db[::-1])[::-1][first + CLIFF_BANDS :]  # the loudest from there on
    steep = np.flatnonzero(levels_db[first : first + len(beyond)] - beyond >= CLIFF_DB)
    if not steep.size:
        return None
    brink = first + int(steep[-1])
    slope_db = levels_db[brink : brink + CLIFF_BANDS + 1] - levels_db[brink]
    return brink + int(np.flatnonzero(slope_db > -CLIFF_DB / 2)[-1])


def _fade(levels_db: NDArray[np.float64]) -> int:
    """Return the last band that is not too faint to matter."""
    return int(np.flatnonzero(levels_db >= levels_db.max() + FAINTEST_DB)[-1])
