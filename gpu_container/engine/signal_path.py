"""Dry in, wet out: resample to 48 kHz, take the echo, run the network, resample back."""

from collections.abc import Callable

import numpy as np

from gpu_container.contract import Dereverb
from gpu_container.engine.dereverb import Dereverberator
from gpu_container.engine.ensemble import Enhancer
from gpu_container.engine.lanes import LaneStream
from gpu_container.engine.resample import Resampler
from gpu_container.engine.stft import RATE_HZ, Real


class SignalPath:
    """One recording's way through the engine; what comes out is aligned with what went in, and later.

    Parameters
    ----------
    jobs
        Threads that share a long recording.
    checkpoint
        Called about once per second of network work; may raise.
    """

    def __init__(
        self,
        model: Enhancer,
        *,
        rate_hz: int,
        channels: int,
        dereverb: Dereverb,
        jobs: int = 1,
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        self._up = Resampler(rate_hz, RATE_HZ, channels)
        self._echo = Dereverberator(channels, dereverb)
        self._network = LaneStream(model, channels, jobs=jobs, checkpoint=checkpoint)
        self._down = Resampler(RATE_HZ, rate_hz, channels)

    @property
    def inferences(self) -> int:
        """Blocks that ran through a network so far."""
        return self._network.inferences

    @property
    def dereverbed_share(self) -> float:
        """Share of the recording from which echo was taken."""
        return self._echo.applied_share

    @property
    def reverberation_s(self) -> float | None:
        """Estimated decay time of the input."""
        return self._echo.reverberation_s

    def process(self, dry: Real) -> Real:
        """Take ``(channels, n)`` float32 at the file's rate; return the wet ones that are ready."""
        full_band = self._up.process(dry)  # (channels, n · 48 kHz / rate)
        return self._down.process(self._network.process(self._echo.process(full_band)))

    def finish(self) -> Real:
        """Return what is left, ``(channels, m)``; resampling may leave it a frame short or long."""
        last = self._echo.process(self._up.finish())
        parts = [self._network.process(part) for part in (last, self._echo.finish())]
        wet = np.concatenate([*parts, self._network.finish()], axis=1)  # (channels, … at 48 kHz)
        return np.concatenate([self._down.process(wet), self._down.finish()], axis=1)
