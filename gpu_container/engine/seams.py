"""Where two answers to the same sound are put together: at the quietest place, cross-faded."""

from typing import Final

import numpy as np

from gpu_container.engine.stft import Real

FADE_HOPS: Final = 2


def join(old: Real, new: Real, hop: int) -> Real:
    """Return ``(channels, n)`` that begins as the old answer and ends as the new one, both ``(channels, n)``.

    Parameters
    ----------
    hop
        Frames of 10 ms or so: the fade takes two, or all of it where it is shorter than that.
    """
    length = old.shape[1]
    fade = min(FADE_HOPS * hop, length)
    seam = _quietest(old, hop) if length > fade else 0
    rising = np.linspace(0, 1, fade, dtype=np.float32)
    fading, heard = old[:, seam : seam + fade], new[:, seam : seam + fade]
    return np.concatenate([old[:, :seam], fading + rising * (heard - fading), new[:, seam + fade :]], axis=1)


def _quietest(signal: Real, hop: int) -> int:
    """Return where in ``(channels, n)``, at least a fade long, the cross-fade costs least."""
    hops = signal[:, : signal.shape[1] // hop * hop].reshape(len(signal), -1, hop)  # (channels, T, hop)
    energy = np.square(hops).sum(axis=(0, 2))  # (T,)
    return int(np.argmin(np.convolve(energy, np.ones(FADE_HOPS), mode="valid"))) * hop
