"""What listeners would say: DNSMOS P.835 on a few windows of speech.

Reddy, Gopal, Cutler: "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric to evaluate noise
suppressors", ICASSP 2022; the scales are those of ITU-T P.835.
"""

import heapq
import threading
from pathlib import Path
from typing import Final

import numpy as np

from gpu_container.contract import SpeechQuality
from gpu_container.engine.models import load_file
from gpu_container.engine.speech import VAD_FRAME, open_session
from gpu_container.engine.stft import Real

MOS_RATE_HZ: Final = 16_000
MOS_WINDOW: Final = 144_160
"""9.01 s: what the network takes."""

MAX_WINDOWS: Final = 12
"""A window costs 0.15 CPU-s on each side; this many are enough for a mean."""

SHORTEST: Final = MOS_RATE_HZ
"""Repeating less than a second until it fills a window tells nothing."""

SEED: Final = 835

_ONE_AT_A_TIME: Final = threading.Lock()
"""The network takes 200 MB for some seconds: recordings that end at the same moment take turns."""

# The network's raw scores to mean opinion scores, highest power first (from the authors' own code).
SIGNAL_FIT: Final = (-0.08397278, 1.22083953, 0.0052439)
BACKGROUND_FIT: Final = (-0.13166888, 1.60915514, -0.39604546)
OVERALL_FIT: Final = (-0.06766283, 1.11546468, 0.04602535)


def mean_opinion(windows: list[Real], *, directory: Path | None = None) -> SpeechQuality:
    """Return the mean DNSMOS of windows of ``(144160,)`` at 16 kHz, at least one.

    Raises
    ------
    EngineError
        MODEL_UNAVAILABLE.
    """
    with _ONE_AT_A_TIME:
        session = open_session(load_file("dnsmos", directory=directory))
        raw = np.array([session.run(None, {"input_1": np.clip(window, -1, 1)[None]})[0][0] for window in windows])
        del session  # before the next one's
    fits = (SIGNAL_FIT, BACKGROUND_FIT, OVERALL_FIT)
    signal, background, overall = (round(float(np.polyval(fit, raw[:, at]).mean()), 3) for at, fit in enumerate(fits))
    return SpeechQuality(signal=signal, background=background, overall=overall)


def filled(signal: Real) -> Real:
    """Repeat ``(..., n)`` until it fills a window."""
    repeats = -(-MOS_WINDOW // signal.shape[-1])
    return np.tile(signal, repeats)[..., :MOS_WINDOW]


class WindowSampler:
    """Keeps at most twelve windows of a stream, drawn at random but rather where there is speech.

    Weighted reservoir sampling (Efraimidis and Spirakis, 2006) with a fixed seed: the same recording gives the same
    windows, and memory holds those alone. The weight is the square of a window's share of speech.
    """

    def __init__(self) -> None:
        self._random = np.random.default_rng(SEED)
        self._recent: Real = np.zeros((2, 0), np.float32)
        self._speech: Real = np.zeros(0, np.float32)
        self._drawn: list[tuple[float, int, Real]] = []
        self._offered = 0

    def add(self, pair: Real, probability: Real) -> None:
        """Take ``(2, T * 512)``, before and after at 16 kHz, and T probabilities of speech."""
        self._recent = np.concatenate([self._recent, pair], axis=1)[:, -MOS_WINDOW:]
        self._speech = np.concatenate([self._speech, probability])[-(MOS_WINDOW // VAD_FRAME) :]
        if self._recent.shape[1] == MOS_WINDOW:
            self._offer()

    def finish(self) -> list[Real]:
        """Return the windows in the order of the recording, ``(2, 144160)`` each; a short recording is repeated."""
        if not self._drawn and self._recent.shape[1] >= SHORTEST:
            return [filled(self._recent)]
        return [window for _, _, window in sorted(self._drawn, key=lambda drawn: drawn[1])]

    def _offer(self) -> None:
        weight = float(np.mean(self._speech)) ** 2 + 1e-9
        key = float(np.log(self._random.random()) / weight)
        self._offered += 1
        if len(self._drawn) == MAX_WINDOWS and key <= self._drawn[0][0]:
            return
        drawn = (key, self._offered, self._recent.copy())
        (heapq.heappushpop if len(self._drawn) == MAX_WINDOWS else heapq.heappush)(self._drawn, drawn)
