"""What pictures of a recording need, kept in the same room for ten seconds and for ten hours."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpu_container.engine.spectrum import PowerFrames
from gpu_container.engine.stft import Real

MAX_COLUMNS: Final = 2_000
"""Columns of a picture; even, so that they fold."""

OUTLINE_SAMPLES: Final = 128
"""Samples of the shortest column of an outline."""

ROWS_PER_OCTAVE: Final = 48
LINEAR_BELOW_HZ: Final = 1_000.0


@dataclass(frozen=True)
class Trace:
    """One side of an enhancement, folded along time.

    Attributes
    ----------
    power
        ``(columns, rows)`` float32: mean power spectrum.
    outline
        ``(2, columns)`` float32: lowest and highest sample of the channels' mean.
    """

    power: Real
    outline: Real


@dataclass(frozen=True)
class Traces:
    """Both sides, on the same axes.

    Attributes
    ----------
    edges_hz
        ``(rows + 1,)``: the frequencies between the rows of the spectra.
    seconds_per_column
        Of the spectra.
    samples_per_column
        Of the outlines.
    """

    before: Trace
    after: Trace
    rate_hz: int
    duration_s: float
    edges_hz: NDArray[np.float64]
    seconds_per_column: float
    samples_per_column: int


class Fold:
    """Columns that are combined in pairs whenever there are too many.

    Parameters
    ----------
    combine
        ``np.add``, ``np.minimum`` or ``np.maximum``.
    """

    def __init__(self, rows: int, combine: np.ufunc) -> None:
        self._combine = combine
        self._columns: Real = np.zeros((MAX_COLUMNS, rows), np.float32)
        self._filled = 0
        self._open: Real = np.zeros((0, rows), np.float32)  # the combination of the column to come, if begun
        self._opened = 0
        self.per_column = 1

    def add(self, frames: Real) -> None:
        """Take ``(T, rows)``."""
        while len(frames):
            if self._opened or len(frames) < self.per_column:
                frames = self._continue(frames)
                continue
            whole = min(len(frames) // self.per_column, MAX_COLUMNS - self._filled)
            taken, frames = np.split(frames, [whole * self.per_column])
            self._append(self._combine.reduce(taken.reshape(whole, self.per_column, -1), axis=1))

    def columns(self) -> Real:
        """Return ``(columns, rows)``, with the last one as far as it has come; sums are given as means."""
        columns = np.concatenate([self._columns[: self._filled], self._open])
        if self._combine is not np.add:
            return columns
        counts = np.full((len(columns), 1), self.per_column, np.float32)
        counts[self._filled :] = self._opened
        return np.asarray(columns / counts, np.float32)

    def _continue(self, frames: Real) -> Real:
        taken = frames[: self.per_column - self._opened]
        self._open = self._combine.reduce(np.concatenate([self._open, taken]), axis=0, keepdims=True)
        self._opened += len(taken)
        if self._opened == self.per_column:
            column, self._open, self._opened = self._open, self._open[:0], 0
            self._append(column)
        return frames[len(taken) :]

    def _append(self, columns: Real) -> None:
        self._columns[self._filled : self._filled + len(columns)] = columns
        self._filled += len(columns)
        if self._filled == MAX_COLUMNS:
            pairs = self._columns.reshape(MAX_COLUMNS // 2, 2, -1)
            self._columns[: MAX_COLUMNS // 2] = self._combine.reduce(pairs, axis=1)
            self._filled //= 2
            self.per_column *= 2


class TraceRecorder:
    """Records one side of an enhancement from its power spectra and its samples.

    Parameters
    ----------
    rate_hz
        The recording's.
    frames
        Where the power spectra come from.
    """

    def __init__(self, rate_hz: int, frames: PowerFrames) -> None:
        self._bins = row_bins(rate_hz, frames.size)
        self._weights: Real = (1 / np.diff(self._bins)).astype(np.float32)
        self.edges_hz = self._bins * (rate_hz / frames.size)
        self._spectra = Fold(len(self._bins) - 1, np.add)
        self._lowest, self._highest = Fold(1, np.minimum), Fold(1, np.maximum)
        self._rest: Real = np.zeros(0, np.float32)

    @property
    def frames_per_column(self) -> int:
        """Spectra in a column."""
        return self._spectra.per_column

    @property
    def samples_per_column(self) -> int:
        """Samples in a column of the outline."""
        return self._lowest.per_column * OUTLINE_SAMPLES

    def add(self, signal: Real, power: Real) -> None:
        """Take ``(n,)`` samples and ``(frames, bins)`` powers, not necessarily of the same moment."""
        sums: Real = np.add.reduceat(power[:, : self._bins[-1]], self._bins[:-1], axis=1)
        self._spectra.add(sums * self._weights)
        known = np.concatenate([self._rest, signal])
        whole = len(known) // OUTLINE_SAMPLES * OUTLINE_SAMPLES
        self._rest = known[whole:].copy()
        self._add_outline(known[:whole].reshape(-1, OUTLINE_SAMPLES))

    def finish(self) -> Trace:
        """Return what was recorded."""
        if self._rest.size:
            self._add_outline(self._rest[None])
        outline = np.concatenate([self._lowest.columns(), self._highest.columns()], axis=1).T
        return Trace(power=self._spectra.columns(), outline=outline)

    def _add_outline(self, frames: Real) -> None:
        self._lowest.add(frames.min(axis=1, keepdims=True))
        self._highest.add(frames.max(axis=1, keepdims=True))


def row_bins(rate_hz: int, size: int) -> NDArray[np.int_]:
    """Return the bins between the rows of a spectrogram: single ones at first, then 48 rows to the octave."""
    hz_per_bin = rate_hz / size
    octaves = np.log2(rate_hz / 2 / LINEAR_BELOW_HZ)
    upper = LINEAR_BELOW_HZ * 2 ** np.linspace(0, octaves, max(2, round(ROWS_PER_OCTAVE * octaves) + 1))
    single = np.arange(1, int(LINEAR_BELOW_HZ / hz_per_bin))
    return np.unique(np.concatenate([single, np.round(upper / hz_per_bin).astype(int)]))
