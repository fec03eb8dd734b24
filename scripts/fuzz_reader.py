"""Feeds damaged recordings to the reader, through its isolation, and counts what becomes of them.

``python -m scripts.fuzz_reader [--cases 4000] [--seed 1] [--corpus DIR]``: files of every format (by default two
seconds of the bundled recording, written here) are damaged by a seeded generator, decoded, mended and written again
as the engine does. A decoder may refuse or even crash; this process, and the next file, must not notice.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from gpu_container.contract import ErrorCode
from gpu_container.engine.audio_io import DecodeLimits, decode, encode
from gpu_container.engine.byte_io import FileSink
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import AudioFormat, OutputSpec, output_spec
from scripts.recordings import read

SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "librivox-noisy.mp3"
LIMITS = DecodeLimits(max_duration_s=600, stall_s=10, deadline_s=30)
_LOUDEST = np.float32(65_536)
_EXTREMES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01", b"\xfe")

Random = np.random.Generator
Mutation = Callable[[bytes, bytes, Random], bytes]


# What is damaged.

_WAV = {
    "PCM_U8": 8,
    "PCM_16": 16,
    "PCM_24": 24,
    "PCM_32": 32,
    "FLOAT": None,
    "DOUBLE": None,
    "ULAW": None,
    "ALAW": None,
}
_BY_SNDFILE = [
    *(("wav", "WAV", subtype, bits) for subtype, bits in _WAV.items()),
    ("wav", "WAVEX", "PCM_24", 24),
    ("wav", "RF64", "PCM_16", 16),
    ("wav", "W64", "PCM_16", 16),
    ("wav", "WAV", "IMA_ADPCM", None),
    ("wav", "WAV", "MS_ADPCM", None),
    ("aiff", "AIFF", "PCM_16", 16),
    ("aiff", "AIFF", "FLOAT", None),
    ("ogg", "OGG", "VORBIS", None),
]
_BY_FFMPEG = [
    *(("flac", "flac", 16), ("flac", "flac", 24), ("mp3", "mp3", None), ("aac", "aac", None), ("opus", "opus", None)),
    *(("m4a", "aac", None), ("m4a", "alac", 16), ("mp4", "mp3", None), ("mp4", "ac3", None), ("mp4", "opus", None)),
    *(("mov", "pcm_s24be", 24), ("mov", "pcm_alaw", None), ("mkv", "aac", None), ("mkv", "flac", 16)),
    *(("mkv", "mp3", None), ("mkv", "pcm_s16le", 16), ("webm", "opus", None), ("amr", "amr_nb", None)),
]
_FILMS = [
    ("mp4", "mpeg4", "aac"),
    ("mov", "mpeg4", "pcm_s16le"),
    ("matroska", "mpeg4", "aac"),
    ("webm", "libvpx", "libopus"),
]


def formats() -> Iterator[AudioFormat]:
    """Yield one format of each kind that is read and written."""
    for container, major, subtype, bits in _BY_SNDFILE:
        yield AudioFormat(container, subtype.lower(), 48_000, 1, subtype=subtype, major=major, bits=bits)
    for container, codec, bits in _BY_FFMPEG:
        rate_hz = 8_000 if codec == "amr_nb" else 48_000
        yield AudioFormat(container, codec, rate_hz, 1, bits=bits, tags={"title": "Title", "artist": "Artist"})


def write_corpus(folder: Path) -> None:
    """Write the first two seconds of the bundled recording in every format."""
    signal, rate_hz = read(SAMPLE)
    signal = signal[:1, : 2 * rate_hz]
    for number, like in enumerate(formats()):
        path = folder / f"{number:02}-{like.container}-{like.codec}-{like.major or ''}"
        with FileSink(path) as sink, encode(sink, OutputSpec(like)) as out:
            out.write(signal)
    for muxer, picture, sound in _FILMS:
        _write_film(folder / f"film-{muxer}-{sound}", muxer, picture, sound, signal)


def _write_film(path: Path, muxer: str, picture: str, sound: str, signal: NDArray[np.float32]) -> None:
    with av.open(str(path), "w", format=muxer) as file:
        pictures = cast("av.VideoStream", file.add_stream(picture, rate=10))
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        track = cast("av.AudioStream", file.add_stream(sound, rate=48_000, layout="mono"))
        for index in range(20):
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 10 * index, np.uint8))))
        file.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(signal[:1], format="flt", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        file.mux(track.encode(frame))
        file.mux(track.encode(None))


# How it is damaged.


def flip_bits(content: bytes, _: bytes, random: Random) -> bytes:
    """Flip up to fifty bits anywhere."""
    damaged = bytearray(content)
    for place in random.integers(len(damaged), size=random.integers(1, 50)):
        damaged[place] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def truncate(content: bytes, _: bytes, random: Random) -> bytes:
    """Keep the beginning."""
    return content[: int(random.integers(1, len(content)))]


def behead(content: bytes, _: bytes, random: Random) -> bytes:
    """Keep the end."""
    return content[int(random.integers(1, len(content))) :]


def edit_length(content: bytes, _: bytes, random: Random) -> bytes:
    """Put an extreme number before or behind a four-letter name: the length of a chunk, of an atom, a count."""
    names = [at for at in range(4, len(content) - 8) if content[at : at + 4].isalpha()]
    if not names:
        return edit_header(content, content, random)
    damaged = bytearray(content)
    for at in random.choice(names, size=int(random.integers(1, 4))):
        field_at = int(at) + int(random.choice([-4, 4, 8, 12]))
        damaged[field_at : field_at + 4] = _extreme(random, 4)
    return bytes(damaged[: len(content)])


def edit_header(content: bytes, _: bytes, random: Random) -> bytes:
    """Put extreme numbers into the first or the last few hundred bytes."""
    damaged = bytearray(content)
    for _edit in range(int(random.integers(1, 6))):
        size = int(random.choice([1, 2, 4, 8]))
        near = int(random.integers(min(512, len(damaged))))
        at = near if random.random() < 0.7 else len(damaged) - near - 1
        damaged[at : at + size] = _extreme(random, size)
    return bytes(damaged[: len(content)])


def splice(content: bytes, other: bytes, random: Random) -> bytes:
    """Go on with another file's bytes."""
    return content[: int(random.integers(len(content)))] + other[int(random.integers(len(other))) :]


def insert(content: bytes, other: bytes, random: Random) -> bytes:
    """Put a piece of another file into the middle."""
    at, begin = int(random.integers(len(content))), int(random.integers(len(other)))
    return content[:at] + other[begin : begin + int(random.integers(1, 4_096))] + content[at:]


def repeat(content: bytes, _: bytes, random: Random) -> bytes:
    """Say something twice, or many times."""
    at = int(random.integers(len(content)))
    piece = content[at : at + int(random.integers(1, 2_048))]
    return content[:at] + piece * int(random.choice([2, 3, 100])) + content[at:]


def blank(content: bytes, _: bytes, random: Random) -> bytes:
    """Fill a stretch with one value."""
    at, size = int(random.integers(len(content))), int(random.integers(1, len(content)))
    size = min(size, len(content) - at)
    return content[:at] + _EXTREMES[int(random.integers(len(_EXTREMES)))] * size + content[at + size :]


def noise(content: bytes, _: bytes, random: Random) -> bytes:
    """Keep a beginning of up to a hundred bytes, and go on at random."""
    return content[: int(random.integers(100))] + random.bytes(int(random.integers(1, 60_000)))


def _extreme(random: Random, size: int) -> bytes:
    if random.random() < 0.5:
        return random.bytes(size)
    return _EXTREMES[int(random.integers(len(_EXTREMES)))] * size


MUTATIONS: tuple[Mutation, ...] = (
    *(flip_bits, truncate, behead, edit_length, edit_length, edit_header, edit_header),
    *(splice, insert, repeat, blank, noise),
)


# What becomes of it.


@dataclass
class Tally:
    """What became of the files; all but the counts should stay empty."""

    inputs: int = 0
    accepted: int = 0
    written: int = 0
    not_numbers: int = 0
    refused: Counter[ErrorCode] = field(default_factory=Counter)
    unwritable: Counter[ErrorCode] = field(default_factory=Counter)
    decoder_crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    engine_failures: list[str] = field(default_factory=list)
    parent_crashes: list[str] = field(default_factory=list)
    nan_outputs: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the table's lines."""
        yield f"| inputs | {self.inputs} |"
        yield f"| accepted | {self.accepted} |"
        yield from (f"| refused: {code} | {count} |" for code, count in sorted(self.refused.items()))
        yield f"| accepted, with samples that are not numbers | {self.not_numbers} |"
        yield f"| written again | {self.written} |"
        yield from (f"| not written again: {code} | {count} |" for code, count in sorted(self.unwritable.items()))
        named = {
            "decoder-child crashes": self.decoder_crashes,
            "hangs": self.hangs,
            "failures of the engine": self.engine_failures,
            "parent crashes": self.parent_crashes,
            "outputs with NaN": self.nan_outputs,
        }
        for heading, names in named.items():
            yield f"| {heading} | {len(names)} |"
            yield from (f"| | {name} |" for name in names)


class _Bytes:
    """A file in memory, as source and as sink."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        return bytes(self.content[offset : offset + size_bytes])

    def write_at(self, offset: int, data: bytes) -> None:
        self.content[offset : offset + len(data)] = data


def fuzz(folder: Path, *, cases: int, seed: int, on_case: Callable[[int], None] = lambda _: None) -> Tally:
    """Damage ``cases`` files of a folder, and see."""
    corpus = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir()) if path.is_file()]
    tally = Tally()
    for case in range(cases):
        # A generator per case: any one of them can be looked at alone.
        random = np.random.default_rng([seed, case])
        name, content = corpus[int(random.integers(len(corpus)))]
        _, other = corpus[int(random.integers(len(corpus)))]
        mutation = MUTATIONS[int(random.integers(len(MUTATIONS)))]
        _try(tally, f"case {case}: {name}, {mutation.__name__}", mutation(content, other, random))
        on_case(case)
    return tally


def _try(tally: Tally, name: str, content: bytes) -> None:
    tally.inputs += 1
    try:
        _pass_on(tally, name, _Bytes(content))
    except EngineError as error:
        _count(tally, name, error)
    except Exception as error:  # noqa: BLE001 - what must not happen is what is looked for
        tally.parent_crashes.append(f"{name}: {type(error).__name__}: {error}")


def _count(tally: Tally, name: str, error: EngineError) -> None:
    if "crashed" in error.message or "astray" in error.message:
        tally.decoder_crashes.append(f"{name}: {error.message}")
    if "too long to decode" in error.message:
        tally.hangs.append(name)
    if not error.code.is_input_fault:
        tally.engine_failures.append(f"{name}: {error.message}")
    tally.refused[error.code] += 1


def _pass_on(tally: Tally, name: str, source: _Bytes) -> None:
    with decode(source, limits=LIMITS) as decoding:
        blocks = list(decoding.blocks())
        found = decoding.format
    tally.accepted += 1
    tally.not_numbers += not all(np.isfinite(block).all() for block in blocks)
    mended = [np.clip(np.nan_to_num(block, posinf=0, neginf=0), -_LOUDEST, _LOUDEST) for block in blocks]
    sink = _Bytes()
    try:
        with encode(sink, output_spec(found), original=source, limits=LIMITS) as encoding:
            for block in mended:
                encoding.write(block if found.holds_any_level else np.clip(block, -1, 1))
    except EngineError as error:
        if "crashed" in error.message or not error.code.is_input_fault:
            raise
        tally.unwritable[error.code] += 1
        return
    with decode(sink, limits=LIMITS) as again:
        if not all(np.isfinite(block).all() for block in again.blocks()):
            tally.nan_outputs.append(name)
    tally.written += 1


def main() -> int:
    """Run ``python -m scripts.fuzz_reader``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="a folder of recordings to damage")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.corpus or Path(made)
        if not arguments.corpus:
            write_corpus(folder)
        tally = fuzz(folder, cases=arguments.cases, seed=arguments.seed, on_case=_show)
    print("\n".join(tally.lines()))
    return int(bool(tally.parent_crashes or tally.hangs or tally.engine_failures or tally.nan_outputs))


def _show(case: int) -> None:
    if case % 100 == 99 and sys.stderr.isatty():
        print(f"\r{case + 1}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
