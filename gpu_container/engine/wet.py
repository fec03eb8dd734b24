"""The wet track: a recording fully enhanced, kept so that every further strength is decoding, mixing and encoding."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from gpu_container.engine.audio_io import Encoding, decode, encode
from gpu_container.engine.byte_io import ByteSink, ByteSource, FileSink, FileSource
from gpu_container.engine.formats import AudioFormat, OutputSpec
from gpu_container.engine.stft import Real

HEADROOM: Final = np.float32(0.5)
"""Kept as 24-bit FLAC at half level: what is louder than +6 dBFS would meet the limiter anyway."""


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
        path = self.folder / "wet.flac"
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
        partial.replace(self.folder / "wet.flac")


@contextmanager
def reading(kept: ByteSource) -> Iterator[Iterator[Real]]:
    """Yield the blocks of a kept track, ``(channels, n)`` float32 each."""
    with decode(kept) as recording:
        yield (block / HEADROOM for block in recording.blocks())


@dataclass(frozen=True)
class WetWriter:
    """A wet track on its way to where it is kept."""

    out: Encoding

    def write(self, wet: Real) -> None:
        """Append ``(channels, n)`` float32."""
        self.out.write(np.clip(wet * HEADROOM, -1, 1))


@contextmanager
def writing(store: WetStore, *, rate_hz: int, channels: int) -> Iterator[WetWriter]:
    """Open a track for writing; it is kept when the context ends well."""
    flac = AudioFormat("flac", "flac", rate_hz, channels, bits=24)
    with store.keep() as sink, encode(sink, OutputSpec(flac)) as out:
        yield WetWriter(out)
