"""The probe: a recording is decoded to its end, in a process that can be killed (`gpu_container.engine.audio_io`)."""

from gpu_container.contract import ProbeFailure, ProbeResult
from gpu_container.engine.audio_io import DecodeLimits, probe
from gpu_container.engine.byte_io import ByteSource
from gpu_container.engine.errors import EngineError


class ProbeCrashError(Exception):
    """The probe itself failed, which says nothing about the recording; try again."""


def answer(source: ByteSource, *, limit_s: float, memory_bytes: int) -> ProbeResult | ProbeFailure:
    """Say what is in a recording.

    Raises
    ------
    ProbeCrashError
        If decoding failed for a reason that is not the recording's. What ``source`` raises comes through.
    """
    limits = DecodeLimits(memory_bytes=memory_bytes, stall_s=limit_s, deadline_s=limit_s)
    try:
        return ProbeResult(facts=probe(source, limits=limits))
    except EngineError as error:
        if not error.code.is_input_fault:
            raise ProbeCrashError(error.message) from error
        return ProbeFailure(error_code=error.code, message=error.message)
