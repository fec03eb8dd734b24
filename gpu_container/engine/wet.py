"""The wet track: a recording fully enhanced, kept so that every further strength is decoding, mixing and encoding."""

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from gpu_container.contract import ErrorCode, Part
from gpu_container.engine.audio_io import Decoding, Encoding, decode, encode
from gpu_container.engine.blocks import BlockQueue
from gpu_container.engine.byte_io import ByteSink, ByteSource, FileSink, FileSource
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import AudioFormat, OutputSpec
from gpu_container.engine.seams import join
from gpu_container.engine.stft import HOP, RATE_HZ, Real

HEADROOM: Final = np.float32(0.5)
"""Kept as 24-bit FLAC at half level: what whole samples give does not pass +6 dBFS by much, and rarely."""

_FLAC_BITS: Final = 24
_FLAC: Final = AudioFormat("flac", "flac", 48_000, 1, bits=_FLAC_BITS)
_FLOAT: Final = AudioFormat("wav", "float", 48_000, 1, subtype="FLOAT", major="RF64")
"""For recordings that themselves hold any level: some are recorded far beyond full scale, to be brought down later."""


class WetStore(Protocol):
    """Where the wet track of one recording, model and dereverberation is kept."""

    def kept(self) -> AbstractContextManager[ByteSource | None]:
        """Open the kept track; None where there is none."""
        ...

    def keep(self) -> AbstractContextManager[ByteSink]:
        """Take a new track; it is there when the context ends well."""
        ...


@dataclass(frozen=True)
class FolderWet:
    """A wet track in a folder on this machine."""

    folder: Path

    @contextmanager
    def kept(self) -> Iterator[ByteSource | None]:
        """Open the kept track; None where there is none."""
        path = self.folder / "wet"
        if not path.exists():
            yield None
            return
        with FileSource(path) as source:
            yield source

    @contextmanager
    def keep(self) -> Iterator[ByteSink]:
        """Take a new track; it is there when the context ends well."""
        partial = self.folder / "wet.part"
        with FileSink(partial) as sink:
            yield sink
        partial.replace(self.folder / "wet")


OVERLAP_S: Final = 2
"""A part goes on by this beyond its end, if the recording does: within it its neighbour takes over."""


@dataclass(frozen=True)
class WetParts:
    """A wet track in parts that follow one another, each in a place of its own, made by `parts.enhance_part`.

    Raises
    ------
    ValueError
        If they leave anything out, or one is too short for its seams.
    """

    stores: tuple[tuple[Part, WetStore], ...]

    def __post_init__(self) -> None:
        parts = [part for part, _ in self.stores]
        ends = [0, *(part.end_s for part in parts)]
        if [part.start_s for part in parts] != ends[:-1] or ends[-1] is not None:
            raise ValueError("the parts do not make a whole recording")
        if any(end_s - part.start_s <= OVERLAP_S for part in parts if (end_s := part.end_s) is not None):
            raise ValueError(f"a part of {OVERLAP_S} s or less has no room for its seams")


@contextmanager
def kept_track(kept: WetStore | WetParts, found: AudioFormat) -> Iterator[Iterator[Real] | None]:
    """Yield the kept track of a recording, ``(channels, n)`` float32 each; None where there is none that fits.

    Raises
    ------
    EngineError
        ENGINE_FAILED, while its blocks are taken, where it turns out to be damaged or where one of its parts is
        missing: nobody's input is to blame.
    """
    if isinstance(kept, WetParts):
        with closing(_put_together(kept, found)) as blocks:
            yield blocks
        return
    with _whole_track(kept, found) as blocks_or_none:
        yield blocks_or_none


@contextmanager
def _whole_track(store: WetStore, found: AudioFormat) -> Iterator[Iterator[Real] | None]:
    with ExitStack() as stack:
        kept = stack.enter_context(store.kept())
        recording = stack.enter_context(_opened(kept)) if kept else None
        fits = recording and (recording.format.rate_hz, recording.format.channels) == (found.rate_hz, found.channels)
        yield _blocks(recording) if recording and fits else None


@contextmanager
def _opened(kept: ByteSource) -> Iterator[Decoding | None]:
    with ExitStack() as stack:
        try:
            recording = stack.enter_context(decode(kept))
        except EngineError as error:
            if not error.code.is_input_fault:
                raise
            recording = None
        yield recording


def _put_together(track: WetParts, found: AudioFormat) -> Generator[Real]:
    """Yield the parts, each from where the one before is quietest; two are open at most."""
    old = np.zeros((found.channels, 0), np.float32)  # what the part before has beyond its end
    for part, store in track.stores:
        with _whole_track(store, found) as blocks:
            if blocks is None:
                raise EngineError(ErrorCode.ENGINE_FAILED, f"Part {part.number} of the wet track is missing.")
            reader = _Reader(blocks, found.channels)
            new = np.concatenate([old[:, :0], *reader.take(old.shape[1])], axis=1)
            if old.shape[1]:
                yield join(old, new, found.rate_hz * HOP // RATE_HZ)
            if part.end_s is None:
                yield from reader.take()
                return
            yield from reader.take((part.end_s - part.start_s) * found.rate_hz - new.shape[1])
            old = np.concatenate([old[:, :0], *reader.take()], axis=1)


@dataclass
class _Reader:
    """Blocks of any size, taken by the frame."""

    blocks: Iterator[Real]
    channels: int

    def __post_init__(self) -> None:
        self._waiting = BlockQueue(self.channels)

    def take(self, frames: int | None = None) -> Iterator[Real]:
        """Yield so many frames, or all that are left.

        Raises
        ------
        EngineError
            ENGINE_FAILED where there are not as many.
        """
        taken = 0
        while frames is None or taken < frames:
            if not self._waiting.frames:
                block = next(self.blocks, None)
                if block is None:
                    break
                self._waiting.put(block)
            piece = self._waiting.take(self._waiting.frames if frames is None else frames - taken)
            taken += piece.shape[1]
            yield piece
        if frames is not None and taken < frames:
            raise EngineError(ErrorCode.ENGINE_FAILED, "A part of the wet track is shorter than it should be.")


def _blocks(recording: Decoding) -> Iterator[Real]:
    gain = np.float32(1) if recording.format.holds_any_level else 1 / HEADROOM
    try:
        for block in recording.blocks():
            yield block * gain
    except EngineError as error:
        if not error.code.is_input_fault:
            raise
        raise EngineError(ErrorCode.ENGINE_FAILED, "The kept wet track is damaged.") from error


def _rounded(track: Real) -> Real:
    """Round to the track's bits, as the encoder does; float32 holds each of its steps exactly."""
    steps = np.float32(2 ** (_FLAC_BITS - 1))
    rounded: Real = np.clip(np.rint(track * steps), -steps, steps - 1) / steps
    return rounded


@dataclass(frozen=True)
class WetWriter:
    """A wet track on its way to where it is kept."""

    out: Encoding
    holds_any_level: bool

    def write(self, wet: Real) -> Real:
        """Append ``(channels, n)`` float32; return it as it will be read.

        Whoever mixes that gives the same result as whoever finds the track later: a lossy encoder makes a hundredth of
        full scale out of a difference in the last bit.
        """
        kept = wet if self.holds_any_level else _rounded(wet * HEADROOM)
        self.out.write(kept)
        return kept if self.holds_any_level else kept / HEADROOM


@contextmanager
def writing(store: WetStore, found: AudioFormat) -> Iterator[WetWriter]:
    """Open a track for a recording; it is kept when the context ends well."""
    like = _FLOAT if found.holds_any_level else _FLAC
    track = replace(like, rate_hz=found.rate_hz, channels=found.channels)
    with store.keep() as sink, encode(sink, OutputSpec(track)) as out:
        yield WetWriter(out, track.holds_any_level)
