"""Makes the bundled recording: public-domain speech in a small room with a fan, mains hum and passing traffic.

The speech is LibriVox' (public domain) "Sense and Sensibility", as carried by pocketsphinx' source package, which
the ordinary client fetches: ``pip download --no-deps --no-binary=:all: pocketsphinx==5.1.1``. Everything else is
synthesised with a fixed seed, so the same archive always gives the same recording.
"""

import argparse
import hashlib
import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray
from scipy.signal import fftconvolve, lfilter

from gpu_container.engine.audio_io import encode
from gpu_container.engine.byte_io import FileSink
from gpu_container.engine.formats import AudioFormat, OutputSpec

ARCHIVE_SHA256 = "675778b309a22dfc9b7d37f7621976bba491d2a5f8c59696bd77fd6d07271355"
FOLDER = "test/data/librivox/sense_and_sensibility_01_austen_64kb-"
CLIPS = ("0870", "0880", "0890", "0930")

SEED = 20240409
RATE_HZ = 44_100
DURATION_S = 12.0
SNR_DB = 5.0
REVERBERATION_S = 0.3
DIRECT_TO_REVERBERANT_DB = 6.0
PEAK = 0.5

Signal = NDArray[np.float64]


def read_speech(archive: Path) -> Signal:
    """Return the clips, joined by short pauses, ``(n,)`` at `RATE_HZ`."""
    parts: list[Signal] = []
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar if member.isfile()}
        for clip in CLIPS:
            name = next(name for name in members if name.endswith(f"{FOLDER}{clip}.wav"))
            stream = tar.extractfile(members[name])
            if stream is None:
                continue
            samples, rate_hz = sf.read(io.BytesIO(stream.read()))
            parts += [soxr.resample(samples, rate_hz, RATE_HZ), np.zeros(RATE_HZ // 4)]
    return np.concatenate(parts)[: int(DURATION_S * RATE_HZ)]


def add_room(speech: Signal, random: np.random.Generator) -> Signal:
    """Convolve with a direct path and an exponentially decaying tail."""
    time_s = np.arange(int(REVERBERATION_S * 1.5 * RATE_HZ)) / RATE_HZ
    tail = random.standard_normal(len(time_s)) * 10 ** (-3 * time_s / REVERBERATION_S)
    tail[: int(0.004 * RATE_HZ)] = 0
    tail *= 10 ** (-DIRECT_TO_REVERBERANT_DB / 20) / np.linalg.norm(tail)
    tail[0] = 1.0
    return np.asarray(fftconvolve(speech, tail)[: len(speech)])


def make_noise(length: int, random: np.random.Generator) -> Signal:
    """Return fan, hum and slow traffic, ``(length,)``, of unit power."""
    time_s = np.arange(length) / RATE_HZ
    white = random.standard_normal(length)
    fan = lfilter([0.05], [1, -0.95], white) + 0.15 * white
    traffic = lfilter([0.005], [1, -0.995], random.standard_normal(length)) * (1.5 + np.sin(2 * np.pi * 0.11 * time_s))
    hum = sum(np.sin(2 * np.pi * 50 * k * time_s) / k**1.5 for k in (1, 2, 3, 5))
    noise = fan / fan.std() + 0.7 * traffic / traffic.std() + 0.3 * hum / np.std(hum)
    return np.asarray(noise / noise.std())


def mix(speech: Signal, noise: Signal) -> Signal:
    """Mix at `SNR_DB` over the active speech."""
    active = speech[np.abs(speech) > 0.02 * np.abs(speech).max()]
    mixed = speech + noise * active.std() * 10 ** (-SNR_DB / 20)
    return np.asarray(mixed * PEAK / np.abs(mixed).max())


def main() -> int:
    """Run ``python -m scripts.make_sample ARCHIVE [--out FILE]``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, default=Path("samples/librivox-noisy.mp3"))
    arguments = parser.parse_args()
    if hashlib.sha256(arguments.archive.read_bytes()).hexdigest() != ARCHIVE_SHA256:
        print("this is another archive than the one the sample is made from", file=sys.stderr)
        return 1
    random = np.random.default_rng(SEED)
    speech = add_room(read_speech(arguments.archive), random)
    noisy = mix(speech, make_noise(len(speech), random)).astype(np.float32)
    tags = {"title": "Sense and Sensibility, noisy", "artist": "LibriVox (public domain)"}
    like = AudioFormat("mp3", "mp3", RATE_HZ, channels=1, bit_rate=128_000, tags=tags)
    with FileSink(arguments.out) as sink, encode(sink, OutputSpec(like)) as out:
        out.write(noisy[None])
    return 0


if __name__ == "__main__":
    sys.exit(main())
