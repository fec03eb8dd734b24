"""Taking echo away in front of the network: weighted prediction error, in constant memory.

Nakatani, Yoshioka, Kinoshita, Miyoshi and Juang, "Speech dereverberation based on variance-normalized delayed linear
prediction", IEEE TASLP 2010; all channels together as in Yoshioka and Nakatani, "Generalization of multi-channel
linear prediction methods for blind MIMO impulse response shortening", IEEE TASLP 2012. In each bin, what a room adds
late can be predicted from what was heard before:

    D[t] = Y[t] - Σ_k G_kᴴ Y[t - DELAY - k],    G = argmin Σ_t |D[t]|² / λ[t]

λ is the power of the early speech. The paper finds it by iterating; here it is the observed power less half of what
was there 40 ms before (Lebart, Boucher and Denbigh 2001), over a floor: one pass then does more, after the network,
than three iterations from the observed power, and statistics of neighbouring segments simply add up.

What is predicted is transformed back and subtracted from the signal, so that what is not treated stays as it was, bit
for bit. Sizes: T frames of 8 ms, K = taps · channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft

from gpu_container.contract import Dereverb
from gpu_container.engine.reverberation import (
    BINS,
    END_BIN,
    FFT,
    FIRST_BIN,
    HOP,
    OVERLAP,
    SEGMENT_HOPS,
    WINDOW,
    WINDOW_SEGMENTS,
    Gate,
    analyse,
    band_levels_db,
    decay_db_per_s,
    mean_power,
)
from gpu_container.engine.stft import Complex, Real

DELAY = 3
"""Frames: what arrives within 24 ms is speech and stays."""

MAX_TAPS = 30
MAX_TAPS_OF_ALL_CHANNELS = 40
"""Matrices grow with the square of taps and channels; eight channels see the room from eight places in five taps."""

CONTEXT = (WINDOW_SEGMENTS - 1) // 2
"""Segments of two seconds on either side that reverberation is judged on and filters are found on: 14 s in all."""

FADE = np.linspace(0, 1, 34, dtype=np.float32)[1:-1, None]
"""``(frames, 1)``: a quarter of a second from one filter to the next."""

LATE_FRAMES = 5
LATE_SHARE = np.float32(0.5)
EARLY_SHARE = np.float32(0.1)
"""Early power is what is above half of the power 40 ms ago, and never less than a tenth."""

FLOOR_SHARE = np.float32(0.3)
"""Of the mean: pauses, where noise is all there is, count little."""

LOADING = np.float32(1e-4)
"""On the diagonal, relative to it: identical channels make singular matrices."""

TINY = np.float32(1e-10)
PIECE_FRAMES = 32
"""Matrices of a piece stay in the cache and under OpenBLAS' threshold for threads, which spin between calls as short as
these: where cores are shared they took ten times the processor time."""


def taps_for(channels: int) -> int:
    """Return how many past frames of each channel are predicted from: 30 of one, 20 of two, 5 of eight."""
    return min(MAX_TAPS, MAX_TAPS_OF_ALL_CHANNELS // channels)


@dataclass(eq=False)
class _Segment:
    """Two seconds of spectrum.

    Attributes
    ----------
    spectrum
        ``(channels, history + T, BINS)``: the frames that the first ones are predicted from come with it.
    early
        Estimated power of early speech, ``(T, BINS)``.
    levels_db
        ``(T, bands)``.
    statistics
        ``(BINS, K, K)`` and ``(BINS, K, channels)``, once they have been needed.
    """

    spectrum: Complex
    early: Real
    levels_db: Real
    statistics: tuple[Complex, Complex] | None = None


class Dereverberator:
    """One recording on its way: what comes out, put together, is as long as what went in and aligned with it.

    ``on`` treats everything. ``auto`` treats the segments (two seconds) in whose surroundings reverberation is heard,
    fades between them and the rest, and returns the rest bit for bit; ``off`` returns everything so. Up to eight
    seconds are held back. Pieces of any size give the same answer.

    Parameters
    ----------
    channels
        Rows of every piece, predicted together.
    """

    def __init__(self, channels: int, mode: Dereverb) -> None:
        self._mode = mode
        self._taps = taps_for(channels)
        self._pending: Real = np.zeros((channels, 0), np.float32)
        self._waiting: Real = np.zeros((channels, 0), np.float32)
        self._previous: Real = np.zeros((channels, OVERLAP), np.float32)
        self._history: Complex = np.zeros((channels, self._taps - 1 + DELAY, BINS), np.complex64)
        self._power: Real = np.zeros((LATE_FRAMES, BINS), np.float32)
        self._segments: list[_Segment] = []
        self._next = 0
        self._filters: Complex | None = None
        self._overlap: Real = np.zeros((channels, OVERLAP), np.float32)
        self._head_to_trim = OVERLAP
        self._gate = Gate()
        self._treated_hops = self._hops = 0

    @property
    def applied_share(self) -> float:
        """Share of the recording so far that was treated."""
        return self._treated_hops / self._hops if self._hops else 0.0

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)`` float32 at 48 kHz; return what is ready, ``(channels, m)``."""
        if self._mode is Dereverb.OFF:
            return signal
        self._pending = np.concatenate([self._pending, signal], axis=1)
        ready = [self._pending[:, :0]]
        while self._pending.shape[1] >= SEGMENT_HOPS * HOP:
            block, self._pending = np.split(self._pending, [SEGMENT_HOPS * HOP], axis=1)
            self._waiting = np.concatenate([self._waiting, block], axis=1)
            self._append(block)
            if len(self._segments) > self._next + CONTEXT:
                ready.append(self._treat_next())
        return np.concatenate(ready, axis=1)

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        rest = self._pending.shape[1]
        self._waiting = np.concatenate([self._waiting, self._pending], axis=1)
        if not self._waiting.shape[1]:
            return self._waiting
        hops = -(-rest // HOP) + OVERLAP // HOP  # the last frames reach beyond the end
        self._append(np.pad(self._pending, ((0, 0), (0, hops * HOP - rest))))
        ready = []
        while self._next < len(self._segments):
            ready.append(self._treat_next())
        return np.concatenate(ready, axis=1)

    def _append(self, block: Real) -> None:
        """Take the next segment's signal, ``(channels, T * HOP)``."""
        spectrum = analyse(np.concatenate([self._previous, block], axis=1))  # (channels, T, BINS)
        self._previous = np.concatenate([self._previous, block], axis=1)[:, -OVERLAP:]
        power = mean_power(spectrum)  # (T, BINS)
        before = np.concatenate([self._power, power])  # (LATE_FRAMES + T, BINS)
        early = np.maximum(power - LATE_SHARE * before[: len(power)], EARLY_SHARE * power)
        self._power = before[-LATE_FRAMES:]
        extended = np.concatenate([self._history, spectrum], axis=1)  # (channels, history + T, BINS)
        self._history = extended[:, -self._history.shape[1] :].copy()
        self._segments.append(_Segment(extended, early, band_levels_db(power)))

    def _treat_next(self) -> Real:
        """Return the next segment's signal, one overlap late, ``(channels, T * HOP)``."""
        segment = self._segments[self._next]
        frames = len(segment.early)
        filters = self._find_filters() if self._is_wanted() else None
        self._hops += frames
        self._treated_hops += frames if filters is not None else 0
        late = self._late(segment, filters)  # (channels, T, BINS)
        self._filters = filters
        predicted = self._synthesise(late, frames)  # (channels, T * HOP)
        self._next += 1
        if self._next > CONTEXT:
            del self._segments[0]
            self._next -= 1
        dry, self._waiting = np.split(self._waiting, [predicted.shape[1]], axis=1)
        return dry - predicted[:, : dry.shape[1]]

    def _is_wanted(self) -> bool:
        """Listen around the next segment."""
        rate_db_per_s = decay_db_per_s(np.concatenate([segment.levels_db for segment in self._segments]))
        return self._gate.decide(rate_db_per_s) or self._mode is Dereverb.ON

    def _find_filters(self) -> Complex:
        """Return the filters that predict best on all segments held, ``(BINS, K, channels)``."""
        fresh = [segment for segment in self._segments if segment.statistics is None]
        floor = FLOOR_SHARE * np.concatenate([segment.early for segment in self._segments]).mean(axis=0) + TINY
        for segment in fresh:
            segment.statistics = _statistics(segment.spectrum, segment.early + floor, self._taps)
        held = [segment.statistics for segment in self._segments if segment.statistics]
        covariance = np.sum([one for one, _ in held], axis=0)  # (BINS, K, K)
        correlation = np.sum([other for _, other in held], axis=0)  # (BINS, K, channels)
        size = covariance.shape[1]
        diagonal = covariance[:, range(size), range(size)]
        covariance[:, range(size), range(size)] += LOADING * diagonal.real.mean(axis=1, keepdims=True) + TINY
        filters: Complex = np.linalg.solve(covariance, correlation)
        return filters

    def _late(self, segment: _Segment, filters: Complex | None) -> Complex | None:
        """Return what is predicted for a segment, ``(channels, T, BINS)``, fading from the last one's filters."""
        if filters is None and self._filters is None:
            return None
        channels, frames = len(segment.spectrum), len(segment.early)
        late = np.zeros((channels, frames, BINS), np.complex64)
        if filters is not None:
            late = _predict(segment.spectrum, filters, self._taps)
        if self._hops > frames:  # there was a segment before
            fade = FADE[:frames]
            head = segment.spectrum[:, : self._history.shape[1] + len(fade)]
            late[:, : len(fade)] *= fade
            if self._filters is not None:
                late[:, : len(fade)] += (1 - fade) * _predict(head, self._filters, self._taps)
        return late

    def _synthesise(self, late: Complex | None, frames: int) -> Real:
        """Transform ``(channels, T, BINS)`` back by overlap-add, ``(channels, T * HOP)``, one overlap late."""
        channels = len(self._overlap)
        signal = np.zeros((channels, frames * HOP + OVERLAP), np.float32)
        signal[:, :OVERLAP] = self._overlap
        if late is not None:
            spectrum = np.zeros((channels, frames, FFT // 2 + 1), np.complex64)
            spectrum[..., FIRST_BIN:END_BIN] = late
            pieces = scipy.fft.irfft(spectrum, n=FFT, axis=-1) * WINDOW  # (channels, T, FFT)
            for start in range(0, FFT, HOP):
                part = pieces[..., start : start + HOP].reshape(channels, -1)  # (channels, T * HOP)
                signal[:, start : start + frames * HOP] += part
        ready, self._overlap = np.split(signal, [frames * HOP], axis=1)
        ready, self._head_to_trim = ready[:, self._head_to_trim :], 0
        return ready


def _statistics(spectrum: Complex, power: Real, taps: int) -> tuple[Complex, Complex]:
    """Return what the past says about itself and about the present, each frame over its power.

    Shapes: ``(channels, history + T, BINS)``, ``(T, BINS)`` → ``(BINS, K, K)``, ``(BINS, K, channels)``.
    """
    size = taps * len(spectrum)
    covariance = np.zeros((BINS, size, size), np.complex64)
    correlation = np.zeros((BINS, size, len(spectrum)), np.complex64)
    weights = 1 / power  # (T, BINS)
    for frames in _pieces(len(power)):
        past = _past(spectrum, taps, frames)  # (BINS, frames, K)
        present = spectrum[:, taps - 1 + DELAY :][:, frames].transpose(2, 1, 0)  # (BINS, frames, channels)
        weighted = (past.conj() * weights[frames].T[..., None]).swapaxes(1, 2)  # (BINS, K, frames)
        covariance += weighted @ past
        correlation += weighted @ present
    return covariance, correlation


def _predict(spectrum: Complex, filters: Complex, taps: int) -> Complex:
    """Return what the past tells of the present.

    Shapes: ``(channels, history + T, BINS)``, ``(BINS, K, channels)`` → ``(channels, T, BINS)``.
    """
    late = np.empty_like(spectrum[:, taps - 1 + DELAY :])
    for frames in _pieces(late.shape[1]):
        late[:, frames] = (_past(spectrum, taps, frames) @ filters).transpose(2, 1, 0)
    return late


def _past(spectrum: Complex, taps: int, frames: slice) -> Complex:
    """Return what frames are predicted from: ``(channels, history + T, BINS)`` → ``(BINS, frames, K)``."""
    windows = np.lib.stride_tricks.sliding_window_view(spectrum, taps, axis=1)[:, frames]
    return windows.transpose(2, 1, 0, 3).reshape(BINS, windows.shape[1], -1)


def _pieces(frames: int) -> Iterator[slice]:
    """Cut ``frames`` into pieces."""
    for start in range(0, frames, PIECE_FRAMES):
        yield slice(start, min(start + PIECE_FRAMES, frames))
