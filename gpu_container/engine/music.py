"""A plain detector of music: tones that stay where they are while nobody speaks."""

from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

from gpu_container.engine.speech import VAD_FRAME, VAD_RATE_HZ
from gpu_container.engine.stft import Real

_SIZE: Final = 2 * VAD_FRAME
_BANDS: Final = slice(100 * _SIZE // VAD_RATE_HZ, 4_000 * _SIZE // VAD_RATE_HZ)

PROMINENCE_DB: Final = 8.0
"""A tone stands this far above its surroundings, 200 Hz to either side."""

HELD_FRAMES: Final = 6
"""0.2 s: a voice glides through a bin of 16 Hz in less, a note of music stays."""

DRONE_SHARE: Final = 0.6
"""A tone that sounds for more than this share of the time is a mains hum or a fan, not a melody."""

QUIET_DB: Final = -30.0
"""Frames this far below the loudest so far say nothing."""

SEGMENT_FRAMES: Final = 312
"""Judged in segments of 10 s: long enough for a few chords, short enough to tell a jingle from the talk after it."""

SHORTEST_FRAMES: Final = 94
"""3 s: less of a last segment is not judged."""

MUSIC_SCORE: Final = 0.3
"""Share of the time without speech times share of tones in its energy.

Measured: noises and noisy speech up to 0.27 (a chainsaw alone), music 0.38 and more.
"""


class MusicDetector:
    """Finds how much of a recording is music without speech; needs frames of 32 ms at 16 kHz."""

    def __init__(self) -> None:
        self._signal: Real = np.zeros(_SIZE - VAD_FRAME, np.float32)
        self._power: list[Real] = []
        self._is_speech: list[NDArray[np.bool_]] = []
        self._frames = 0
        self._loudest = 0.0
        self._judged = 0
        self._music = 0

    @property
    def share(self) -> float:
        """Share of the judged time that is music-like."""
        return self._music / self._judged if self._judged else 0.0

    def add(self, signal: Real, is_speech: NDArray[np.bool_]) -> None:
        """Take ``(T * 512,)`` and whether each of the T frames is speech."""
        known = np.concatenate([self._signal, signal])
        self._signal = known[-(_SIZE - VAD_FRAME) :].copy()
        frames = np.lib.stride_tricks.sliding_window_view(known, _SIZE)[::VAD_FRAME]  # (T, 1024)
        spectrum = scipy.fft.rfft(frames * _WINDOW, axis=-1)[:, _BANDS]
        self._power.append(np.square(spectrum.real) + np.square(spectrum.imag))
        self._is_speech.append(is_speech)
        self._frames += len(is_speech)
        if self._frames >= SEGMENT_FRAMES:
            self._judge()

    def finish(self) -> None:
        """Judge what is left."""
        if self._frames >= SHORTEST_FRAMES:
            self._judge()

    def _judge(self) -> None:
        power, is_speech = np.concatenate(self._power), np.concatenate(self._is_speech)
        self._judged += self._frames
        self._loudest = max(self._loudest, float(power.sum(axis=1).max()))
        if _score(power, is_speech, self._loudest) >= MUSIC_SCORE:
            self._music += self._frames
        self._power, self._is_speech, self._frames = [], [], 0


_WINDOW: Final = np.hanning(_SIZE + 1)[:-1].astype(np.float32)


def _score(power: Real, is_speech: NDArray[np.bool_], loudest: float) -> float:
    """Return how musical a segment ``(T, bins)`` is, from 0 to 1."""
    total = power.sum(axis=1)
    heard = total > loudest * 10 ** (QUIET_DB / 10)
    free = heard & ~is_speech
    if not free.any():
        return 0.0
    held = _held_tones(power)
    drone = held[free].mean(axis=0) > DRONE_SHARE
    tones = (power * (held & ~drone)).sum(axis=1)[free] / total[free]
    return float(tones.sum() / np.count_nonzero(heard))


def _held_tones(power: Real) -> NDArray[np.bool_]:
    """Return where a tone is held, ``(T, bins)``."""
    level_db = 10 * np.log10(power + np.float32(1e-12))
    is_peak = level_db - uniform_filter1d(level_db, 25, axis=1) > PROMINENCE_DB
    is_peak &= level_db >= maximum_filter1d(level_db, 3, axis=1) - 1  # the bin itself, or its equal neighbour
    held = minimum_filter1d(is_peak.astype(np.uint8), HELD_FRAMES, axis=0)
    held = maximum_filter1d(held, HELD_FRAMES, axis=0, origin=-1)  # back over the whole run
    return maximum_filter1d(held, 3, axis=1).astype(bool)  # with the flanks that hold the rest of its energy
