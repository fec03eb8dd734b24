"""Cutting a stream, which comes in pieces of any size, into frames of one size."""

from collections.abc import Iterator

import numpy as np

from gpu_container.engine.stft import Real


class Framer:
    """Gives a recording out in frames of ``size`` samples, whatever the pieces it comes in.

    What works frame by frame on its output therefore gives the same answer, to the bit, for any pieces.
    """

    def __init__(self, channels: int, size: int) -> None:
        self._size = size
        self._waiting: Real = np.zeros((channels, size), np.float32)
        self._filled = 0

    def frames(self, piece: Real) -> Iterator[Real]:
        """Take ``(channels, n)``, yield what is whole by now, ``(channels, size)`` each; not to be written to."""
        start = 0
        if self._filled:
            start = min(self._size - self._filled, piece.shape[1])
            self._keep(piece[:, :start])
            if self._filled < self._size:
                return
            self._filled = 0
            yield self._waiting.copy()
        end = start + (piece.shape[1] - start) // self._size * self._size
        for at in range(start, end, self._size):
            yield piece[:, at : at + self._size]
        self._keep(piece[:, end:])

    def rest(self) -> Real:
        """Return what is left, ``(channels, n)``, less than a frame."""
        return self._waiting[:, : self._filled].copy()

    def _keep(self, piece: Real) -> None:
        self._waiting[:, self._filled : self._filled + piece.shape[1]] = piece
        self._filled += piece.shape[1]
