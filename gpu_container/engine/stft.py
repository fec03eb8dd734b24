"""Short-time Fourier transform of DeepFilterNet: 48 kHz, 20 ms windows, 10 ms hops, Vorbis window on both sides."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

RATE_HZ = 48_000
FFT = 960
HOP = 480
BINS = FFT // 2 + 1

Real = NDArray[np.float32]
Complex = NDArray[np.complex64]


def vorbis_window(size: int) -> Real:
    """Return the power-complementary window of the Vorbis I specification, ``(size,)``."""
    inner = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    return np.sin(0.5 * np.pi * inner * inner).astype(np.float32)


WINDOW = vorbis_window(FFT)


def analyse(signal: Real) -> Complex:
    """Transform ``(B, (T + 1) * HOP)``, the first hop being the one before, to ``(B, T, BINS)``."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, FFT, axis=-1)[..., ::HOP, :]  # (B, T, FFT)
    return scipy.fft.rfft(frames * WINDOW, axis=-1, norm="forward")  # (B, T, BINS), scaled by 1 / FFT


def synthesise(spectrum: Complex, overlap: Real) -> tuple[Real, Real]:
    """Transform ``(B, T, BINS)`` back by overlap-add.

    Parameters
    ----------
    overlap
        ``(B, HOP)``: what the previous block's last frame adds to this block's first hop.

    Returns
    -------
    signal
        ``(B, T * HOP)``, one hop late.
    overlap
        ``(B, HOP)`` for the next block.
    """
    frames = scipy.fft.irfft(spectrum, n=FFT, axis=-1, norm="forward")  # (B, T, FFT)
    frames *= WINDOW
    signal = frames[..., :HOP].copy()
    signal[:, 1:] += frames[:, :-1, HOP:]
    signal[:, 0] += overlap
    return signal.reshape(len(signal), -1), frames[:, -1, HOP:].copy()
