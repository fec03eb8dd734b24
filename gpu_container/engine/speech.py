"""Where somebody speaks (Silero VAD, version 6), and how loud that is against the pauses."""

from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from gpu_container.engine.models import load_file
from gpu_container.engine.stft import Real

VAD_RATE_HZ: Final = 16_000
VAD_FRAME: Final = 512
VAD_FRAME_S: Final = VAD_FRAME / VAD_RATE_HZ

_CONTEXT: Final = 64
"""Samples before each frame that the network wants to see again."""

FAINT: Final = 0.01
"""The network finds speech as well at a peak of -40 dBFS as at 0, and loses it from -50."""

INAUDIBLE: Final = 1e-4


class VoiceDetector:
    """Says how likely each frame of 32 ms holds speech; remembers what came before.

    Raises
    ------
    EngineError
        MODEL_UNAVAILABLE.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._session = open_session(load_file("silero-vad", directory=directory))
        self._context: Real = np.zeros(_CONTEXT, np.float32)
        self._peak = 0.0
        self._h: Real = np.zeros((1, 1, 128), np.float32)
        self._c: Real = np.zeros((1, 1, 128), np.float32)

    def process(self, signal: Real) -> Real:
        """Take ``(T * 512,)`` at 16 kHz, return T probabilities."""
        with_context = np.concatenate([self._context, signal])
        self._peak = max(0.5 * self._peak, float(np.abs(signal).max(initial=0)))
        self._context = with_context[-_CONTEXT:].copy()
        frames = np.lib.stride_tricks.sliding_window_view(with_context, VAD_FRAME + _CONTEXT)[::VAD_FRAME]  # (T, 576)
        feeds = {"input": frames * _gain(self._peak), "h": self._h, "c": self._c}
        probability, self._h, self._c = self._session.run(None, feeds)
        return np.asarray(probability, np.float32)


def _gain(peak: float) -> np.float32:
    """Return what brings a recording into the network's range: it is deaf to faint ones and to huge ones."""
    if FAINT <= peak <= 1.0 or peak < INAUDIBLE:
        return np.float32(1)
    return np.float32((FAINT if peak < FAINT else 1.0) / peak)


@lru_cache(maxsize=4)
def open_session(path: Path) -> ort.InferenceSession:
    """Open a small network on one thread; sessions keep no state and may be shared."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


SPEECH: Final = 0.7
"""Probability from which a frame counts as speech: Silero's own 0.5 lets loud crowds pass."""

PAUSE: Final = 0.15
"""Probability below which a frame may be a pause."""

GUARD_FRAMES: Final = 3
"""0.1 s to either side of speech is not a pause: soft onsets and endings, echo."""

SHORTEST_PAUSE_FRAMES: Final = 8
"""A quarter of a second: the noise between the words is not known from less."""

COLLAPSE_DB: Final = 15.0
"""A passage of speech that has lost this much is gone.

Good enhancement takes the noise and leaves the speech: at 0 dB signal to noise that is 3 dB, and 2 passages in 100
lost more than 10 dB where speech survived. An attenuation of 15 dB puts a talk below its former noise.
"""

PASSAGE_FRAMES: Final = 16
"""Half a second, a word or two; single frames fall further between syllables."""

SPEECH_OF_PASSAGE: Final = 12

MAX_SNR_DB: Final = 100.0
MIN_SNR_DB: Final = -20.0
_DROPS: Final = 1201
"""Losses from -60 to +60 dB by tenths: counted, not kept, so that ten hours need no more room than one."""


class SpeechLevels:
    """Levels of speech and pauses on both sides of an enhancement; what is speech is decided on the input."""

    def __init__(self) -> None:
        self._waiting = np.zeros((3, 0))  # probability, power before, power after
        self._frames = 0
        self._speech_frames = 0
        self._pause_frames = 0
        self._speech_power = np.zeros(2)
        self._pause_power = np.zeros(2)
        self._passage = np.zeros((3, 0))
        self._drops = np.zeros(_DROPS, np.int64)

    def add(self, probability: Real, before: Real, after: Real) -> NDArray[np.bool_]:
        """Take T frames' probability of speech and powers, return which of them are speech."""
        frames = np.stack([probability, before, after]).astype(np.float64)  # (3, T)
        is_speech = probability >= SPEECH
        self._frames += len(is_speech)
        self._speech_frames += int(np.count_nonzero(is_speech))
        self._speech_power += frames[1:, is_speech].sum(axis=1)
        self._add_pauses(frames)
        self._add_passages(frames)
        return is_speech

    @property
    def share(self) -> float | None:
        """Share of the recording in which somebody speaks; None if it is shorter than a frame."""
        return self._speech_frames / self._frames if self._frames else None

    def snr_db(self) -> tuple[float | None, float | None]:
        """Return the level of speech over the level of the pauses, before and after; None where there are not both."""
        if not self._speech_frames or self._pause_frames < SHORTEST_PAUSE_FRAMES:
            return None, None
        noise = self._pause_power / self._pause_frames
        speech = self._speech_power / self._speech_frames - noise
        ratio = np.maximum(speech, 1e-20) / np.maximum(noise, 1e-20)
        before, after = np.clip(10 * np.log10(ratio), MIN_SNR_DB, MAX_SNR_DB)
        return float(before), float(after)

    def collapsed_share(self, gain_db: float = 0.0) -> float:
        """Return the share of passages of speech that lost more than `COLLAPSE_DB`, ``gain_db`` set aside."""
        passages = self._drops.sum()
        if not passages:
            return 0.0
        limit = round((COLLAPSE_DB - gain_db) * 10) + _DROPS // 2
        return float(self._drops[int(np.clip(limit, 0, _DROPS)) :].sum() / passages)

    def _add_pauses(self, frames: NDArray[np.float64]) -> None:
        """Count frames without speech in or near them; the last ones wait for what follows."""
        known = np.concatenate([self._waiting, frames], axis=1)
        self._waiting = known[:, -2 * GUARD_FRAMES :]
        if known.shape[1] <= 2 * GUARD_FRAMES:
            return
        near = np.lib.stride_tricks.sliding_window_view(known[0], 2 * GUARD_FRAMES + 1).max(axis=-1)
        inner = known[:, GUARD_FRAMES:-GUARD_FRAMES]
        is_pause = (inner[0] < PAUSE) & (near < SPEECH)
        self._pause_frames += int(np.count_nonzero(is_pause))
        self._pause_power += inner[1:, is_pause].sum(axis=1)

    def _add_passages(self, frames: NDArray[np.float64]) -> None:
        """Count what passages of half a second have lost, where they are mostly speech."""
        is_speech = frames[0] >= SPEECH
        known = np.concatenate([self._passage, np.vstack([is_speech, frames[1:] * is_speech])], axis=1)
        self._passage = known[:, -(PASSAGE_FRAMES - 1) :]
        if known.shape[1] < PASSAGE_FRAMES:
            return
        speech, before, after = np.lib.stride_tricks.sliding_window_view(known, PASSAGE_FRAMES, axis=1).sum(axis=-1)
        kept = speech >= SPEECH_OF_PASSAGE
        drop_db = 10 * np.log10(np.maximum(before[kept], 1e-20) / np.maximum(after[kept], 1e-20))
        bins = np.clip(np.round(drop_db * 10).astype(int) + _DROPS // 2, 0, _DROPS - 1)
        np.add.at(self._drops, bins, 1)
