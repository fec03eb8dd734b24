"""Whole recordings in memory, for what measures and makes them; the engine itself never holds one."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpu_container.engine.audio_io import decode
from gpu_container.engine.byte_io import FileSource


def read(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return a recording, ``(channels, n)`` float32, and its rate in Hz."""
    with FileSource(path) as source, decode(source) as decoding:
        return np.concatenate(list(decoding.blocks()), axis=1), decoding.format.rate_hz
