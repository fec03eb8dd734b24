"""How loud a recording is, and what lifts a faint one to where networks hear it.

Their features have an absolute floor: speech below it is taken for noise. Measured on 52 mixtures attenuated by 10, 20
and 30 dB, the official network falls from PESQ 2.12 to 2.01, 1.71 and 1.40; lifted, it does not.
"""

from typing import Final

import numpy as np

from gpu_container.engine.stft import HOP, RATE_HZ, Real

HEAD_S: Final = 4
"""What a recording's level is judged on; eight seconds were no better."""

MAX_GAIN_DB: Final = 30.0
SPEECH_SHARE: Final = 0.05
"""The loudest frames of the head stand for speech: no detector is needed to tell how loud a recording is."""

FAINT_DB: Final = -26.0
"""Of the loudest frames: usual recordings lie above and are not touched, bit for bit."""


def lift(head: Real, level_db: float) -> float:
    """Return the gain that brings the loudest frames of ``(channels, n)`` to ``level_db`` re full scale.

    It only lifts, by `MAX_GAIN_DB` at most, and all channels alike; silence stays as it is.
    """
    frames = head[:, : head.shape[1] // HOP * HOP].reshape(len(head), -1, HOP)  # (channels, T, HOP)
    power = np.mean(np.square(frames, dtype=np.float64), axis=-1).max(axis=0, initial=0.0)  # (T,)
    if not power.size or power.max() <= 0:
        return 1.0
    loud = np.sort(power)[-max(1, round(SPEECH_SHARE * power.size)) :]
    gain_db = level_db - 10 * np.log10(np.mean(loud))
    return float(10 ** (np.clip(gain_db, 0, MAX_GAIN_DB) / 20))


class FaintLift:
    """Lifts faint recordings by one gain, found on their head; others pass untouched.

    Parameters
    ----------
    channels
        Rows of every piece, lifted alike.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._head: Real | None = np.zeros((channels, 0), np.float32)
        self._gain = np.float32(1)

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)`` at 48 kHz; return what is ready, lifted, ``(channels, m)``."""
        if self._head is None:
            return self._lifted(signal)
        self._head = np.concatenate([self._head, signal], axis=1)
        return self.finish() if self._head.shape[1] >= HEAD_S * RATE_HZ else self._head[:, :0]

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        head = self._head
        if head is None:
            return np.zeros((self._channels, 0), np.float32)
        self._head = None
        self._gain = np.float32(lift(head[:, : HEAD_S * RATE_HZ], FAINT_DB))
        return self._lifted(head)

    def lowered(self, answer: Real) -> Real:
        """Take the lift back from ``(channels, n)``."""
        return answer if self._gain == 1 else answer / self._gain

    def _lifted(self, signal: Real) -> Real:
        return signal if self._gain == 1 else signal * self._gain
