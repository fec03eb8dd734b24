"""Decodes and encodes every file of a folder, and shows what of each has stayed as it was.

``python -m scripts.formats_table DIR [--strength 100] [--to FORMAT]``: without a strength nothing is done to the
sound, so that the table is about files alone. The columns are read with FFmpeg and libsndfile directly, not with the
engine's own reader.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import soundfile as sf

from gpu_container.contract import OutputFormat
from gpu_container.engine.audio_io import decode, encode
from gpu_container.engine.byte_io import FileSink, FileSource
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import output_spec

_HEADINGS = ("file", "container", "codec", "rate", "ch", "bits", "kbit/s", "frames", "tags", "cover", "other streams")


@dataclass(frozen=True)
class Look:
    """What an independent reader sees in a file; ``others`` are hashes of the packets beside the sound."""

    container: str
    codec: str
    rate_hz: int
    channels: int
    bits: str
    kbit_s: int
    frames: int
    tags: frozenset[tuple[str, str]]
    covers: tuple[str, ...]
    others: tuple[str, ...]


def look(path: Path) -> Look:
    """Read a file with FFmpeg."""
    with av.open(str(path)) as file:
        sound = file.streams.audio[0]
        context = sound.codec_context
        hashes = {stream.index: hashlib.sha256() for stream in file.streams if stream is not sound}
        sound_bytes = 0
        for packet in file.demux():
            if packet.stream is sound:
                sound_bytes += packet.size
            elif packet.size:
                hashes[packet.stream_index].update(bytes(packet))
        covers = {stream.index for stream in file.streams if stream.disposition & av.stream.Disposition.attached_pic}
        frames = _frames(path)
        return Look(
            container=file.format.name,
            codec=context.name,
            rate_hz=context.sample_rate,
            channels=context.channels,
            bits=_bits(path, context.format.name),
            kbit_s=round(sound_bytes * 8 / 1000 / max(frames / context.sample_rate, 1e-9)),
            frames=frames,
            tags=frozenset(_tags({**sound.metadata, **file.metadata})),
            covers=tuple(digest.hexdigest()[:8] for index, digest in hashes.items() if index in covers),
            others=tuple(digest.hexdigest()[:8] for index, digest in hashes.items() if index not in covers),
        )


def _frames(path: Path) -> int:
    with av.open(str(path)) as file:
        frames = sum(frame.samples for frame in file.decode(audio=0))
        stream = file.streams.audio[0]
        if file.format.name.startswith("mov") and stream.duration and stream.time_base:
            # The edit list says where the sound ends; FFmpeg decodes the last packet to its end.
            frames = min(frames, round(stream.duration * stream.time_base * stream.codec_context.sample_rate))
        return frames


def _bits(path: Path, sample_format: str) -> str:
    try:
        return str(sf.info(path).subtype)
    except sf.LibsndfileError:
        return sample_format


def _tags(found: dict[str, str]) -> Iterator[tuple[str, str]]:
    written_anew = {"encoder", "duration", "major_brand", "minor_version", "compatible_brands", "vendor_id"}
    return ((name.lower(), value) for name, value in found.items() if name.lower() not in written_anew)


def round_trip(source: Path, sink: Path, wanted: OutputFormat | None) -> tuple[str, ...]:
    """Decode and encode a file; return the warnings."""
    with FileSource(source) as original, decode(original) as decoding:
        spec = output_spec(decoding.format, wanted)
        with FileSink(sink) as out, encode(out, spec, original=original) as encoding:
            for block in decoding.blocks():
                encoding.write(block)
    return tuple(warning.message for warning in encoding.warnings)


def _enhance(source: Path, sink: Path, strength: float) -> tuple[str, ...]:
    from gpu_container.engine.models import load_model  # noqa: PLC0415 - the table alone needs no network
    from gpu_container.engine.pipeline import EnhanceOptions, enhance_file  # noqa: PLC0415

    model = load_model("dfn3", providers=["CPUExecutionProvider"])
    done = enhance_file(source, sink, model=model, options=EnhanceOptions(strength=strength))
    return tuple(warning.message for warning in done.report.warnings)


def row(before: Look, after: Look) -> tuple[str, ...]:
    """Return the cells: one value where nothing changed, else both."""

    def pair(one: object, other: object) -> str:
        return str(one) if one == other else f"{one} -> {other}"

    kept = len(before.tags & after.tags)
    return (
        pair(before.container.split(",")[0], after.container.split(",")[0]),
        pair(before.codec, after.codec),
        pair(before.rate_hz, after.rate_hz),
        pair(before.channels, after.channels),
        pair(before.bits, after.bits),
        pair(before.kbit_s, after.kbit_s),
        pair(before.frames, after.frames),
        f"{kept} of {len(before.tags)}",
        _identical(before.covers, after.covers),
        _identical(before.others, after.others),
    )


def _identical(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    if not before:
        return "-" if not after else "new"
    return f"identical {' '.join(before)}" if before == after else f"{' '.join(before)} -> {' '.join(after) or 'none'}"


def main() -> int:
    """Run ``python -m scripts.formats_table DIR``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strength", type=float, help="enhance (dfn3) instead of passing the sound on")
    parser.add_argument("--to", type=OutputFormat, choices=list(OutputFormat), help="a chosen format")
    arguments = parser.parse_args()
    print("| " + " | ".join(_HEADINGS) + " |")
    print("|" + "---|" * len(_HEADINGS))
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted(path for path in arguments.folder.iterdir() if path.is_file()):
            sink = Path(folder, "out")
            try:
                if arguments.strength is None:
                    warnings = round_trip(source, sink, arguments.to)
                else:
                    warnings = _enhance(source, sink, arguments.strength)
            except EngineError as error:
                print(f"| {source.name} | {error.code}: {error.message} |")
                failed += 1
                continue
            print("| " + " | ".join((source.name, *row(look(source), look(sink)))) + " |")
            for warning in warnings:
                print(f"| | {warning} |")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
