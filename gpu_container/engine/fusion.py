"""Several answers to one recording, fused: what makes ``dfn3-hq`` better than the mean of its two networks.

Four steps, each cheap, each measured with its standard error in ``docs/bench/quality.md``:

- *Prime.* A network begins with running means and recurrent states of no recording in particular, and errs most in its
  first seconds. It therefore hears the first seconds twice, and its first answer to them is thrown away.
- *Level.* The networks' features have an absolute floor, and DeepFilterNet3_ll was found to judge louder speech
  better: a fixed gain, found on those first seconds, lifts what is quieter than a network likes; it is taken back from
  the answer.
- *Bands.* DeepFilterNet3_ll is the better one in the bins of the complex filter, below 4.8 kHz; above, where both only
  have gains, DeepFilterNet3 is.
- *Backward.* DeepFilterNet3 also hears the recording from its end. Alone that is far worse, for speech is not the same
  backwards, but it errs where the others do not, and a small share of it takes residues away.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from scipy.signal import firwin, lfilter

from gpu_container.engine.ensemble import Enhancer, NetworkStream, SignalStream
from gpu_container.engine.stft import HOP, RATE_HZ, Real

HEAD_S: Final = 4
"""Heard twice. Eight seconds were no better."""

CROSSOVER_HZ: Final = 4_800.0
CROSSOVER_TAPS: Final = 129
_HALF: Final = CROSSOVER_TAPS // 2
HIGH_PASS: Final[Real] = firwin(CROSSOVER_TAPS, CROSSOVER_HZ, pass_zero=False, fs=RATE_HZ).astype(np.float32)

MAX_GAIN_DB: Final = 30.0
SPEECH_SHARE: Final = 0.05
"""The loudest frames of the head stand for speech: no detector is needed to tell how loud a recording is."""

LEVELS_DB: Final = (-16.0, -10.0)
"""Of the loudest frames, for DeepFilterNet3 and DeepFilterNet3_ll: some 6 dB above the mean level of speech."""

CHUNK_S: Final = 24
RUN_UP_S: Final = HEAD_S
FADE: Final = 2 * HOP

BACKWARD_SHARE: Final = 0.1
"""Twice as much adds 0.01 PESQ, and takes up to 0.1 dB SI-SDR and 0.01 DNSMOS."""


def lift(head: Real, level_db: float) -> float:
    """Return the gain that brings the loudest frames of ``(channels, n)`` to ``level_db`` re full scale.

    It only lifts, by `MAX_GAIN_DB` at most, and all channels alike; silence stays as it is.
    """
    frames = head[:, : head.shape[1] // HOP * HOP].reshape(len(head), -1, HOP)  # (channels, T, HOP)
    power = np.mean(np.square(frames, dtype=np.float64), axis=-1).max(axis=0, initial=0.0)  # (T,)
    if not power.size or power.max() <= 0:
        return 1.0
    loud = np.sort(power)[-max(1, round(SPEECH_SHARE * power.size)) :]
    gain_db = level_db - 10 * np.log10(np.mean(loud))
    return float(10 ** (np.clip(gain_db, 0, MAX_GAIN_DB) / 20))


class Primed:
    """An enhancer that hears the head of each recording twice, lifted to the level that suits it.

    Parameters
    ----------
    level_db
        Of the loudest frames, re full scale; None leaves the level as it is.
    """

    def __init__(self, member: Enhancer, *, level_db: float | None = None) -> None:
        self.name = member.name
        self._member = member
        self._level_db = level_db

    @property
    def rows(self) -> int:
        """Streams side by side in one call from which on more gain nothing."""
        return self._member.rows

    def stream(self, channels: int) -> "PrimedStream":
        """Return a new recording's stream."""
        return PrimedStream(self._member.stream(channels), channels, level_db=self._level_db)

    def enhance(self, signal: Real) -> Real:
        """Enhance ``(B, n)`` float32 at 48 kHz whole; the answer has its shape and is aligned with it."""
        return _whole(self.stream(len(signal)), signal)


class PrimedStream:
    """Holds `HEAD_S` back, then is as late as its member."""

    def __init__(self, stream: NetworkStream, channels: int, *, level_db: float | None) -> None:
        self._stream = stream
        self._level_db = level_db
        self._head: Real | None = np.zeros((channels, 0), np.float32)
        self._gain = np.float32(1)
        self._to_drop = 0

    @property
    def inferences(self) -> int:
        """Blocks that ran through a network so far."""
        return self._stream.inferences

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)``; return what is ready, ``(channels, m)``."""
        if self._head is None:
            return self._answer(self._stream.process(signal * self._gain))
        self._head = np.concatenate([self._head, signal], axis=1)
        if self._head.shape[1] < HEAD_S * RATE_HZ:
            return self._head[:, :0]
        return self._begin(self._head)

    def finish(self) -> Real:
        """Return what is left."""
        ready = [] if self._head is None else [self._begin(self._head)]
        return np.concatenate([*ready, self._answer(self._stream.finish())], axis=1)

    def fork(self, lanes: int) -> "PrimedStream":
        """Return a stream of ``lanes * channels`` rows, lane by lane, each of which goes on from here.

        Raises
        ------
        ValueError
            Before the head is complete.
        """
        if self._head is not None:
            msg = "the head of the recording is not there yet"
            raise ValueError(msg)
        return self._over(self._stream.fork(lanes))

    def keep(self, rows: slice) -> "PrimedStream":
        """Return a stream of some rows only, which goes on from here."""
        return self._over(self._stream.keep(rows))

    def _over(self, stream: NetworkStream) -> "PrimedStream":
        other = copy.copy(self)
        other._stream = stream  # noqa: SLF001 - of its own class
        return other

    def _begin(self, received: Real) -> Real:
        head = received[:, : HEAD_S * RATE_HZ]
        self._head = None
        if self._level_db is not None:
            self._gain = np.float32(lift(head, self._level_db))
        self._to_drop = head.shape[1]
        return self._answer(self._stream.process(np.concatenate([head, received], axis=1) * self._gain))

    def _answer(self, output: Real) -> Real:
        dropped = min(self._to_drop, output.shape[1])
        self._to_drop -= dropped
        return output[:, dropped:] / self._gain


@dataclass(frozen=True)
class Share:
    """A member's weight below and above `CROSSOVER_HZ`; those of all members add up to one in each."""

    low: float
    high: float


SHARES: Final = (Share(low=0.4, high=0.7), Share(low=0.6, high=0.3))
"""Of DeepFilterNet3 and DeepFilterNet3_ll."""


class TwoBandMean:
    """The weighted mean of aligned signals, other weights below and above `CROSSOVER_HZ`; constant memory.

    Σ low·s + h * Σ (high - low)·s with a linear-phase high pass h: where the shares agree nothing is filtered.
    Signals may come in pieces of different lengths: what is early waits.
    """

    def __init__(self, shares: Sequence[Share], channels: int) -> None:
        self._shares = tuple(shares)
        self._waiting = [np.zeros((channels, 0), np.float32) for _ in shares]
        self._low: Real = np.zeros((channels, 0), np.float32)
        self._memory: Real = np.zeros((channels, CROSSOVER_TAPS - 1), np.float32)
        self._to_drop = _HALF

    def process(self, outputs: Sequence[Real]) -> Real:
        """Take a piece ``(channels, n)`` of each signal; return what is ready, ``(channels, m)``."""
        waiting = [np.concatenate(pair, axis=1) for pair in zip(self._waiting, outputs, strict=True)]
        ready = min(signal.shape[1] for signal in waiting)
        self._waiting = [signal[:, ready:] for signal in waiting]
        return self._mean([signal[:, :ready] for signal in waiting])

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        return self._mean([np.zeros((len(self._memory), _HALF), np.float32) for _ in self._shares])

    def rows(self, rows: "slice | Sequence[int]") -> "TwoBandMean":
        """Return some rows, or some several times over, which go on from here."""
        other = copy.copy(self)
        other._waiting = [signal[rows].copy() for signal in self._waiting]  # noqa: SLF001 - of its own class
        other._low, other._memory = self._low[rows].copy(), self._memory[rows].copy()  # noqa: SLF001
        return other

    def _mean(self, signals: Sequence[Real]) -> Real:
        pairs = list(zip(self._shares, signals, strict=True))
        low: Real = np.sum([np.float32(share.low) * signal for share, signal in pairs], axis=0, dtype=np.float32)
        excess = np.sum([np.float32(share.high - share.low) * signal for share, signal in pairs], axis=0)
        if not low.shape[1]:
            return low
        filtered, self._memory = lfilter(HIGH_PASS, [np.float32(1)], excess, axis=1, zi=self._memory)
        self._low = np.concatenate([self._low, low], axis=1)
        dropped = min(self._to_drop, filtered.shape[1])
        self._to_drop -= dropped
        filtered = filtered[:, dropped:]
        ready = filtered.shape[1]
        answer: Real = (self._low[:, :ready] + filtered).astype(np.float32)
        self._low = self._low[:, ready:]
        return answer


class Fusion:
    """Networks side by side, their answers fused band by band.

    Parameters
    ----------
    members
        Each with its share of the answer.
    """

    def __init__(self, members: Sequence[tuple[Enhancer, Share]], *, name: str) -> None:
        self.name = name
        self.members = tuple(member for member, _ in members)
        self._shares = tuple(share for _, share in members)

    @property
    def rows(self) -> int:
        """Streams side by side in one call from which on more gain nothing, for any member."""
        return max(member.rows for member in self.members)

    def stream(self, channels: int) -> "FusionStream":
        """Return a new recording's stream through every member."""
        return FusionStream(
            [member.stream(channels) for member in self.members], TwoBandMean(self._shares, channels), channels
        )

    def enhance(self, signal: Real) -> Real:
        """Enhance ``(B, n)`` float32 at 48 kHz whole; the answer has its shape and is aligned with it."""
        return _whole(self.stream(len(signal)), signal)


def high_quality(dfn3: Enhancer, dfn3_ll: Enhancer, *, name: str) -> Fusion:
    """Return the forward part of ``dfn3-hq``; `WithBackward` adds the rest."""
    primed = [Primed(member, level_db=level_db) for member, level_db in zip((dfn3, dfn3_ll), LEVELS_DB, strict=True)]
    return Fusion(list(zip(primed, SHARES, strict=True)), name=name)


class FusionStream:
    """One recording on its way through all members."""

    def __init__(self, streams: Sequence[NetworkStream], mean: TwoBandMean, channels: int) -> None:
        self._streams = tuple(streams)
        self._mean = mean
        self._channels = channels

    @property
    def inferences(self) -> int:
        """Blocks that ran through a network, over all members."""
        return sum(stream.inferences for stream in self._streams)

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)``; return what every member is ready with, ``(channels, m)``."""
        return self._mean.process([stream.process(signal) for stream in self._streams])

    def finish(self) -> Real:
        """Return what is left."""
        last = self._mean.process([stream.finish() for stream in self._streams])
        return np.concatenate([last, self._mean.finish()], axis=1)

    def fork(self, lanes: int) -> "FusionStream":
        """Return a stream of ``lanes * channels`` rows, lane by lane, each of which goes on from here."""
        rows = list(range(self._channels)) * lanes
        return FusionStream([stream.fork(lanes) for stream in self._streams], self._mean.rows(rows), len(rows))

    def keep(self, rows: slice) -> "FusionStream":
        """Return a stream of some rows only, which goes on from here."""
        kept = len(range(*rows.indices(self._channels)))
        return FusionStream([stream.keep(rows) for stream in self._streams], self._mean.rows(rows), kept)


class _Whole(Protocol):
    """A model that enhances a signal from nothing."""

    def stream(self, channels: int) -> NetworkStream: ...


class BackwardStream:
    """A network that hears a recording from its end, chunk by chunk; late by a chunk and its run-up.

    Each chunk starts from nothing and runs up over the `RUN_UP_S` that follow it; the last one, which nothing follows,
    is primed like a recording's head. Chunks are cross-faded.
    """

    def __init__(self, member: _Whole, channels: int, *, level_db: float, chunk_s: int = CHUNK_S) -> None:
        self._member = member
        self._channels = channels
        self._level_db = level_db
        self._chunk = chunk_s * RATE_HZ
        self._pending: Real = np.zeros((channels, 0), np.float32)
        self._tail: Real = np.zeros((channels, 0), np.float32)
        self.inferences = 0

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)`` float32 at 48 kHz; return what is ready, ``(channels, m)``."""
        self._pending = np.concatenate([self._pending, signal], axis=1)
        ready = [self._pending[:, :0]]
        while self._pending.shape[1] >= self._chunk + RUN_UP_S * RATE_HZ:
            heard = self._pending[:, : self._chunk + RUN_UP_S * RATE_HZ]
            answer = self._run(self._member.stream(self._channels), heard)[:, : self._chunk + FADE]
            ready.append(self._faded(answer[:, : self._chunk]))
            self._tail = answer[:, self._chunk :]
            self._pending = self._pending[:, self._chunk :]
        return np.concatenate(ready, axis=1)

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        if not self._pending.shape[1]:
            return self._pending
        primed = PrimedStream(self._member.stream(self._channels), self._channels, level_db=None)
        return self._faded(self._run(primed, self._pending))

    def _run(self, stream: NetworkStream | PrimedStream, signal: Real) -> Real:
        gain = np.float32(lift(signal, self._level_db))
        answer = _whole(stream, signal[:, ::-1] * gain)[:, ::-1] / gain
        self.inferences += stream.inferences
        return answer

    def _faded(self, answer: Real) -> Real:
        """Go over from the chunk before."""
        length = min(self._tail.shape[1], answer.shape[1])
        rising = np.linspace(0, 1, length, dtype=np.float32)
        joined = answer.copy()
        joined[:, :length] = self._tail[:, :length] + rising * (answer[:, :length] - self._tail[:, :length])
        return joined


class WithBackward:
    """A stream's answer with a small share of a backward one's; as late as the later of the two."""

    def __init__(self, forward: SignalStream, backward: BackwardStream, channels: int) -> None:
        self._streams = (forward, backward)
        shares = [Share(share, share) for share in (1 - BACKWARD_SHARE, BACKWARD_SHARE)]
        self._mean = TwoBandMean(shares, channels)

    @property
    def inferences(self) -> int:
        """Blocks that ran through a network so far."""
        return sum(stream.inferences for stream in self._streams)

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)`` float32 at 48 kHz; return what is ready, ``(channels, m)``."""
        return self._mean.process([stream.process(signal) for stream in self._streams])

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        last = self._mean.process([stream.finish() for stream in self._streams])
        return np.concatenate([last, self._mean.finish()], axis=1)


def _whole(stream: SignalStream, signal: Real) -> Real:
    return np.concatenate([stream.process(signal), stream.finish()], axis=1)
