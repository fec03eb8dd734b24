"""Whole recordings in memory, for what measures and makes them; the engine itself never holds one."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpu_container.engine.audio_io import blocks
from gpu_container.engine.formats import identify


def read(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return a recording, ``(channels, n)`` float32, and its rate in Hz."""
    found = identify(path)
    return np.concatenate(list(blocks(path, found)), axis=1), found.rate_hz
