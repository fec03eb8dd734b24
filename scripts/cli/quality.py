"""How a recording sounds, in numbers and in a picture: DNSMOS P.835 and spectrograms, for the demo."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import soxr

from scripts.local.paths import LauncherError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MOS_RATE_HZ = 16_000
MOS_WINDOW = int(9.01 * MOS_RATE_HZ)
MOS_HOP = MOS_RATE_HZ
MAX_WINDOWS = 12
"""DNSMOS costs 0.15 CPU-s a window; this many, spread over the recording, are enough for a mean."""

# The network's raw scores → mean opinion scores, highest power first (from speechmos' own source).
SIGNAL_FIT = (-0.08397278, 1.22083953, 0.0052439)
BACKGROUND_FIT = (-0.13166888, 1.60915514, -0.39604546)
OVERALL_FIT = (-0.06766283, 1.11546468, 0.04602535)

FIGURE_RATE_HZ = 48_000
FFT_SIZE = 1024
FLOOR_DB, CEILING_DB = -140.0, -50.0
DITHER = 1e-9
"""Keeps digital silence from becoming the logarithm of zero."""


@dataclass(frozen=True)
class Quality:
    """DNSMOS P.835, each from 1 (bad) to 5 (excellent)."""

    signal: float
    background: float
    overall: float


def read_mono(path: Path, rate_hz: int) -> "Samples":
    """Return the mean of all channels at ``rate_hz``."""
    samples, own_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), own_rate_hz, rate_hz), dtype=np.float32)


def dnsmos(path: Path) -> Quality:
    """Return the mean DNSMOS of up to `MAX_WINDOWS` windows of a recording.

    The network comes with ``speechmos``; its Python module is not imported, because it wants librosa for a
    second network that nobody asks here.
    """
    samples = np.clip(read_mono(path, MOS_RATE_HZ), -1.0, 1.0)
    if not samples.size:
        raise LauncherError(f"{path} holds no samples.")
    samples = np.tile(samples, -(-MOS_WINDOW // samples.size)) if samples.size < MOS_WINDOW else samples
    starts = np.arange(0, samples.size - MOS_WINDOW + 1, MOS_HOP)
    if starts.size > MAX_WINDOWS:
        starts = starts[np.linspace(0, starts.size - 1, MAX_WINDOWS).round().astype(int)]
    session = _network()
    raw = np.array([session.run(None, {"input_1": samples[None, at : at + MOS_WINDOW]})[0][0] for at in starts])
    fits = (SIGNAL_FIT, BACKGROUND_FIT, OVERALL_FIT)
    return Quality(*(float(np.polyval(fit, raw[:, column]).mean()) for column, fit in enumerate(fits)))


def _network() -> Any:
    import onnxruntime  # noqa: PLC0415 - a second that only the demo pays

    package = importlib.util.find_spec("speechmos")
    if package is None or not package.submodule_search_locations:
        raise LauncherError("speechmos is missing. Run `make setup`.")
    model = Path(package.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx"
    return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])


def draw_spectrograms(before: Path, after: Path, picture: Path) -> None:
    """Write both spectrograms on one scale, so that what is gone can be seen."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second that only the demo pays

    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True, sharey=True)
    for axis, path, title in zip(axes, (before, after), ("before", "after"), strict=True):
        _, _, _, image = axis.specgram(
            read_mono(path, FIGURE_RATE_HZ) + DITHER,
            NFFT=FFT_SIZE,
            noverlap=FFT_SIZE // 2,
            Fs=FIGURE_RATE_HZ,
            cmap="magma",
            vmin=FLOOR_DB,
            vmax=CEILING_DB,
        )
        axis.set(title=f"{title}: {path.name}", ylabel="frequency [Hz]")
    axes[-1].set_xlabel("time [s]")
    figure.colorbar(image, ax=axes, label="power density [dB/Hz]")
    figure.savefig(picture, dpi=110)
