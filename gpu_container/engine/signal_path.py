"""Dry in, wet out: resample to 48 kHz, take the echo, lift what is faint, run the network, resample back."""

from collections.abc import Callable, Iterator

from gpu_container.contract import Dereverb
from gpu_container.engine.blocks import Excerpt
from gpu_container.engine.dereverb import Dereverberator
from gpu_container.engine.enhancer import Enhancer
from gpu_container.engine.lanes import LaneStream
from gpu_container.engine.level import FaintLift
from gpu_container.engine.resample import Resampler
from gpu_container.engine.stft import RATE_HZ, Real


class SignalPath:
    """One recording's way through the engine; what comes out is aligned with what went in, and later.

    Parameters
    ----------
    jobs
        Threads that share a long recording.
    heard
        What of the signal the network is given; None for all of it.
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
        heard: Excerpt | None = None,
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        self._up = Resampler(rate_hz, RATE_HZ, channels)
        self._echo = Dereverberator(channels, dereverb)
        self._heard = heard
        self._level = FaintLift(channels)
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

    def process(self, dry: Real) -> Iterator[Real]:
        """Take ``(channels, n)`` float32 at the file's rate; yield the wet ones that are ready, by the second."""
        full_band = self._up.process(dry)  # (channels, n · 48 kHz / rate)
        yield from self._through(self._echo.process(full_band))

    def finish(self) -> Iterator[Real]:
        """Yield what is left; resampling may leave it a frame short or long."""
        for last in (self._echo.process(self._up.finish()), self._echo.finish()):
            yield from self._through(last)
        for wet in (self._network.process(self._level.finish()), self._network.finish()):
            yield from self._back(wet)
        yield self._down.finish()

    def _through(self, signal: Real) -> Iterator[Real]:
        if self._heard:
            signal = self._heard.process(signal)
        yield from self._back(self._network.process(self._level.process(signal)))

    def _back(self, wet: Real) -> Iterator[Real]:
        """Lower and resample ``(channels, n)``; the network answers in minutes, and copies of those would cost much."""
        for start in range(0, wet.shape[1], RATE_HZ):
            yield self._down.process(self._level.lowered(wet[:, start : start + RATE_HZ]))
