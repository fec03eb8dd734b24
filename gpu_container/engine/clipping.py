"""Clipping: peaks that were cut off flat at the loudest level that a recording knows."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpu_container.engine.stft import Real

TOLERANCE: Final = np.float32(1e-4)
"""Of the loudest level: three steps of 16 bits, so that dither does not hide a flat top."""

SHORTEST_RUN: Final = 3
"""Two equal samples lie on either side of any peak."""


class ClippingMeter:
    """Counts samples in runs of three or more at the loudest level so far; a louder one starts the count again.

    Parameters
    ----------
    channels
        Rows of every block.
    """

    def __init__(self, channels: int) -> None:
        self._loudest = np.float32(0)
        self._open = np.zeros(channels, np.int64)  # samples at that level at the end of the last block
        self._clipped = 0
        self._samples = 0

    @property
    def share(self) -> float:
        """Share of all samples that are clipped."""
        return self._clipped / self._samples if self._samples else 0.0

    def add(self, block: Real) -> None:
        """Take ``(channels, n)``."""
        if not block.size:
            return
        self._samples += block.size
        magnitude = np.abs(block)
        peak = magnitude.max()
        if peak > self._loudest * (1 + TOLERANCE):
            self._loudest, self._clipped = peak, 0
            self._open[:] = 0
        loud = magnitude >= self._loudest * (1 - TOLERANCE)
        if not self._loudest or not (loud.any() or self._open.any()):
            return
        for channel, row in enumerate(loud):
            self._open[channel] = self._count(row, int(self._open[channel]))

    def _count(self, loud: NDArray[np.bool_], opened: int) -> int:
        """Count one channel's runs, of which the first may go on from the last block; returns how long its last is."""
        edges = np.flatnonzero(np.diff(loud, prepend=False, append=False))
        lengths = edges[1::2] - edges[::2]
        carried = opened if loud[0] else 0
        if carried:
            lengths[0] += carried
        counted_before = carried if carried >= SHORTEST_RUN else 0
        self._clipped += int(lengths[lengths >= SHORTEST_RUN].sum()) - counted_before
        return int(lengths[-1]) if loud[-1] else 0
