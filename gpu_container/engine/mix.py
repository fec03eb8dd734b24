"""Strength: how much of the enhancement is heard."""

import numpy as np

from gpu_container.engine.stft import Real

LIMIT_DB_PER_STRENGTH = 0.4
"""Strength 50 lets 20 dB of the noise go, 99 nearly 40: even steps for the ear, which linear mixing would waste."""

KNEE = 0.95
"""Where the limiter begins, of full scale."""


def wet_gain(strength: float) -> float:
    """Return the enhanced signal's share in [0, 1] for a strength in [0, 100]; the rest is the input.

    Between the ends this equals an attenuation limit of ``0.4 * strength`` dB inside the network, since mixing aligned
    signals is mixing their spectra.
    """
    if strength >= 100:
        return 1.0
    return 1.0 - float(10.0 ** (-LIMIT_DB_PER_STRENGTH * strength / 20))


def mix(dry: Real, wet: Real, gain: float) -> Real:
    """Mix sample-aligned ``(channels, n)`` signals."""
    if gain >= 1.0:
        return wet
    return dry + np.float32(gain) * (wet - dry)


def limit(signal: Real) -> tuple[Real, int]:
    """Bend what is louder than `KNEE` so that nothing reaches full scale; returns the number of bent samples.

    Below the knee nothing changes; above it the curve is smooth and monotone, so there is never a wrap-around.
    """
    loud = np.abs(signal) > KNEE
    count = int(np.count_nonzero(loud))
    if not count:
        return signal, 0
    limited = signal.copy()
    over = (np.abs(signal[loud]) - KNEE) / (1 - KNEE)
    limited[loud] = np.sign(signal[loud]) * (KNEE + (1 - KNEE) * np.tanh(over) * np.float32(0.999))
    return limited, count
