"""What no recording holds: numbers that are none, and absurd ones."""

from typing import Final

import numpy as np

from gpu_container.engine.stft import Real

ABSURD: Final = np.float32(65_536)
"""Louder than 16-bit samples that were taken for floats by mistake; beyond it the network's powers overflow."""


def mended(block: Real) -> tuple[Real, int]:
    """Take what is not a number for silence, and what no recording holds for the loudest that one might.

    Returns
    -------
    block
        ``(channels, n)``, the same one where there was nothing to mend.
    count
        Samples that were mended.
    """
    sane = np.abs(block) <= ABSURD  # False for NaN too
    if sane.all():
        return block, 0
    finite = np.where(np.isfinite(block), block, np.float32(0))
    return np.clip(finite, -ABSURD, ABSURD), int(np.count_nonzero(~sane))
