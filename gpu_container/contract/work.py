"""Work orders and their results, as JSON documents. Both sides accept ``SCHEMA_VERSION`` and the one before it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gpu_container.contract.errors import ErrorCode
from gpu_container.contract.options import (
    DEFAULT_TRUE_PEAK_DBTP,
    MAX_LOUDNESS_LUFS,
    MIN_LOUDNESS_LUFS,
    Dereverb,
    OutputFormat,
    ReportLevel,
)

SCHEMA_VERSION = 1

SchemaVersion = Annotated[int, Field(ge=SCHEMA_VERSION - 1, le=SCHEMA_VERSION)]


class Document(BaseModel):
    """Immutable; unknown fields are ignored, so that a newer writer does not break an older reader."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ObjectRef(Document):
    """One object in S3; ``version_id`` pins the bytes that were probed."""

    bucket: str
    key: str
    version_id: str | None = None


class ProgressKey(Document):
    """The one table row whose progress attributes the worker may write."""

    table: str
    pk: str
    sk: str


class AudioFacts(Document):
    """What the decoder saw. ``frames`` counts sample frames at ``rate_hz``; exact for PCM, decoded for the rest."""

    container: str
    codec: str
    rate_hz: int
    channels: int
    frames: int
    duration_s: float


class Part(Document):
    """A stretch of a recording, in whole seconds from its beginning; the last one has no end.

    Neighbours overlap by nothing: how their seam is made is the engine's affair.
    """

    number: int = Field(ge=0)
    start_s: int = Field(ge=0)
    end_s: int | None = Field(None, gt=0)


class ChecksumAlgorithm(StrEnum):
    """What a client may declare of a whole file. Append-only."""

    MD5 = "md5"
    SHA256 = "sha256"


class Checksum(Document):
    """The digest that a file's bytes must have, in base64."""

    algorithm: ChecksumAlgorithm
    value: str


class ProbeOrder(Document):
    """Asks whether an object can be decoded, and what is in it.

    ``checksums`` are those that nobody has held the object against yet.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    input: ObjectRef
    checksums: tuple[Checksum, ...] = ()


class ProbeResult(Document):
    """The object is audio that the engine can enhance."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    outcome: Literal["ok"] = "ok"
    facts: AudioFacts


class ProbeFailure(Document):
    """The object is not audio that the engine can enhance."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    outcome: Literal["failed"] = "failed"
    error_code: ErrorCode
    message: str


class WorkFailure(Document):
    """An attempt that ended without a result; ``retryable`` is false where the client's bytes are to blame."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    outcome: Literal["failed"] = "failed"
    job_id: str
    attempt: int
    error_code: ErrorCode
    message: str
    retryable: bool


class PartResult(Document):
    """The part's wet track is kept; ``network_inferences`` is 0 where it was kept already."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    outcome: Literal["ok"] = "ok"
    job_id: str
    attempt: int
    number: int
    seconds: float
    network_inferences: int = 0


class WorkOrder(Document):
    """Everything a worker needs for one attempt at one enhancement.

    ``task_token`` lets the worker send heartbeats, and only those: its role may not end the task. ``wet`` is where the
    fully enhanced signal of this input, model and dereverberation is kept: taken from there if it is there, else put
    there, so that every further strength runs no network. The report and the pictures go beside ``output``.

    With ``parts`` the wet track lies there in parts, made by as many `PartOrder`, and is taken from them;
    ``part_results`` is what these answered, which tells what they cost.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    job_id: str
    attempt: int = Field(ge=1)
    input: ObjectRef
    output: ObjectRef
    content_type: str
    strength: float = Field(ge=0, le=100)
    model: str
    dereverb: Dereverb = Dereverb.OFF
    output_format: OutputFormat | None = None
    loudness_lufs: float | None = Field(None, ge=MIN_LOUDNESS_LUFS, le=MAX_LOUDNESS_LUFS)
    true_peak_dbtp: float = Field(DEFAULT_TRUE_PEAK_DBTP, ge=-9, le=0)
    report: ReportLevel = ReportLevel.NONE
    wet: ObjectRef | None = None
    parts: tuple[Part, ...] = ()
    part_results: tuple[PartResult | WorkFailure, ...] = ()
    task_token: str | None = None
    progress: ProgressKey | None = None


class PartOrder(Document):
    """Asks for the wet track of one part of the order's recording; it is kept beside ``order.wet``."""

    schema_version: SchemaVersion = SCHEMA_VERSION
    order: WorkOrder
    part: Part


class WorkResult(Document):
    """A finished attempt; ``complete`` holds it against the probe's facts and a HEAD of the output.

    ``sha256`` is S3's own checksum in hexadecimal: of the object, or the composite one where it went in parts.
    ``seconds`` is this worker's time; ``parts_seconds`` what others spent on the order's parts.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    outcome: Literal["ok"] = "ok"
    job_id: str
    attempt: int
    output: ObjectRef
    size_bytes: int
    sha256: str
    facts: AudioFacts
    nan_count: int
    silent: bool
    model: str
    seconds: float
    real_time_factor: float
    parts_seconds: float = 0.0
    network_inferences: int = 0
    warnings: tuple[str, ...] = ()
    report: ObjectRef | None = None
    spectrogram: ObjectRef | None = None
    waveform: ObjectRef | None = None
    peaks: ObjectRef | None = None
