"""The probe: a recording is decoded to its end, in a process that can be killed (`gpu_container.engine.audio_io`)."""

import base64
import hashlib
import time
from collections.abc import Sequence
from typing import Final

from gpu_container.contract import Checksum, ErrorCode, ProbeFailure, ProbeResult
from gpu_container.engine.audio_io import DecodeLimits, probe
from gpu_container.engine.byte_io import ByteSource
from gpu_container.engine.errors import DeadlineError, EngineError

_BLOCK_BYTES: Final = 8 * 2**20
"""As storage reads ahead."""
_STALL_S: Final = 120.0
"""A decoder that has its bytes and says nothing for so long hangs; one that waits for storage may wait."""


class ProbeCrashError(Exception):
    """The probe itself failed, which says nothing about the recording; try again."""


class ProbeTimeoutError(Exception):
    """The time was over: storage may have been slow, or the recording is too much to read."""


def answer(
    source: ByteSource, *, limit_s: float, memory_bytes: int, checksums: Sequence[Checksum] = ()
) -> ProbeResult | ProbeFailure:
    """Say what is in a recording, if it is the one that was declared.

    Parameters
    ----------
    limit_s
        For all of it: the recording is read once for its checksums and once for its sound.

    Raises
    ------
    ProbeCrashError
        If decoding failed for a reason that is not the recording's. What ``source`` raises comes through.
    ProbeTimeoutError
        If it took longer than ``limit_s``.
    """
    ends_at_s = time.monotonic() + limit_s
    if wrong := _mismatch(source, checksums):
        message = f"The file's {wrong.algorithm} is not the declared one."
        return ProbeFailure(error_code=ErrorCode.INPUT_CHECKSUM_MISMATCH, message=message)
    remaining_s = ends_at_s - time.monotonic()
    limits = DecodeLimits(memory_bytes=memory_bytes, stall_s=_STALL_S, deadline_s=remaining_s)
    try:
        return ProbeResult(facts=probe(source, limits=limits))
    except DeadlineError as error:
        raise ProbeTimeoutError(f"not read within {limit_s:.0f} s") from error
    except EngineError as error:
        if not error.code.is_input_fault:
            raise ProbeCrashError(error.message) from error
        return ProbeFailure(error_code=error.code, message=error.message)


def _mismatch(source: ByteSource, checksums: Sequence[Checksum]) -> Checksum | None:
    """Return a checksum that the bytes have not; hashing parses nothing, so it needs no child process."""
    digests = [hashlib.new(checksum.algorithm, usedforsecurity=False) for checksum in checksums]
    if not digests:
        return None
    for offset in range(0, source.size_bytes, _BLOCK_BYTES):
        block = source.read_at(offset, _BLOCK_BYTES)
        for digest in digests:
            digest.update(block)
    found = (base64.b64encode(digest.digest()).decode() for digest in digests)
    return next((wanted for wanted, value in zip(checksums, found, strict=True) if wanted.value != value), None)
