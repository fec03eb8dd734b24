"""Several networks, one answer: the mean of their aligned outputs.

Networks that were trained apart err apart, and what they agree on is speech: the mean keeps the one and thins the
other. It costs what its members cost together.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gpu_container.engine.stft import Real


class SignalStream(Protocol):
    """One recording on its way: what comes out, put together, is as long as what went in and aligned with it."""

    @property
    def inferences(self) -> int:
        """Blocks that ran through a network so far."""
        ...

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)`` float32 at 48 kHz; return what is ready, ``(channels, m)``."""
        ...

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        ...


class NetworkStream(SignalStream, Protocol):
    """A stream that can be taken up from where it is by several lanes side by side."""

    def fork(self, lanes: int) -> "NetworkStream":
        """Return a stream of ``lanes * channels`` rows, lane by lane, each of which goes on from here.

        Only after whole seconds: a ValueError otherwise.
        """
        ...

    def keep(self, rows: slice) -> "NetworkStream":
        """Return a stream of some rows only, which goes on from here."""
        ...


class Enhancer(Protocol):
    """A loaded model, whatever is in it."""

    name: str

    @property
    def rows(self) -> int:
        """Streams side by side in one call from which on more gain nothing."""
        ...

    def stream(self, channels: int) -> NetworkStream:
        """Return a new recording's stream."""
        ...

    def enhance(self, signal: Real) -> Real:
        """Enhance ``(B, n)`` float32 at 48 kHz whole; the answer has its shape and is aligned with it."""
        ...


class Ensemble:
    """The mean of its members' outputs, equally weighted."""

    def __init__(self, members: Sequence[Enhancer], *, name: str) -> None:
        self.name = name
        self.members = tuple(members)

    @property
    def rows(self) -> int:
        """Streams side by side in one call from which on more gain nothing, for any member."""
        return max(member.rows for member in self.members)

    def stream(self, channels: int) -> "EnsembleStream":
        """Return a new recording's stream through every member."""
        return EnsembleStream([member.stream(channels) for member in self.members], channels)

    def enhance(self, signal: Real) -> Real:
        """Enhance ``(B, n)`` float32 at 48 kHz whole; the answer has its shape and is aligned with it."""
        stream = self.stream(len(signal))
        return np.concatenate([stream.process(signal), stream.finish()], axis=1)


class EnsembleStream:
    """Members look ahead by different amounts: what is early waits for the latest."""

    def __init__(
        self, streams: Sequence[NetworkStream], channels: int, *, waiting: Sequence[Real] | None = None
    ) -> None:
        self._streams = tuple(streams)
        self._channels = channels
        self._waiting = list(waiting or [np.zeros((channels, 0), np.float32) for _ in streams])

    @property
    def inferences(self) -> int:
        """Blocks that ran through a network, over all members."""
        return sum(stream.inferences for stream in self._streams)

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)``; return what every member is ready with, ``(channels, m)``."""
        return self._mean([stream.process(signal) for stream in self._streams])

    def finish(self) -> Real:
        """Return what is left."""
        return self._mean([stream.finish() for stream in self._streams])

    def fork(self, lanes: int) -> "EnsembleStream":
        """Return a stream of ``lanes * channels`` rows, lane by lane, each of which goes on from here."""
        streams = [stream.fork(lanes) for stream in self._streams]
        return EnsembleStream(
            streams, lanes * self._channels, waiting=[np.tile(output, (lanes, 1)) for output in self._waiting]
        )

    def keep(self, rows: slice) -> "EnsembleStream":
        """Return a stream of some rows only, which goes on from here."""
        waiting = [output[rows].copy() for output in self._waiting]
        return EnsembleStream([stream.keep(rows) for stream in self._streams], len(waiting[0]), waiting=waiting)

    def _mean(self, outputs: Sequence[Real]) -> Real:
        waiting = [np.concatenate(pair, axis=1) for pair in zip(self._waiting, outputs, strict=True)]
        ready = min(output.shape[1] for output in waiting)
        self._waiting = [output[:, ready:] for output in waiting]
        mean: Real = np.mean([output[:, :ready] for output in waiting], axis=0, dtype=np.float32)
        return mean
