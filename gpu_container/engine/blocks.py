"""Blocks of samples that wait for one another."""

from collections import deque
from collections.abc import Iterator

import numpy as np

from gpu_container.engine.stft import Real

Pair = tuple[Real, Real]
"""Dry and wet, sample-aligned, ``(channels, n)`` each."""


class BlockQueue:
    """First in, first out: blocks of any size go in and come out in any other; each sample is copied once at most."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._blocks: deque[Real] = deque()
        self.frames = 0

    def put(self, block: Real) -> None:
        """Append ``(channels, n)``."""
        if block.shape[1]:
            self._blocks.append(block)
            self.frames += block.shape[1]

    def take(self, frames: int) -> Real:
        """Return the first ``frames`` frames, fewer if there are fewer, ``(channels, m)``."""
        taken: list[Real] = []
        missing = min(frames, self.frames)
        self.frames -= missing
        while missing:
            block = self._blocks.popleft()
            if block.shape[1] > missing:
                self._blocks.appendleft(block[:, missing:])
                block = block[:, :missing]
            taken.append(block)
            missing -= block.shape[1]
        if not taken:
            return np.zeros((self._channels, 0), np.float32)
        return taken[0] if len(taken) == 1 else np.concatenate(taken, axis=1)


class Excerpt:
    """Lets through some stretches of a signal that comes in pieces, one after the other.

    Parameters
    ----------
    spans
        Frames, in order.
    """

    def __init__(self, *spans: range) -> None:
        self._spans = spans
        self._at = 0

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)``, return what of it is let through, ``(channels, m)``."""
        at = self._at
        self._at += signal.shape[1]
        kept = [signal[:, max(0, span.start - at) : max(0, span.stop - at)] for span in self._spans]
        filled = [piece for piece in kept if piece.shape[1]] or [signal[:, :0]]
        return filled[0] if len(filled) == 1 else np.concatenate(filled, axis=1)


class PairQueue:
    """Dry samples that wait for their wet ones, which come later and in larger pieces."""

    def __init__(self, channels: int, *, block_frames: int) -> None:
        self._dry, self._wet = BlockQueue(channels), BlockQueue(channels)
        self._block_frames = block_frames

    @property
    def waiting(self) -> int:
        """Dry frames whose wet ones are missing."""
        return self._dry.frames - self._wet.frames

    def put_dry(self, block: Real) -> None:
        """Append ``(channels, n)`` that have no wet half yet."""
        self._dry.put(block)

    def put_wet(self, block: Real) -> Iterator[Pair]:
        """Append ``(channels, n)``; yield what is complete, in pieces of at most ``block_frames``."""
        self._wet.put(block)
        while ready := min(self._dry.frames, self._wet.frames, self._block_frames):
            yield self._dry.take(ready), self._wet.take(ready)
