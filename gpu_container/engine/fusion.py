"""Several answers to one recording, fused: what makes ``dfn3-hq`` better than the mean of its two networks.

Three steps, each cheap, each measured with its standard error in ``docs/bench/quality.md``:

- *Prime.* A network begins with running means and recurrent states of no recording in particular, and errs most in its
  first seconds. It therefore hears the first seconds twice, and its first answer to them is thrown away.
- *Level.* The networks' features have an absolute floor, and DeepFilterNet3_ll was found to judge louder speech
  better: a fixed gain, found on those first seconds, lifts what is quieter than a network likes; it is taken back from
  the answer.
- *Bands.* DeepFilterNet3_ll is the better one in the bins of the complex filter, below 4.8 kHz; above, where both only
  have gains, DeepFilterNet3 is.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import firwin, lfilter

from gpu_container.engine.deepfilternet import CPU
from gpu_container.engine.enhancer import Enhancer, NetworkStream, SignalStream
from gpu_container.engine.level import HEAD_S, lift
from gpu_container.engine.stft import RATE_HZ, Real

CROSSOVER_HZ: Final = 4_800.0
CROSSOVER_TAPS: Final = 129
_HALF: Final = CROSSOVER_TAPS // 2
HIGH_PASS: Final[Real] = firwin(CROSSOVER_TAPS, CROSSOVER_HZ, pass_zero=False, fs=RATE_HZ).astype(np.float32)

LEVELS_DB: Final = (-16.0, -10.0)
"""Of the loudest frames, for DeepFilterNet3 and DeepFilterNet3_ll: some 6 dB above the mean level of speech."""


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
    def provider(self) -> str:
        """What computes, by ONNX Runtime's name."""
        return self._member.provider

    @property
    def rows(self) -> int:
        """Streams side by side in one call from which on more gain nothing."""
        return self._member.rows

    def over(self, change: Callable[[Enhancer], Enhancer]) -> "Primed":
        """Return the same over a changed member."""
        return Primed(change(self._member), level_db=self._level_db)

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
    def provider(self) -> str:
        """What computes, by ONNX Runtime's name; the CPU where it computes any member."""
        found = {member.provider for member in self.members}
        return CPU if CPU in found else self.members[0].provider

    @property
    def rows(self) -> int:
        """Streams side by side in one call from which on more gain nothing, for any member."""
        return max(member.rows for member in self.members)

    def over(self, change: Callable[[Enhancer], Enhancer]) -> "Fusion":
        """Return the same over changed members."""
        changed = [change(member) for member in self.members]
        return Fusion(list(zip(changed, self._shares, strict=True)), name=self.name)

    def stream(self, channels: int) -> "FusionStream":
        """Return a new recording's stream through every member."""
        return FusionStream(
            [member.stream(channels) for member in self.members], TwoBandMean(self._shares, channels), channels
        )

    def enhance(self, signal: Real) -> Real:
        """Enhance ``(B, n)`` float32 at 48 kHz whole; the answer has its shape and is aligned with it."""
        return _whole(self.stream(len(signal)), signal)


def high_quality(dfn3: Enhancer, dfn3_ll: Enhancer, *, name: str) -> Fusion:
    """Return ``dfn3-hq``."""
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


def _whole(stream: SignalStream, signal: Real) -> Real:
    return np.concatenate([stream.process(signal), stream.finish()], axis=1)
