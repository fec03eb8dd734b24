"""Streaming resampling with libsoxr (very high quality, linear phase, delay already compensated)."""

import numpy as np
import soxr

from gpu_container.engine.stft import Real


class Resampler:
    """One recording on its way from one rate to another, in pieces; equal rates pass through untouched.

    Parameters
    ----------
    channels
        Rows of every piece.
    """

    def __init__(self, from_rate_hz: int, to_rate_hz: int, channels: int) -> None:
        self._channels = channels
        same = from_rate_hz == to_rate_hz
        self._soxr = (
            None if same else soxr.ResampleStream(from_rate_hz, to_rate_hz, channels, dtype="float32", quality="VHQ")
        )

    def process(self, signal: Real, *, last: bool = False) -> Real:
        """Take ``(channels, n)``, return what is ready, ``(channels, m)``."""
        if self._soxr is None:
            return signal
        ready = self._soxr.resample_chunk(np.ascontiguousarray(signal.T), last=last)
        return np.asarray(ready, np.float32).reshape(-1, self._channels).T

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        return self.process(np.zeros((self._channels, 0), np.float32), last=True)
