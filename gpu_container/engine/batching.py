"""Recordings that are enhanced at the same moment share calls of the network.

A call for several rows costs less than the rows one by one, as the weights are read once. Nobody waits to be joined by
others: whoever finds a free slot runs at once, and blocks that arrive while all slots are busy run together when one
becomes free. The busier the machine, the larger the batches; a lone stream never waits.
"""

import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpu_container.engine.deepfilternet import CUDA, DeepFilterNet, Network
from gpu_container.engine.enhancer import Enhancer, NetworkStream
from gpu_container.engine.fusion import Fusion, Primed
from gpu_container.engine.graph import State, StateLayout
from gpu_container.engine.stft import Real

Masks = tuple[Real, Real, State]


class Batcher:
    """A model whose streams, in as many threads as there are, are batched; an `Enhancer` itself.

    Parameters
    ----------
    model
        A `DeepFilterNet`, or a `Fusion` of them: blocks are merged member by member.
    slots
        Calls at one time; None takes one per CPU core, or one in all where a GPU computes.
    max_rows
        Rows of one call; None takes what the provider gains from.

    Raises
    ------
    TypeError
        If the model is neither.
    """

    def __init__(self, model: Enhancer, *, slots: int | None = None, max_rows: int | None = None) -> None:
        self.name = model.name
        self._model = _merging(model, slots, max_rows)

    @property
    def provider(self) -> str:
        """What computes, by ONNX Runtime's name."""
        return self._model.provider

    @property
    def rows(self) -> int:
        """Streams side by side in one call from which on more gain nothing."""
        return self._model.rows

    def stream(self, channels: int) -> NetworkStream:
        """Return a new recording's stream."""
        return self._model.stream(channels)

    def enhance(self, signal: Real) -> Real:
        """Enhance ``(B, n)`` float32 at 48 kHz whole; the answer has its shape and is aligned with it."""
        return self._model.enhance(signal)


def _merging(model: Enhancer, slots: int | None, max_rows: int | None) -> Enhancer:
    if isinstance(model, Fusion | Primed):
        return model.over(lambda member: _merging(member, slots, max_rows))
    if not isinstance(model, DeepFilterNet):
        msg = f"blocks of a {type(model).__name__} cannot be merged"
        raise TypeError(msg)
    on_gpu = model.provider == CUDA
    merging = MergingNetwork(
        model.network,
        slots=slots or (1 if on_gpu else len(os.sched_getaffinity(0))),
        max_rows=max_rows or model.rows,
    )
    return model.with_network(merging)


@dataclass(eq=False)
class _Call:
    """One stream's block on its way: it waits, then either leads a batch or has been answered by a leader."""

    feat_erb: Real
    feat_spec: Real
    state: State
    changed: threading.Condition
    leads: bool = False
    outcome: Masks | Exception | None = None

    @property
    def rows(self) -> int:
        return len(self.feat_erb)

    @property
    def frames(self) -> int:
        return len(self.feat_erb[0, 0])

    def result(self) -> Masks:
        if isinstance(self.outcome, tuple):
            return self.outcome
        raise self.outcome or RuntimeError("nobody answered")


class MergingNetwork:
    """A network that runs blocks of several streams as one.

    While a slot is free nothing waits. A slot that becomes free goes to the block that has waited longest, whose thread
    then leads: it takes along what fits, runs it and wakes the others.
    """

    def __init__(self, network: Network, *, slots: int, max_rows: int) -> None:
        self.tiling = network.tiling
        self._network = network
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._free = slots
        self._waiting: deque[_Call] = deque()

    @property
    def layout(self) -> StateLayout:
        """What the state consists of."""
        return self._network.layout

    def masks(self, feat_erb: Real, feat_spec: Real, state: State) -> Masks:
        """Run the network, perhaps together with others; see `Network`. An error reaches only the block it is of."""
        call = _Call(feat_erb, feat_spec, state, threading.Condition(self._lock))
        if self._leads(call):
            batch = [call]
            try:
                batch += self._companions(call)
                self._run(batch)
            finally:
                self._hand_over(batch)
        return call.result()

    def _leads(self, call: _Call) -> bool:
        """Wait for a slot or for an answer, and return which; a thread that is interrupted takes nothing with it."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(call)
            try:
                call.changed.wait_for(lambda: call.leads or call.outcome is not None)
            except BaseException:
                if call.leads:
                    self._pass_slot_on()
                elif call in self._waiting:
                    self._waiting.remove(call)
                raise
            return call.leads

    def _companions(self, leader: _Call) -> list[_Call]:
        """Take out of the queue what runs with the leader: blocks of its length, while there is room."""
        companions, rows = [], leader.rows
        with self._lock:
            for call in list(self._waiting):
                if call.frames == leader.frames and rows + call.rows <= self._max_rows:
                    self._waiting.remove(call)
                    companions.append(call)
                    rows += call.rows
        return companions

    def _run(self, batch: Sequence[_Call]) -> None:
        """Answer every call; if they fail together, each on its own."""
        try:
            answers = self._together(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to a stream
            if len(batch) == 1:
                batch[0].outcome = error
                return
            for call in batch:
                self._run([call])
            return
        for call, answer in zip(batch, answers, strict=True):
            call.outcome = answer

    def _together(self, batch: Sequence[_Call]) -> list[Masks]:
        if len(batch) == 1:
            call = batch[0]
            return [self._network.masks(call.feat_erb, call.feat_spec, call.state)]
        layout = self._network.layout
        gains, filters, state = self._network.masks(
            np.concatenate([call.feat_erb for call in batch]),  # (ΣB, 1, T, 32)
            np.concatenate([call.feat_spec for call in batch]),  # (ΣB, 2, T, 96)
            layout.concatenate([call.state for call in batch]),
        )
        ends = np.cumsum([call.rows for call in batch])
        rows = [slice(end - call.rows, end) for end, call in zip(ends, batch, strict=True)]
        return [(gains[part], filters[part], layout.take(state, part)) for part in rows]

    def _hand_over(self, batch: Sequence[_Call]) -> None:
        with self._lock:
            for call in batch:
                call.outcome = call.outcome or RuntimeError("the batch was interrupted")
                call.changed.notify()
            self._pass_slot_on()

    def _pass_slot_on(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        following = self._waiting.popleft()
        following.leads = True
        following.changed.notify()
