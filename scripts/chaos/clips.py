"""What the clients send: short and long recordings of real speech, and files that hold none."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from scripts.local.paths import REPO
from scripts.recordings import read

SAMPLE = REPO / "samples" / "librivox-noisy.mp3"
SHORT_S = (3.0, 15.0)
LONG_S = (60.0, 80.0)
"""Long enough that there is a middle to be hit in."""

ONE_IN_LONG = 4
SHARED = 0.3
"""So many recordings are asked for twice, at two strengths: the second job reads what the first has kept."""

FADE_S = 0.02
FORMATS = ("wav", "flac", "mp3")

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """A file that one client uploads, and the strengths at which it wants it enhanced."""

    path: Path
    client: int
    strengths: tuple[int, ...]
    is_poison: bool = False


def plan(folder: Path, *, jobs: int, poison: int, clients: int, seed: int) -> list[Recording]:
    """Write the files of ``jobs`` jobs, ``poison`` of them hopeless, into ``folder``; return them in random order."""
    rng = random.Random(seed)  # noqa: S311 - a drill that can be repeated
    voice, rate_hz = read(SAMPLE)
    owners = cycle(range(clients))
    bad = [Recording(path, next(owners), (50,), is_poison=True) for path in _poison(folder, poison, seed)]
    good: list[Recording] = []
    left = jobs - poison
    while left:
        number = len(good)
        strengths = tuple(rng.sample(range(1, 101), 2 if left > 1 and rng.random() < SHARED else 1))
        length_s = rng.uniform(*(LONG_S if number % ONE_IN_LONG == 0 else SHORT_S))
        path = folder / f"talk-{number:02}.{FORMATS[number % len(FORMATS)]}"
        sf.write(path, _talk(voice, rate_hz, length_s, rng).T, rate_hz)
        good.append(Recording(path, next(owners), strengths))
        left -= len(strengths)
    return rng.sample(good + bad, len(good) + len(bad))


def _talk(voice: Samples, rate_hz: int, length_s: float, rng: random.Random) -> Samples:
    """Cut pieces of the recording, at changing levels, and join them; returns ``(channels, n)``, one channel or two."""
    pieces: list[Samples] = []
    missing = int(length_s * rate_hz)
    while missing > 0:
        size = min(missing, int(rng.uniform(2, 8) * rate_hz))
        start = rng.randrange(voice.shape[1] - size)
        pieces.append(_faded(voice[:, start : start + size], int(FADE_S * rate_hz)) * np.float32(rng.uniform(0.4, 1.0)))
        missing -= size
    talk = np.concatenate(pieces, axis=1)
    return talk if rng.random() < 0.7 else np.concatenate([talk, np.roll(talk, 40, axis=1)], axis=0)


def _faded(piece: Samples, fade: int) -> Samples:
    fade = min(fade, piece.shape[1] // 2)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    shaped = piece.copy()
    shaped[:, :fade] *= ramp
    shaped[:, piece.shape[1] - fade :] *= ramp[::-1]
    return shaped


def _poison(folder: Path, count: int, seed: int) -> Sequence[Path]:
    """Write files that look like audio by their first bytes, or not at all, and hold none."""
    noise = np.random.default_rng(seed).bytes(60_000)
    kinds = (("wav", b"RIFF\x00\x10\x00\x00WAVEfmt \x10\x00\x00\x00"), ("mp3", b"\xff\xfb\x90\x64"), ("flac", b""))
    paths = []
    for number, (suffix, beginning) in zip(range(count), cycle(kinds), strict=False):
        path = folder / f"poison-{number}.{suffix}"
        path.write_bytes(beginning + noise[number:])
        paths.append(path)
    return paths
