"""Speech-like sound, and rooms for it to sound in."""

import numpy as np
from scipy.signal import fftconvolve

from gpu_container.engine.stft import RATE_HZ, Real

EARLY_S = 0.024
"""What arrives later is what dereverberation is to take away."""


def talk(*, seconds: float, seed: int = 0) -> Real:
    """Return ``(1, n)`` float32 at 48 kHz: syllables of tilted noise that end as abruptly as speech does."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE_HZ)
    envelope = np.zeros(frames)
    at_s = 0.1
    while at_s < seconds - 0.6:
        sounds_s, silent_s = rng.uniform(0.08, 0.3), rng.uniform(0.06, 0.3)
        syllable = np.clip(np.sin(np.pi * np.linspace(0, 1, round(sounds_s * RATE_HZ))), 0, None) ** 0.3
        start = round(at_s * RATE_HZ)
        envelope[start : start + len(syllable)] = syllable * rng.uniform(0.4, 1.0)
        at_s += sounds_s + silent_s
    spectrum = np.fft.rfft(rng.standard_normal(frames))
    tilt = 1 / (1 + np.fft.rfftfreq(frames, 1 / RATE_HZ) / 1_000)
    sound = np.fft.irfft(spectrum * tilt, frames)
    hiss = 1e-5 * rng.standard_normal(frames)
    voice: Real = (0.1 * envelope * sound / sound.std() + hiss).astype(np.float32)[None]
    return voice


def room(*, decay_s: float, microphones: int = 1, seed: int = 0) -> Real:
    """Return impulse responses, ``(microphones, n)``: the direct sound and as much energy in a tail of noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(1.2 * decay_s * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal((microphones, len(time_s))) * 10 ** (-3 * time_s / decay_s)
    tail[:, : round(0.004 * RATE_HZ)] = 0
    tail /= np.linalg.norm(tail, axis=1, keepdims=True)
    tail[:, 0] = 1.0
    return tail.astype(np.float32)


def in_room(signal: Real, responses: Real) -> tuple[Real, Real]:
    """Return a voice, ``(1, n)``, as the microphones hear it, and its direct and early part, ``(microphones, n)``."""
    frames = signal.shape[1]
    early = responses[:, : round(EARLY_S * RATE_HZ)]
    heard, wanted = (fftconvolve(signal, heads, axes=1)[:, :frames] for heads in (responses, early))
    return heard.astype(np.float32), wanted.astype(np.float32)
