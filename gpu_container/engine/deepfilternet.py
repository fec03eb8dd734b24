"""DeepFilterNet3: the signal path, top to bottom.

Schröter, Escalante-B., Rosenkranz and Maier, "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement",
Interspeech 2023. Two stages on one spectrum: gains in ERB bands restore the envelope above 4.8 kHz, a complex filter of
five taps per bin restores the periodic part below. Sizes: B streams, T frames of 10 ms.
"""

import configparser
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from gpu_container.engine.features import BAND_OF_BIN, DF_BINS, RunningMeans, extract
from gpu_container.engine.graph import OUT, StatefulGraph, make_stateful
from gpu_container.engine.stft import BINS, HOP, RATE_HZ, Complex, Real, analyse, synthesise

TAPS = 5
BLOCK_HOPS = 100
"""One second: longer blocks fall out of the cache and are slower, shorter ones pay more per call."""

GRAPHS = ("enc", "erb_dec", "df_dec")


@dataclass(frozen=True)
class _Graph:
    """One of the three graphs, ready to run."""

    session: ort.InferenceSession
    stateful: StatefulGraph
    outputs: tuple[str, ...]

    def run(self, inputs: dict[str, Real], state: dict[str, Real]) -> tuple[dict[str, Real], dict[str, Real]]:
        """Return the outputs by name and the next block's state."""
        values = dict(zip(self.outputs, self.session.run(self.outputs, {**inputs, **state}), strict=True))
        return values, {name: values[name + OUT] for name in state}


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

    def __init__(
        self, archive: Path, *, name: str = "", providers: Sequence[str] | None = None, threads: int = 1
    ) -> None:
        files = _read_archive(archive)
        config = configparser.ConfigParser()
        config.read_string(files["config.ini"].decode())
        self.name = name
        self.look_ahead = config["df"].getint("df_lookahead", 0)
        wanted = tuple(providers or default_providers())
        self._graphs = {graph: _load(files[f"{graph}.onnx"], wanted, threads) for graph in GRAPHS}
        # What ONNX Runtime really took: it falls back to the CPU without an error.
        self.providers = tuple(self._graphs["enc"].session.get_providers())

    def stream(self, channels: int) -> "Stream":
        """Return a new recording's stream of ``channels`` rows, enhanced side by side."""
        return Stream(self, channels)

    def enhance(self, signal: Real, *, block_hops: int = BLOCK_HOPS) -> Real:
        """Enhance ``(B, n)`` float32 at 48 kHz whole; the answer has its shape and is aligned with it."""
        stream = Stream(self, len(signal), block_hops=block_hops)
        return np.concatenate([stream.process(signal), stream.finish()], axis=1)

    def masks(self, feat_erb: Real, feat_spec: Real, state: dict[str, dict[str, Real]]) -> tuple[Real, Complex]:
        """Run the network.

        Parameters
        ----------
        feat_erb, feat_spec
            ``(B, 1, T, 32)`` and ``(B, 2, T, 96)``.
        state
            Of the three graphs; moved on in place.

        Returns
        -------
        gains
            ``(B, T, 32)`` in [0, 1].
        filters
            ``(B, T, 96, TAPS)``.
        """
        encoded, state["enc"] = self._graphs["enc"].run({"feat_erb": feat_erb, "feat_spec": feat_spec}, state["enc"])
        skips = {name: encoded[name] for name in ("emb", "e3", "e2", "e1", "e0")}
        decoded, state["erb_dec"] = self._graphs["erb_dec"].run(skips, state["erb_dec"])
        deep, state["df_dec"] = self._graphs["df_dec"].run(
            {"emb": encoded["emb"], "c0": encoded["c0"]}, state["df_dec"]
        )
        pairs = np.ascontiguousarray(deep["coefs"]).reshape(*deep["coefs"].shape[:2], DF_BINS, TAPS, 2)
        return decoded["m"][:, 0], pairs.view(np.complex64)[..., 0]

    def initial_state(self, batch: int) -> dict[str, dict[str, Real]]:
        """Return the three graphs' state before the first frame."""
        return {name: graph.stateful.zeros(batch) for name, graph in self._graphs.items()}


class Stream:
    """One recording on its way through the network, in pieces of any size; constant memory.

    What `process` and `finish` return, put together, is as long as what went in and aligned with it: the delay of the
    overlap-add (one hop) and of the look-ahead is trimmed at the head and padded at the tail.
    """

    def __init__(self, model: DeepFilterNet, channels: int, *, block_hops: int = BLOCK_HOPS) -> None:
        self._model = model
        self._block = block_hops * HOP
        self._pending: Real = np.zeros((channels, 0), np.float32)
        self._previous_hop: Real = np.zeros((channels, HOP), np.float32)
        self._overlap: Real = np.zeros((channels, HOP), np.float32)
        self._means = RunningMeans.start(channels)
        self._state = model.initial_state(channels)
        self._history: Complex = np.zeros((channels, TAPS - 1, BINS), np.complex64)
        self._masks_to_skip = model.look_ahead  # the first ones belong to frames before the recording
        self._head_to_trim = HOP
        self._received = self._returned = 0

    def process(self, signal: Real) -> Real:
        """Take ``(channels, n)`` float32 at 48 kHz; return what is ready, ``(channels, m)``."""
        self._received += signal.shape[1]
        self._pending = np.concatenate([self._pending, signal], axis=1)
        ready = []
        while self._pending.shape[1] >= self._block:
            block, self._pending = self._pending[:, : self._block], self._pending[:, self._block :]
            ready.append(self._run(block))
        return self._trim(ready)

    def finish(self) -> Real:
        """Return what is left, once everything has been given."""
        if self._received == 0:
            return self._trim([])
        pending = self._pending.shape[1]
        hops = -(-pending // HOP) + self._model.look_ahead + 1
        return self._trim([self._run(np.pad(self._pending, ((0, 0), (0, hops * HOP - pending))))])

    def _run(self, signal: Real) -> Real:
        """Enhance ``(B, T * HOP)``, late by one hop and the look-ahead."""
        spectrum = analyse(np.concatenate([self._previous_hop, signal], axis=1))  # (B, T, BINS)
        self._previous_hop = signal[:, -HOP:].copy()
        feat_erb, feat_spec = extract(spectrum, self._means)
        gains, filters = self._model.masks(feat_erb, feat_spec, self._state)  # (B, T, 32), (B, T, 96, TAPS)
        skipped = min(self._masks_to_skip, gains.shape[1])
        self._masks_to_skip -= skipped
        gains, filters = gains[:, skipped:], filters[:, skipped:]  # (B, T', …)

        history = np.concatenate([self._history, spectrum], axis=1)
        self._history = history[:, -(TAPS - 1) :].copy()
        frames = gains.shape[1]
        if frames == 0:
            return np.zeros((len(signal), 0), np.float32)
        first = history.shape[1] - self._model.look_ahead - frames  # index of the first frame to be answered
        enhanced = history[:, first : first + frames].copy()  # (B, T', BINS)
        enhanced[..., DF_BINS:] *= gains[..., BAND_OF_BIN[DF_BINS:]]
        enhanced[..., :DF_BINS] = _deep_filter(history, filters, first - (TAPS - 1 - self._model.look_ahead))
        output, self._overlap = synthesise(enhanced, self._overlap)
        return output

    def _trim(self, blocks: list[Real]) -> Real:
        """Cut the delay off the head and the padding off the tail."""
        empty = np.zeros((len(self._overlap), 0), np.float32)
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
    cpu = "CPUExecutionProvider"
    return ("CUDAExecutionProvider", cpu) if "CUDAExecutionProvider" in ort.get_available_providers() else (cpu,)


def _load(raw: bytes, providers: Sequence[str], threads: int) -> _Graph:
    stateful = make_stateful(raw)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(stateful.model, options, providers=list(providers))
    return _Graph(session, stateful, tuple(output.name for output in session.get_outputs()))


def _read_archive(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        members = {Path(member.name).name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: stream.read() for name, stream in members.items() if stream is not None}


__all__ = ["BLOCK_HOPS", "RATE_HZ", "DeepFilterNet", "Stream", "default_providers"]
