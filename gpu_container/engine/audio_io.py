"""Reading and writing recordings block by block, in constant memory, every stranger's byte in another process.

Files are parsed, decoded, encoded and muxed in children that may crash, hang or grow without harm: see
``isolation``. This process sees numbers, samples, and the bytes of the result.
"""

import contextlib
import queue
import signal
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Never

import numpy as np

from gpu_container.contract import AudioFacts, ErrorCode, ReportWarning
from gpu_container.engine.byte_io import ByteSink, ByteSource
from gpu_container.engine.errors import DeadlineError, EngineError
from gpu_container.engine.formats import MAX_DURATION_S, AudioFormat, OutputSpec, Samples, check
from gpu_container.engine.isolation.jobs import CHUNK_BYTES, FORMAT, Done, Job, Refused
from gpu_container.engine.isolation.nursery import FILE_TO_BLAME, NURSERY, Child
from gpu_container.engine.isolation.wire import OFFSET, REQUEST, ClosedError, Kind

HEAD_BYTES: Final = 4 * 2**20
"""A sink is asked to come back to its first bytes, up to here, and never further."""

DECODER_CPU_SHARE: Final = 0.05
"""CPU seconds per second of sound, at most; stereo MP3 and FLAC take a thirtieth of it."""
ENCODER_CPU_SHARE: Final = 0.25
"""The same, for an encoder; eight channels of AAC take a third of it."""

_WAITING_BLOCKS: Final = 4
_POLL_S: Final = 0.1
_BYTES_A_SAMPLE: Final = 4


@dataclass(frozen=True)
class DecodeLimits:
    """What a file may cost.

    Attributes
    ----------
    max_duration_s
        Of sound, counted as it is decoded, whatever the header says.
    max_expansion
        Bytes of decoded samples per byte of the file; digital silence in FLAC reaches 9000. A file that passes it is
        a bomb.
    free_expansion_bytes
        Decoded without looking at ``max_expansion``.
    memory_bytes
        Addresses of a child, libraries included (210 MiB before it does anything).
    stall_s
        Without a sign from a child that is not waiting for us.
    deadline_s
        For the whole file, fetching included: more than the file may be to blame. None where the one who asks has all
        the time.
    """

    max_duration_s: float = MAX_DURATION_S
    max_expansion: float = 10_000
    free_expansion_bytes: int = 64 * 2**20
    memory_bytes: int = 3 * 2**29
    stall_s: float = 30.0
    deadline_s: float | None = None

    def cpu_s(self, size_bytes: int, *, share: float = DECODER_CPU_SHARE) -> int:
        """Return the CPU seconds of a child: a share of the longest recording, and what copying takes."""
        return 60 + round(share * self.max_duration_s + size_bytes / 2**26)


DEFAULT_LIMITS: Final = DecodeLimits()


def probe(source: ByteSource, *, limits: DecodeLimits = DEFAULT_LIMITS) -> AudioFacts:
    """Decode a whole file and return what is in it.

    Raises
    ------
    EngineError
        As `decode`.
    DeadlineError
        If it took longer than ``limits.deadline_s``.
    """
    with decode(source, limits=limits) as decoding:
        frames = sum(block.shape[1] for block in decoding.blocks())
        return decoding.format.facts(frames)


class Decoding:
    """A file that is being decoded.

    Attributes
    ----------
    format
        What the file is.
    missing_s
        How much of the declared duration was not there, once all blocks have been taken; 0 where the header only
        estimates. What is there is given: a caller may want to say that the rest is missing.
    """

    def __init__(self, conversation: "_Decoder", limits: DecodeLimits, size_bytes: int, start_s: int) -> None:
        self._conversation = conversation
        self._start_s = start_s
        self._limits = limits
        self._allowed_bytes = limits.free_expansion_bytes + limits.max_expansion * size_bytes
        found = conversation.take_format()
        check(found, max_duration_s=limits.max_duration_s)
        self.format = found
        self.missing_s = 0.0

    def blocks(self) -> Iterator[Samples]:
        """Yield ``(channels, n)`` float32, about a second each, once.

        Raises
        ------
        EngineError
            INPUT_CORRUPT, INPUT_EMPTY, INPUT_TOO_LONG; ENGINE_FAILED.
        """
        frames = 0
        while not isinstance(item := self._conversation.take(), Done):
            frames += item.shape[1]
            self._check(frames)
            if item.shape[1]:
                yield item
        if frames == 0 and self._start_s == 0:
            raise EngineError(ErrorCode.INPUT_EMPTY, "The recording has no samples.")
        self.missing_s = item.missing_s

    def _check(self, frames: int) -> None:
        longest_s = self._limits.max_duration_s
        if frames > longest_s * self.format.rate_hz:
            raise EngineError(ErrorCode.INPUT_TOO_LONG, f"The recording is longer than {longest_s:.0f} s.")
        if frames * self.format.channels * _BYTES_A_SAMPLE > self._allowed_bytes:
            raise EngineError(ErrorCode.INPUT_CORRUPT, "The file claims far more sound than its size can hold.")


@contextmanager
def decode(source: ByteSource, *, start_s: int = 0, limits: DecodeLimits = DEFAULT_LIMITS) -> Iterator[Decoding]:
    """Open a recording; decoding goes on while the caller works, a few blocks ahead.

    Parameters
    ----------
    start_s
        Where the blocks begin; to the sample, so that all before it is decoded too unless its samples lie in the file
        one by one. Behind the recording's end there are none.
    limits
        What the file may cost.

    Raises
    ------
    EngineError
        Any ``INPUT_*`` code; ENGINE_FAILED where the trouble is ours. What ``source`` raises comes through.
    """
    size_bytes = source.size_bytes
    job = Job(size_bytes=size_bytes, start_s=start_s, memory_bytes=limits.memory_bytes, cpu_s=limits.cpu_s(size_bytes))
    with contextlib.closing(_Decoder(job, source, limits)) as conversation:
        yield Decoding(conversation, limits, size_bytes, start_s)


class Encoding:
    """A file that is being written.

    Attributes
    ----------
    warnings
        What of the original could not be taken along; complete once the context has ended.
    size_bytes
        Of the file, once the context has ended.
    """

    def __init__(self, conversation: "_Encoder", spec: OutputSpec) -> None:
        self._conversation = conversation
        self._channels = spec.format.channels
        self.warnings: tuple[ReportWarning, ...] = spec.warnings
        self.size_bytes = 0

    def write(self, block: Samples) -> None:
        """Append ``(channels, n)`` float32 at the output's rate; beyond [-1, 1] only where the format holds it.

        Raises
        ------
        EngineError
            INPUT_UNSUPPORTED, INPUT_CORRUPT (the original's other streams), ENGINE_FAILED.
        ValueError
            If the channels are not the output's.
        """
        if block.ndim != 2 or len(block) != self._channels:
            raise ValueError(f"({self._channels}, n) samples are wanted, not {block.shape}")
        if block.shape[1]:
            self._conversation.give(np.ascontiguousarray(block, np.float32))

    def finish(self) -> None:
        """Complete the file."""
        done = self._conversation.finish()
        self.warnings += done.warnings
        self.size_bytes = self._conversation.size_bytes


@contextmanager
def encode(
    sink: ByteSink, spec: OutputSpec, *, original: ByteSource | None = None, limits: DecodeLimits = DEFAULT_LIMITS
) -> Iterator[Encoding]:
    """Write a file; it is complete when the context ends without an exception, else it is not to be used.

    Parameters
    ----------
    original
        Where pictures and other streams are copied from; needed where ``spec.copies`` says so.
    limits
        Memory, and how long nothing may happen.

    Raises
    ------
    EngineError
        As `Encoding.write`. What ``sink`` and ``original`` raise comes through.
    """
    if spec.copies and original is None:
        raise ValueError("what is copied has to come from an original")
    copied = original if spec.copies else None
    size_bytes = copied.size_bytes if copied else None
    cpu_s = limits.cpu_s(size_bytes or 0, share=ENCODER_CPU_SHARE)
    job = Job(size_bytes=size_bytes, spec=spec, memory_bytes=limits.memory_bytes, cpu_s=cpu_s)
    with contextlib.closing(_Encoder(job, sink, copied, limits)) as conversation:
        encoding = Encoding(conversation, spec)
        yield encoding
        encoding.finish()


class _OutsideError(Exception):
    """Carries what a source or a sink has raised, so that it is not taken for the child's doing."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


@contextmanager
def _outside() -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        raise _OutsideError(error) from error


class _ReadAhead:
    """Fetches the next piece while the last one is being worked on: a store far away then costs no time."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._expected = 0
        self._ahead: Future[bytes] | None = None

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return ``size_bytes`` bytes from ``offset``, fewer at the end."""
        follows, ahead = offset == self._expected, self._ahead
        data = ahead.result() if ahead and follows else self._source.read_at(offset, size_bytes)
        self._expected = offset + size_bytes
        goes_on = follows and self._expected < self._source.size_bytes
        self._ahead = self._pool.submit(self._source.read_at, self._expected, size_bytes) if goes_on else None
        return data

    def close(self) -> None:
        """Wait for nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Conversation(ABC):
    """Serves one child from a thread of its own, until the child is done or has to be let go of."""

    def __init__(self, job: Job, source: ByteSource | None, limits: DecodeLimits) -> None:
        self._job = job
        self._source = _ReadAhead(source) if source else None
        self._limits = limits
        self._ends_at_s = None if limits.deadline_s is None else time.monotonic() + limits.deadline_s
        self._closing = threading.Event()
        self._child: Child = NURSERY.start()
        self._thread = threading.Thread(target=self._run, name="codec", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Kill the child if it still works, and wait for the thread."""
        self._closing.set()
        self._child.channel.interrupt()
        self._thread.join()
        self._child.let_go()
        if self._source:
            self._source.close()

    def _run(self) -> None:
        try:
            self._child.channel.send(Kind.JOB, self._job.model_dump_json().encode(), within_s=self._limits.stall_s)
            while self._serve(*self._child.channel.receive(self._patience_s())):
                pass
        except _OutsideError as error:
            self._fail(error.cause)
        except ClosedError:
            self._fail(self._cause_of_death())
        except TimeoutError:
            self._fail(DeadlineError() if self._is_over() else self._blame("it takes too long to decode"))
        except (ValueError, struct.error):
            # A child that talks nonsense is no longer running our code.
            self._fail(self._blame("its decoder went astray"))
        except BaseException as error:  # noqa: BLE001 - the caller's thread, which waits for an answer, raises it
            self._fail(error)

    def _serve(self, kind: Kind, payload: memoryview) -> bool:
        """Answer one frame; return whether more is to come."""
        match kind:
            case Kind.READ:
                self._read(payload)
            case Kind.REFUSED:
                refused = Refused.model_validate_json(bytes(payload))
                self._fail(EngineError(refused.code, refused.message))
                return False
            case _:
                raise ValueError(f"frame {kind.name} is out of place")
        return True

    def _read(self, payload: memoryview) -> None:
        offset, size_bytes = REQUEST.unpack(payload)
        if self._source is None or size_bytes > CHUNK_BYTES:
            raise ValueError("a read that nobody may ask for")
        with _outside():
            data = self._source.read_at(offset, size_bytes)
        self._child.channel.send(Kind.DATA, data, within_s=self._limits.stall_s)

    def _patience_s(self) -> float:
        if self._ends_at_s is None:
            return self._limits.stall_s
        left_s = self._ends_at_s - time.monotonic()
        if left_s <= 0:
            # A child may be quick, and its file slow all the same: nothing that waits in the channel buys more time.
            raise TimeoutError
        return min(self._limits.stall_s, left_s)

    def _is_over(self) -> bool:
        """Tell whether the deadline has come, and not a child gone silent; timers may end a little early."""
        return self._ends_at_s is not None and time.monotonic() > self._ends_at_s - _POLL_S

    def _cause_of_death(self) -> EngineError:
        ending = self._child.ending()
        if ending is not None and -ending in FILE_TO_BLAME:
            return self._blame(f"its decoder crashed ({signal.Signals(-ending).name})")
        # SIGKILL comes from outside, where the machine is short of memory; anything else is a fault of ours.
        return EngineError(ErrorCode.ENGINE_FAILED, f"A codec's process ended with status {ending}.")

    def _blame(self, what: str) -> EngineError:
        if self._source is None:
            return EngineError(ErrorCode.ENGINE_FAILED, "The encoder failed.")
        return EngineError(ErrorCode.INPUT_CORRUPT, f"The file is damaged: {what}.")

    @abstractmethod
    def _fail(self, error: BaseException) -> None:
        """Let the caller's thread know."""


class _Decoder(_Conversation):
    def __init__(self, job: Job, source: ByteSource, limits: DecodeLimits) -> None:
        self._formats: queue.Queue[AudioFormat | BaseException] = queue.Queue()
        self._blocks: queue.Queue[Samples | Done | BaseException] = queue.Queue(_WAITING_BLOCKS)
        self._channels: int | None = None
        super().__init__(job, source, limits)

    def take_format(self) -> AudioFormat:
        """Return what the file is, once that is known."""
        found = self._formats.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def take(self) -> Samples | Done:
        """Return the next block, ``(channels, n)``, or the end."""
        item = self._blocks.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _serve(self, kind: Kind, payload: memoryview) -> bool:
        match kind:
            case Kind.FORMAT if self._channels is None:
                found = FORMAT.validate_json(bytes(payload))
                self._channels = found.channels
                self._formats.put(found)
                return True
            case Kind.BLOCK if self._channels:
                return self._put(np.frombuffer(payload, np.float32).reshape(self._channels, -1))
            case Kind.DONE if self._channels is not None:
                self._put(Done.model_validate_json(bytes(payload)))
                return False
            case _:
                return super()._serve(kind, payload)

    def _fail(self, error: BaseException) -> None:
        self._formats.put(error)
        self._put(error)

    def _put(self, item: Samples | Done | BaseException) -> bool:
        """Hand something over; return False if nobody takes it any more."""
        while not self._closing.is_set():
            with contextlib.suppress(queue.Full):
                self._blocks.put(item, timeout=_POLL_S)
                return True
        return False


class _Encoder(_Conversation):
    def __init__(self, job: Job, sink: ByteSink, original: ByteSource | None, limits: DecodeLimits) -> None:
        self._queue: queue.Queue[Samples | None] = queue.Queue(_WAITING_BLOCKS)
        self._sink = sink
        self._error: BaseException | None = None
        self._done: Done | None = None
        self.size_bytes = 0
        super().__init__(job, original, limits)

    def give(self, block: Samples | None) -> None:
        """Hand a block over, or None at the end."""
        while self._thread.is_alive() and not self._error:
            with contextlib.suppress(queue.Full):
                self._queue.put(block, timeout=_POLL_S)
                return
        self._raise()

    def finish(self) -> Done:
        """Wait for the end of the file."""
        self.give(None)
        self._thread.join()
        if self._done is None:
            self._raise()
        return self._done

    def _raise(self) -> Never:
        raise self._error or EngineError(ErrorCode.ENGINE_FAILED, "The encoder ended early.")

    def _serve(self, kind: Kind, payload: memoryview) -> bool:
        match kind:
            case Kind.NEXT:
                return self._next()
            case Kind.WRITE:
                (offset,) = OFFSET.unpack(payload[: OFFSET.size])
                self._put_down(offset, payload[OFFSET.size :])
                return True
            case Kind.DONE:
                self._done = Done.model_validate_json(bytes(payload))
                return False
            case _:
                return super()._serve(kind, payload)

    def _next(self) -> bool:
        while not self._closing.is_set():
            with contextlib.suppress(queue.Empty):
                block = self._queue.get(timeout=_POLL_S)
                self._send(block)
                return True
        return False

    def _send(self, block: Samples | None) -> None:
        within_s = self._limits.stall_s
        if block is None:
            self._child.channel.send(Kind.END, within_s=within_s)
        else:
            self._child.channel.send(Kind.BLOCK, block.data.cast("B"), within_s=within_s)

    def _put_down(self, offset: int, data: memoryview) -> None:
        if offset > self.size_bytes or (offset < self.size_bytes and offset + len(data) > HEAD_BYTES):
            raise ValueError("a hole, or a change beyond the head")
        with _outside():
            self._sink.write_at(offset, bytes(data))
        self.size_bytes = max(self.size_bytes, offset + len(data))

    def _fail(self, error: BaseException) -> None:
        self._error = error
