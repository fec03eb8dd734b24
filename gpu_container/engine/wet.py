"""The wet track: a recording fully enhanced, kept so that every further strength is decoding, mixing and encoding."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from gpu_container.contract import ErrorCode
from gpu_container.engine.audio_io import Decoding, Encoding, decode, encode
from gpu_container.engine.byte_io import ByteSink, ByteSource, FileSink, FileSource
from gpu_container.engine.errors import EngineError
from gpu_container.engine.formats import AudioFormat, OutputSpec
from gpu_container.engine.stft import Real

HEADROOM: Final = np.float32(0.5)
"""Kept as 24-bit FLAC at half level: what whole samples give does not pass +6 dBFS by much, and rarely."""

_FLAC: Final = AudioFormat("flac", "flac", 48_000, 1, bits=24)
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


@contextmanager
def kept_track(store: WetStore, found: AudioFormat) -> Iterator[Iterator[Real] | None]:
    """Yield the kept track of a recording, ``(channels, n)`` float32 each; None where there is none that fits.

    Raises
    ------
    EngineError
        ENGINE_FAILED, while its blocks are taken, where it turns out to be damaged: nobody's input is to blame.
    """
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


def _blocks(recording: Decoding) -> Iterator[Real]:
    gain = np.float32(1) if recording.format.holds_any_level else 1 / HEADROOM
    try:
        for block in recording.blocks():
            yield block * gain
    except EngineError as error:
        if not error.code.is_input_fault:
            raise
        raise EngineError(ErrorCode.ENGINE_FAILED, "The kept wet track is damaged.") from error


@dataclass(frozen=True)
class WetWriter:
    """A wet track on its way to where it is kept."""

    out: Encoding
    holds_any_level: bool

    def write(self, wet: Real) -> None:
        """Append ``(channels, n)`` float32."""
        self.out.write(wet if self.holds_any_level else np.clip(wet * HEADROOM, -1, 1))


@contextmanager
def writing(store: WetStore, found: AudioFormat) -> Iterator[WetWriter]:
    """Open a track for a recording; it is kept when the context ends well."""
    like = _FLOAT if found.holds_any_level else _FLAC
    track = replace(like, rate_hz=found.rate_hz, channels=found.channels)
    with store.keep() as sink, encode(sink, OutputSpec(track)) as out:
        yield WetWriter(out, track.holds_any_level)
