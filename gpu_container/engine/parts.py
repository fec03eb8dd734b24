"""One part of a recording: its wet track, made as if the whole recording had been heard, without running all of it.

What decides about the whole is heard in every part alike: a part is the enhancement of a recording that is cut
together from the head and from the part's stretch with a lead-in. So the faint are lifted by one gain, the network
takes up the state that the head has left (`lanes` says why that is enough), and the gate in front of dereverberation
is as open as it was. Each stage hears as much before its turn as it remembers:

- dereverberation, from whole pairs of seconds on, so that its segments are the recording's own: filters and fades
  reach back 22 s, and are exact after that; the gate may be in doubt for longer, and is then as the head left it. On
  recordings of four to six minutes, dry, noisy and reverberant, it was the whole file's after 20 s at every place;
- the network: `WARM_UP_S`, as lanes do, and two seconds of overlap, in which the neighbour takes over (`wet.WetParts`);
- resampling: a second.

Everything before is decoded, because seeking in compressed files is not exact, and thrown away.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np

from gpu_container.contract import Dereverb, ErrorCode, Part
from gpu_container.engine.audio_io import decode
from gpu_container.engine.blocks import BlockQueue, Excerpt
from gpu_container.engine.byte_io import ByteSource
from gpu_container.engine.enhancer import Enhancer
from gpu_container.engine.errors import EngineError, stop_if_cancelled
from gpu_container.engine.formats import AudioFormat
from gpu_container.engine.lanes import PRELUDE_S
from gpu_container.engine.mending import mended
from gpu_container.engine.reverberation import HOP_S, SEGMENT_HOPS
from gpu_container.engine.signal_path import SignalPath
from gpu_container.engine.stft import RATE_HZ, Real
from gpu_container.engine.wet import OVERLAP_S, WetStore, kept_track, writing

HEAD_S: Final = 20
"""Dereverberation holds back eight seconds: with these the network's prelude is what the whole recording's is."""

WARM_UP_S: Final = 10
"""The lanes' warm-up and the time in which they look for a quiet place: a part's is at its beginning."""

LEAD_IN_S: Final = 30
"""What dereverberation hears before the network does."""

TAIL_S: Final = 1
"""The network and resampling look ahead by less."""

LOOK_AHEAD_S: Final = 10
"""Dereverberation looks ahead by eight seconds and less than a window."""

_SEGMENT_S: Final = round(SEGMENT_HOPS * HOP_S)
_NO_END: Final = 2**62


@dataclass(frozen=True)
class Stretch:
    """Where a part's path leads through the recording, in whole seconds: its head, then the part with what it needs."""

    part: Part

    @property
    def resume_s(self) -> int:
        """Where it goes on after the head."""
        lead_s = self.part.start_s - WARM_UP_S - LEAD_IN_S
        return max(HEAD_S, lead_s // _SEGMENT_S * _SEGMENT_S)

    @property
    def kept_s(self) -> int | None:
        """How much of the answer is kept, if the recording does not end before; None for all that follows."""
        return None if self.part.end_s is None else self.part.end_s + OVERLAP_S - self.part.start_s

    @property
    def stop_s(self) -> int | None:
        """Where it ends; None where the recording does."""
        return None if self.part.end_s is None else self.part.end_s + OVERLAP_S + TAIL_S + LOOK_AHEAD_S

    @property
    def skipped_s(self) -> int:
        """How much is answered that is not the part's."""
        return PRELUDE_S + self.part.start_s - self._network_resumes_s

    @property
    def heard(self) -> tuple[range, range]:
        """Frames of the cut recording that the network is given, at 48 kHz."""
        cut_s = self.resume_s - HEAD_S
        resume = (self._network_resumes_s - cut_s) * RATE_HZ
        end_s = self.part.end_s
        stop = _NO_END if end_s is None else (end_s + OVERLAP_S + TAIL_S - cut_s) * RATE_HZ
        return range(PRELUDE_S * RATE_HZ), range(resume, stop)

    @property
    def _network_resumes_s(self) -> int:
        return max(PRELUDE_S, self.part.start_s - WARM_UP_S)


def enhance_part(
    source: ByteSource,
    part: Part,
    *,
    model: Enhancer,
    dereverb: Dereverb,
    wet: WetStore,
    jobs: int = 1,
    on_progress: Callable[[float, float], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> int:
    """Make and keep the wet track of one part of a recording, in constant memory, unless it is kept already.

    An hour of speech in noise in five parts differs from the same in one go by -52 dB (mono) and -51 dB (stereo), in
    the second after a seam by -47 dB of the recording's level or less (dfn3; ``scripts.bench_parts``, ADR 13). In one
    go it differs from the network's answer without lanes by -58 and -55 dB.

    Parameters
    ----------
    wet
        Where this part is kept.
    on_progress
        Called with (completed_s, total_s) of the part as it is made; not where its length is unknown until the end, nor
        where it was kept.
    is_cancelled
        Asked at each block and each second of network work.

    Returns
    -------
    inferences
        Blocks that ran through the network; 0 where the part was kept already.

    Raises
    ------
    EngineError
        Any ``INPUT_*`` code as far as the part has to read, CANCELLED or ENGINE_FAILED. What source and store raise
        comes through.
    """
    making = _Making(source, Stretch(part), on_progress, is_cancelled)
    making.stop_if_cancelled()
    with ExitStack() as stack, ExitStack() as head_opened:
        head = head_opened.enter_context(decode(source))
        found = head.format
        if stack.enter_context(kept_track(wet, found)) is not None:
            return 0
        path = SignalPath(
            model,
            rate_hz=found.rate_hz,
            channels=found.channels,
            dereverb=dereverb,
            jobs=jobs,
            heard=Excerpt(*making.stretch.heard),
            checkpoint=making.stop_if_cancelled,
        )
        dry = making.cut_together(found, head.blocks(), head_opened.close)
        out = stack.enter_context(writing(wet, found))
        for block in making.wet(found, path, dry):
            out.write(block)
        return path.inferences


@dataclass
class _Making:
    """A part on its way."""

    source: ByteSource
    stretch: Stretch
    on_progress: Callable[[float, float], None] | None
    is_cancelled: Callable[[], bool] | None
    read: int = 0
    """Frames of the recording, to where it was read."""

    def stop_if_cancelled(self) -> None:
        stop_if_cancelled(self.is_cancelled)

    def cut_together(self, found: AudioFormat, head: Iterator[Real], close_head: Callable[[], None]) -> Iterator[Real]:
        """Yield the head and the stretch with its lead-in, ``(channels, n)`` each."""
        yield from self._blocks(head, frames=HEAD_S * found.rate_hz)
        close_head()
        if self.read < HEAD_S * found.rate_hz:
            return
        self.read = self.stretch.resume_s * found.rate_hz
        stop_s = self.stretch.stop_s
        with decode(self.source, start_s=self.stretch.resume_s) as recording:
            frames = _NO_END if stop_s is None else stop_s * found.rate_hz - self.read
            yield from self._blocks(recording.blocks(), frames=frames)

    def wet(self, found: AudioFormat, path: SignalPath, dry: Iterator[Real]) -> Iterator[Real]:
        """Yield the stretch's answer, ``(channels, n)`` each: as many frames as the recording has there."""
        skipped = self.stretch.skipped_s * found.rate_hz
        kept, ready, written = Excerpt(range(skipped, _NO_END)), BlockQueue(found.channels), 0

        def answers() -> Iterator[Real]:
            for block in dry:
                yield from path.process(block)
            if self._due(found) <= 0:
                raise EngineError(ErrorCode.ENGINE_FAILED, "The part begins behind the recording's end.")
            yield from path.finish()

        for answer in answers():
            if not np.isfinite(answer).all():
                raise EngineError(ErrorCode.ENGINE_FAILED, "The network's answer holds samples that are not numbers.")
            ready.put(kept.process(answer))
            block = ready.take(max(0, self._due(found) - written))
            written += block.shape[1]
            yield block
            self._tell_progress(found, written)
        # Resampling may leave it a frame short.
        yield np.zeros((found.channels, self._due(found) - written), np.float32)

    def _blocks(self, blocks: Iterator[Real], *, frames: int) -> Iterator[Real]:
        left = Excerpt(range(frames))
        for block in blocks:
            self.stop_if_cancelled()
            sane, _ = mended(left.process(block))
            if not sane.shape[1]:
                return
            self.read += sane.shape[1]
            yield sane

    def _tell_progress(self, found: AudioFormat, written: int) -> None:
        total_s = self.stretch.kept_s or (found.declared_s or 0.0) - self.stretch.part.start_s
        if self.on_progress and total_s > 0:
            self.on_progress(written / found.rate_hz, total_s)

    def _due(self, found: AudioFormat) -> int:
        """Return how many frames of the part the recording is known to have."""
        due = self.read - self.stretch.part.start_s * found.rate_hz
        kept_s = self.stretch.kept_s
        return due if kept_s is None else min(due, kept_s * found.rate_hz)
