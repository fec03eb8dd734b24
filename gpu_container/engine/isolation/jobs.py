"""What a child is asked for and what it says at the end: JSON, validated on arrival."""

from typing import Final

from pydantic import BaseModel, TypeAdapter

from gpu_container.contract import ErrorCode, ReportWarning
from gpu_container.engine.formats import AudioFormat, OutputSpec

CHUNK_BYTES: Final = 2**20
"""Read at once: a source far away answers as fast for this as for a few bytes."""

FORMAT: Final = TypeAdapter(AudioFormat)


class Job(BaseModel):
    """What a child is asked to do: decode, or encode where ``spec`` is given.

    ``size_bytes`` is the source's; None where an encoder has no original to copy from. ``start_s`` is where decoding is
    to be listened to.
    """

    size_bytes: int | None
    start_s: int = 0
    spec: OutputSpec | None = None
    memory_bytes: int
    cpu_s: int


class Done(BaseModel):
    """A job's end."""

    missing_s: float = 0.0
    warnings: tuple[ReportWarning, ...] = ()


class Refused(BaseModel):
    """Why a job has no better end."""

    code: ErrorCode
    message: str
