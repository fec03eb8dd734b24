"""Synthetic recordings and what can be measured on them."""

import numpy as np
from scipy.signal import butter, correlate, sosfilt

from gpu_container.engine.stft import Real


def noisy_voice(*, seconds: float, rate_hz: int, seed: int = 0, pitch_hz: float = 120.0, noise: float = 0.03) -> Real:
    """Return ``(1, n)`` float32: a gliding harmonic tone with the rhythm of syllables, in noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time_s))) / rate_hz
    harmonics = [np.sin(k * phase) / k for k in range(1, 24) if k * pitch_hz * 1.1 < rate_hz / 2]
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * time_s + seed), 0, None) ** 0.5
    hiss = sosfilt(butter(2, min(6_000, 0.4 * rate_hz), fs=rate_hz, output="sos"), rng.standard_normal(len(time_s)))
    signal = 0.2 * syllables * np.sum(harmonics, axis=0) + noise * hiss
    return signal.astype(np.float32)[None]


def level_db(signal: Real, reference: Real) -> float:
    """Return the power of one signal against another's, in dB."""
    power = np.mean(np.square(signal, dtype=np.float64))
    return float(10 * np.log10(max(power, 1e-30) / np.mean(np.square(reference, dtype=np.float64))))


def error_db(signal: Real, reference: Real) -> float:
    """Return the power of the difference against the reference's, in dB."""
    return level_db(signal - reference, reference)


def lag(signal: Real, reference: Real) -> int:
    """Return by how many samples ``(n,)`` is late against a reference of about its length."""
    length = min(len(signal), len(reference))
    correlation = correlate(signal[:length], reference[:length], mode="full", method="fft")
    return int(np.argmax(correlation)) - (length - 1)
