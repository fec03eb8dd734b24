"""DeepFilterNet3: the signal path, top to bottom.

Schröter, Escalante-B., Rosenkranz and Maier, "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement",
Interspeech 2023. Two stages on one spectrum: gains in ERB bands restore the envelope above 4.8 kHz, a complex filter of
five taps per bin restores the periodic part below. Sizes: B streams, T frames of 10 ms.
"""

import configparser
import copy
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from gpu_container.engine.features import BAND_OF_BIN, DF_BINS, RunningMeans, extract
from gpu_container.engine.graph import OUT, State, StateLayout, assemble
from gpu_container.engine.stft import BINS, HOP, RATE_HZ, Complex, Real, analyse, synthesise

TAPS = 5
GRAPHS = ("enc", "erb_dec", "df_dec")

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True)
class Tiling:
    """How a provider likes its work cut.

    Attributes
    ----------
    rows
        Streams side by side in one call; more gain nothing.
    frames
        Frames in one call, over all rows.
    options
        What ONNX Runtime's provider is told.
    """

    rows: int
    frames: int
    options: tuple[tuple[str, str], ...] = ()

    def block_hops(self, rows: int) -> int:
        """Return how many hops of ``rows`` streams to give at once: a whole divisor of one second."""
        return next((hops for hops in (100, 50, 25, 20) if hops * rows <= self.frames), 10)


TILINGS = {
    # Measured: one row pays half as much again as four, whose weights are read once; beyond 400 frames, or a second of
    # one stream, the arrays fall out of the cache.
    CPU: Tiling(rows=4, frames=400),
    # Estimated, not yet measured. Every new shape would start an exhaustive search for the fastest convolution.
    CUDA: Tiling(rows=64, frames=6_400, options=(("cudnn_conv_algo_search", "HEURISTIC"),)),
}


class Network(Protocol):
    """The three graphs as one function of a block and of what the blocks before it left behind."""

    tiling: Tiling

    def masks(self, feat_erb: Real, feat_spec: Real, state: State) -> tuple[Real, Real, State]:
        """Run the network.

        Parameters
        ----------
        feat_erb, feat_spec
            ``(B, 1, T, 32)`` and ``(B, 2, T, 96)``.

        Returns
        -------
        gains
            ``(B, 1, T, 32)`` in [0, 1].
        filters
            ``(B, T, 96, 2 * TAPS)``: real and imaginary parts in turn.
        state
            For the next block.
        """
        ...

    @property
    def layout(self) -> StateLayout:
        """What the state consists of."""
        ...


class OnnxNetwork:
    """The network in ONNX Runtime; shareable between threads.

    The state travels with every call. It is small (0.1 MB a row and block for DeepFilterNet3), so there is no other
    path for a device with a memory of its own; what is large, the layers' activations, stays inside.
    """

    def __init__(self, raw: dict[str, bytes], *, providers: Sequence[str], threads: int) -> None:
        model, self.layout = assemble(raw, wanted=("m", "coefs"))
        self._session = ort.InferenceSession(
            model, _options(threads), providers=[_with_options(provider) for provider in providers]
        )
        # What ONNX Runtime really took: it falls back to the CPU without an error.
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self.tiling = TILINGS.get(self.providers[0], TILINGS[CPU])
        self._outputs = ["erb_dec/m", "df_dec/coefs", *(name + OUT for name in self.layout.shapes)]

    def masks(self, feat_erb: Real, feat_spec: Real, state: State) -> tuple[Real, Real, State]:
        """Run the network; see `Network`."""
        inputs = {"enc/feat_erb": feat_erb, "enc/feat_spec": feat_spec, **state}
        gains, filters, *after = self._session.run(self._outputs, inputs)
        return gains, filters, dict(zip(self.layout.shapes, after, strict=True))


class DeepFilterNet:
    """A loaded model; stateless and shareable between threads. `stream` gives it a memory.

    Parameters
    ----------
    archive
        The official export: a tar.gz of three ONNX graphs and ``config.ini``.
    providers
        ONNX Runtime execution providers; None takes CUDA where it is present, else the CPU.
    threads
        Threads inside one call. One per stream is fastest: spinning threads fight over cores.
    """

    network: Network

    def __init__(
        self, archive: Path, *, name: str = "", providers: Sequence[str] | None = None, threads: int = 1
    ) -> None:
        files = _read_archive(archive)
        config = configparser.ConfigParser()
        config.read_string(files["config.ini"].decode())
        self.name = name
        self.look_ahead = config["df"].getint("df_lookahead", 0)
        wanted = tuple(providers or default_providers())
        network = OnnxNetwork({graph: files[f"{graph}.onnx"] for graph in GRAPHS}, providers=wanted, threads=threads)
        self.providers = network.providers
        self.network = network

    @property
    def provider(self) -> str:
        """What computes, by ONNX Runtime's name."""
        return self.providers[0]

    @property
    def rows(self) -> int:
        """Streams side by side in one call from which on more gain nothing."""
        return self.network.tiling.rows

    def with_network(self, network: Network) -> "DeepFilterNet":
        """Return the same model with another way to its network."""
        other = copy.copy(self)
        other.network = network
        return other

    def stream(self, channels: int) -> "Stream":
        """Return a new recording's stream of ``channels`` rows, enhanced side by side."""
        return Stream(self, channels)

    def enhance(self, signal: Real, *, block_hops: int | None = None) -> Real:
        """Enhance ``(B, n)`` float32 at 48 kHz whole; the answer has its shape and is aligned with it."""
        stream = Stream(self, len(signal), block_hops=block_hops)
        return np.concatenate([stream.process(signal), stream.finish()], axis=1)


@dataclass
class _Memory:
    """What one block leaves for the next, row by row.

    Attributes
    ----------
    pending
        ``(B, n)``: less than a block that waits for the rest of it.
    previous_hop, overlap
        ``(B, HOP)``: what the first window of the next block begins with, and what is added to its first hop.
    history
        ``(B, TAPS - 1, BINS)``: the last frames that the deep filter reaches back to.
    """

    pending: Real
    previous_hop: Real
    overlap: Real
    history: Complex
    means: RunningMeans
    state: State

    @classmethod
    def start(cls, channels: int, layout: StateLayout) -> "_Memory":
        return cls(
            pending=np.zeros((channels, 0), np.float32),
            previous_hop=np.zeros((channels, HOP), np.float32),
            overlap=np.zeros((channels, HOP), np.float32),
            history=np.zeros((channels, TAPS - 1, BINS), np.complex64),
            means=RunningMeans.start(channels),
            state=layout.zeros(channels),
        )

    def take(self, rows: NDArray[np.intp], layout: StateLayout) -> "_Memory":
        return _Memory(
            pending=self.pending[rows],
            previous_hop=self.previous_hop[rows],
            overlap=self.overlap[rows],
            history=self.history[rows],
            means=self.means.take(rows),
            state=layout.take(self.state, rows),
        )


class Stream:
    """One recording on its way through the network, in pieces of any size; constant memory.

    What `process` and `finish` return, put together, is as long as what went in and aligned with it: the delay of the
    overlap-add (one hop) and of the look-ahead is trimmed at the head and padded at the tail.

    Attributes
    ----------
    inferences
        Blocks that ran through the network.
    """

    def __init__(self, model: DeepFilterNet, channels: int, *, block_hops: int | None = None) -> None:
        self._model = model
        self._block = (block_hops or model.network.tiling.block_hops(channels)) * HOP
        self._memory = _Memory.start(channels, model.network.layout)
        self._masks_to_skip = model.look_ahead  # the first ones belong to frames before the recording
        self._head_to_trim = HOP
        self._received = self._returned = 0
        self.inferences = 0

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)`` float32 at 48 kHz; return what is ready, ``(channels, m)``."""
        self._received += signal.shape[1]
        pending = np.concatenate([self._memory.pending, signal], axis=1) if self._memory.pending.size else signal
        ready, start = [], 0
        while pending.shape[1] - start >= self._block:
            ready.append(self._run(pending[:, start : start + self._block]))
            start += self._block
        self._memory.pending = pending[:, start:].copy()
        return self._trim(ready)

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        if self._received == 0:
            return self._trim([])
        pending = self._memory.pending
        hops = -(-pending.shape[1] // HOP) + self._model.look_ahead + 1
        return self._trim([self._run(np.pad(pending, ((0, 0), (0, hops * HOP - pending.shape[1]))))])

    def fork(self, lanes: int) -> "Stream":
        """Return a stream of ``lanes * channels`` rows, lane by lane, each of which goes on from here.

        Raises
        ------
        ValueError
            If less than a block is waiting: a stream forks after whole seconds.
        """
        if self._memory.pending.size:
            msg = "a stream forks between blocks only"
            raise ValueError(msg)
        return self._with_rows(np.tile(np.arange(len(self._memory.overlap)), lanes))

    def keep(self, rows: slice) -> "Stream":
        """Return a stream of some rows only, which goes on from here."""
        return self._with_rows(np.arange(len(self._memory.overlap))[rows])

    def _with_rows(self, rows: NDArray[np.intp]) -> "Stream":
        network = self._model.network
        other = copy.copy(self)
        other._memory = self._memory.take(rows, network.layout)  # noqa: SLF001 - of its own class
        other._block = network.tiling.block_hops(len(rows)) * HOP  # noqa: SLF001
        return other

    def _run(self, signal: Real) -> Real:
        """Enhance ``(B, T * HOP)``, late by one hop and the look-ahead."""
        memory, look_ahead = self._memory, self._model.look_ahead
        spectrum = analyse(np.concatenate([memory.previous_hop, signal], axis=1))  # (B, T, BINS)
        memory.previous_hop = signal[:, -HOP:].copy()
        feat_erb, feat_spec = extract(spectrum, memory.means)  # (B, 1, T, 32), (B, 2, T, 96)
        gains, filters = self._masks(feat_erb, feat_spec)  # (B, T, 32), (B, T, 96, TAPS)
        skipped = min(self._masks_to_skip, gains.shape[1])
        self._masks_to_skip -= skipped
        gains, filters = gains[:, skipped:], filters[:, skipped:]  # (B, T', …)

        history = np.concatenate([memory.history, spectrum], axis=1)  # (B, TAPS - 1 + T, BINS)
        memory.history = history[:, -(TAPS - 1) :].copy()
        frames = gains.shape[1]
        if frames == 0:
            return np.zeros((len(signal), 0), np.float32)
        first = history.shape[1] - look_ahead - frames  # index of the first frame to be answered
        enhanced = history[:, first : first + frames].copy()  # (B, T', BINS)
        enhanced[..., DF_BINS:] *= gains.take(BAND_OF_BIN[DF_BINS:], axis=-1)
        enhanced[..., :DF_BINS] = _deep_filter(history, filters, first - (TAPS - 1 - look_ahead))
        output, memory.overlap = synthesise(enhanced, memory.overlap)  # (B, T' * HOP)
        return output

    def _masks(self, feat_erb: Real, feat_spec: Real) -> tuple[Real, Complex]:
        """Return the block's gains ``(B, T, 32)`` and complex filters ``(B, T, 96, TAPS)``."""
        memory = self._memory
        gains, pairs, memory.state = self._model.network.masks(feat_erb, feat_spec, memory.state)
        self.inferences += 1
        return gains[:, 0], np.ascontiguousarray(pairs).view(np.complex64)

    def _trim(self, blocks: list[Real]) -> Real:
        """Cut the delay off the head and the padding off the tail."""
        empty = np.zeros((len(self._memory.overlap), 0), np.float32)
        output = np.concatenate(blocks, axis=1) if blocks else empty
        cut = min(self._head_to_trim, output.shape[1])
        self._head_to_trim -= cut
        output = output[:, cut : cut + self._received - self._returned]
        self._returned += output.shape[1]
        return output


def _deep_filter(history: Complex, filters: Complex, start: int) -> Complex:
    """Y[t] = Σ_k X[start + t + k] · c_k[t] on the low bins.

    Shapes: history ``(B, N, BINS)``, filters ``(B, T, DF_BINS, TAPS)`` → ``(B, T, DF_BINS)``.
    """
    frames = filters.shape[1]
    filtered = np.zeros(filters.shape[:3], np.complex64)
    for tap in range(TAPS):
        filtered += history[:, start + tap : start + tap + frames, :DF_BINS] * filters[..., tap]
    return filtered


def default_providers() -> tuple[str, ...]:
    """Return CUDA where it is present, always with the CPU behind it."""
    return (CUDA, CPU) if CUDA in ort.get_available_providers() else (CPU,)


def _with_options(provider: str) -> tuple[str, dict[str, str]]:
    tiling = TILINGS.get(provider)
    return provider, dict(tiling.options if tiling else ())


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # blocks come in several sizes, and each would keep a plan of its own
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")  # digital silence must not be slow
    return options


def _read_archive(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        members = {Path(member.name).name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: stream.read() for name, stream in members.items() if stream is not None}


__all__ = ["RATE_HZ", "DeepFilterNet", "Network", "OnnxNetwork", "Stream", "Tiling", "default_providers"]
