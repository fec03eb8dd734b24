"""The last things that happen to a mix: loudness, and that nothing passes full scale."""

import numpy as np

from gpu_container.engine.loudness import TruePeakLimiter
from gpu_container.engine.mix import limit
from gpu_container.engine.stft import Real


class Finish:
    """Takes a mix at the input's rate; what comes out is aligned with it, and may come later.

    With a gain: the gain, then a true-peak limiter. Without: a knee just below full scale, and only where the format
    cannot hold more.

    Parameters
    ----------
    gain_db
        From a loudness target; None where there is none.
    holds_any_level
        Whether samples beyond full scale can be stored.
    """

    def __init__(
        self, rate_hz: int, channels: int, *, gain_db: float | None, ceiling_dbtp: float, holds_any_level: bool
    ) -> None:
        self._channels = channels
        self._gain = None if gain_db is None else np.float32(10 ** (gain_db / 20))
        self._limiter = None if gain_db is None else TruePeakLimiter(rate_hz, channels, ceiling_dbtp)
        self._holds_any_level = holds_any_level
        self._bent = 0

    @property
    def limited_count(self) -> int:
        """Samples that were changed so far."""
        return self._limiter.limited_count if self._limiter else self._bent

    def process(self, mixed: Real) -> Real:
        """Take ``(channels, n)``; return what is ready, ``(channels, m)``."""
        if self._limiter and self._gain is not None:
            return self._limiter.process(mixed * self._gain)
        if self._holds_any_level:
            return mixed
        limited, count = limit(mixed)
        self._bent += count
        return limited

    def finish(self) -> Real:
        """Return what is left, ``(channels, m)``."""
        return self._limiter.finish() if self._limiter else np.zeros((self._channels, 0), np.float32)
