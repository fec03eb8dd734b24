"""One long recording, several places of it at once.

A network reads all of its weights for every frame; for several frames at once it reads them once. A long recording is
therefore cut into windows and a window into lanes, which run side by side as one batch, or in several threads.

A lane begins without the audio before it, and the network remembers long. Started from nothing, DeepFilterNet3 answers
-20 dB off in the first second, -30 dB after four and -38 dB after eight; DeepFilterNet3_ll is still -25 dB off after
eight. It is the recurrent layers that remember: running means that are exact from the start do not help. So the first
lane of a window goes on exactly where the window before ended; the others take up that same state, which knows the
voice and the noise of this recording if not the last words, run over some seconds before their segment, and take over
where the sound is quietest.

With the defaults, on five recordings of 200 s, the result differs from the whole file's exact answer by -48 dB (dfn3),
-33 dB (dfn3-ll) and -38 dB (dfn3-hq), in the second after a seam by -38, -27 and -32 dB of the recording's level. Both
are equally good answers: against the clean speech SI-SDR moves by 0.13 dB at most, more often up than down.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gpu_container.engine.enhancer import Enhancer, NetworkStream
from gpu_container.engine.seams import join
from gpu_container.engine.stft import HOP, RATE_HZ, Real

SEGMENT_S = 60
WARM_UP_S = 8
SEARCH_S = 2
"""Lanes overlap by this beyond the warm-up: within it they are joined."""

PRELUDE_S = 10
"""The head of a recording runs alone, so that there is a state to take up."""

SHORTEST_SEGMENT = 3
"""In overlaps: shorter segments would spend more on their warm-up than the batch saves."""


@dataclass(frozen=True)
class _Plan:
    """A window of lanes that overlap, in whole seconds: every provider's blocks divide them."""

    lanes: int
    segment_s: int
    overlap_s: int

    @property
    def length_s(self) -> int:
        return self.start_s(self.lanes - 1) + self.segment_s

    def start_s(self, lane: int) -> int:
        return lane * (self.segment_s - self.overlap_s)

    def fitting(self, length_s: int) -> "_Plan | None":
        """Return a plan of as many lanes, or fewer, for a shorter window; None if it is too short for two."""
        for lanes in range(self.lanes, 1, -1):
            segment_s = (length_s + (lanes - 1) * self.overlap_s) // lanes
            if segment_s >= SHORTEST_SEGMENT * self.overlap_s:
                return _Plan(lanes, segment_s, self.overlap_s)
        return None


class LaneStream:
    """A stream that runs a recording in windows of lanes: cheaper and less exact than the model's own, and late.

    It answers after whole windows (210 s of mono, 110 s of stereo) and holds the window and its lanes: with the
    defaults 90 MB a job, for mono and stereo alike, whatever the length. Recordings too short for two lanes, and so
    many channels that they fill a batch, get the model's exact answer.

    Parameters
    ----------
    lanes
        Per job; None fills the model's batch with lanes of all channels.
    segment_s
        What a lane runs over, its warm-up included.
    warm_up_s
        What it has heard at least before it is listened to.
    jobs
        Threads that share a window's lanes.
    checkpoint
        Called in the caller's thread about once for each second that every lane has gone on; what it raises ends the
        stream.

    Raises
    ------
    ValueError
        If the segments are too short for their warm-up.
    """

    def __init__(
        self,
        model: Enhancer,
        channels: int,
        *,
        lanes: int | None = None,
        segment_s: int = SEGMENT_S,
        warm_up_s: int = WARM_UP_S,
        jobs: int = 1,
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        if segment_s < SHORTEST_SEGMENT * (warm_up_s + SEARCH_S):
            msg = f"segments of {segment_s} s are too short for {warm_up_s} s of warm-up"
            raise ValueError(msg)
        per_job = lanes or max(1, model.rows // channels)
        self._plan = _Plan(jobs * per_job, segment_s, warm_up_s + SEARCH_S)
        self._jobs = jobs
        self._channels = channels
        self._checkpoint = checkpoint or _nothing
        self._stream = model.stream(channels)
        self._inferences_beside = 0
        self._alone_left = PRELUDE_S * RATE_HZ
        self._window = self._new_window()
        self._filled = 0

    @property
    def inferences(self) -> int:
        """Blocks that ran through a network, lanes side by side counted once."""
        return self._stream.inferences + self._inferences_beside

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)`` float32 at 48 kHz; return what is ready, ``(channels, m)``."""
        if self._plan.lanes == 1:
            return self._alone(signal)
        head = min(signal.shape[1], self._alone_left)
        self._alone_left -= head
        ready = [self._alone(signal[:, :head])]
        start = head
        while start < signal.shape[1]:
            taken = min(signal.shape[1] - start, self._window.shape[1] - self._filled)
            self._window[:, self._filled : self._filled + taken] = signal[:, start : start + taken]
            self._filled += taken
            start += taken
            if self._filled == self._window.shape[1]:
                ready.append(self._run(self._window, self._plan))
                self._window, self._filled = self._new_window(), 0
        return _put_together(ready)

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        rest = self._window[:, : self._filled]
        plan = self._plan.fitting(self._filled // RATE_HZ)
        ready = []
        if plan:
            length = plan.length_s * RATE_HZ
            ready.append(self._run(rest[:, :length], plan))
            rest = rest[:, length:]
        ready += [self._alone(rest), self._stream.finish()]
        self._window, self._filled = self._window[:, :0], 0
        return _put_together(ready)

    def _new_window(self) -> Real:
        length_s = self._plan.length_s if self._plan.lanes > 1 else 0
        return np.empty((self._channels, length_s * RATE_HZ), np.float32)

    def _alone(self, signal: Real) -> Real:
        """Run ``(channels, n)`` through the one exact stream."""
        ready = []
        for start in range(0, max(1, signal.shape[1]), RATE_HZ):
            self._checkpoint()
            ready.append(self._stream.process(signal[:, start : start + RATE_HZ]))
        return _put_together(ready)

    def _run(self, window: Real, plan: _Plan) -> Real:
        """Enhance a window ``(channels, n)`` in place, and leave the stream where its last lane ended."""
        before = self._stream.inferences
        groups = _shared_out(plan.lanes, self._jobs)
        forks = [self._stream.fork(len(group)) for group in groups]
        outputs = np.empty((plan.lanes, self._channels, plan.segment_s * RATE_HZ), np.float32)
        run = _Run(window, plan, outputs)
        with ThreadPoolExecutor(max(1, len(groups) - 1)) as pool:
            try:
                others = [
                    pool.submit(run.lanes, fork, group, _nothing)
                    for fork, group in zip(forks[1:], groups[1:], strict=True)
                ]
                run.lanes(forks[0], groups[0], self._checkpoint)
                for other in others:
                    other.result()
            finally:
                run.stop.set()
        self._inferences_beside += sum(fork.inferences - before for fork in forks[:-1])
        self._stream = forks[-1].keep(slice((len(groups[-1]) - 1) * self._channels, None))
        return _join(outputs, plan, into=window)


@dataclass
class _Run:
    """A window on its way: the groups of its lanes read and write places of their own."""

    window: Real
    plan: _Plan
    outputs: Real

    def __post_init__(self) -> None:
        self.stop = threading.Event()

    def lanes(self, stream: NetworkStream, group: range, checkpoint: Callable[[], None]) -> None:
        """Run some lanes side by side, second by second."""
        for second in range(self.plan.segment_s):
            checkpoint()
            if self.stop.is_set():
                return
            starts = [(self.plan.start_s(lane) + second) * RATE_HZ for lane in group]
            rows = np.concatenate([self.window[:, start : start + RATE_HZ] for start in starts])  # (L * C, RATE_HZ)
            enhanced = stream.process(rows).reshape(len(group), -1, RATE_HZ)  # (L, C, RATE_HZ)
            self.outputs[group.start : group.stop, :, second * RATE_HZ : (second + 1) * RATE_HZ] = enhanced


def _join(outputs: Real, plan: _Plan, *, into: Real) -> Real:
    """Put the lanes ``(lanes, channels, m)`` together where they are quietest, cross-faded: ``(channels, n)``."""
    into[:, : outputs.shape[2]] = outputs[0]
    warm_up, search = (plan.overlap_s - SEARCH_S) * RATE_HZ, SEARCH_S * RATE_HZ
    for lane in range(1, plan.lanes):
        heard = outputs[lane, :, warm_up:]  # (channels, what the lane is listened to for)
        start = plan.start_s(lane) * RATE_HZ + warm_up
        joined = join(into[:, start : start + search], heard[:, :search], HOP)
        into[:, start : start + heard.shape[1]] = heard
        into[:, start : start + search] = joined
    return into


def _shared_out(lanes: int, jobs: int) -> list[range]:
    """Return neighbouring lanes in as many groups as there are jobs, or lanes."""
    bounds = [lanes * job // min(jobs, lanes) for job in range(min(jobs, lanes) + 1)]
    return [range(first, end) for first, end in pairwise(bounds)]


def _put_together(parts: Sequence[Real]) -> Real:
    """Concatenate along time; a window alone is not copied."""
    filled = [part for part in parts if part.shape[1]] or list(parts[:1])
    return filled[0] if len(filled) == 1 else np.concatenate(filled, axis=1)


def _nothing() -> None:
    """No checkpoint."""
