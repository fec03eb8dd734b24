"""What the orchestration and the audio container say to each other. Pydantic only; imported by both sides."""

from gpu_container.contract.errors import ErrorCode
from gpu_container.contract.work import (
    SCHEMA_VERSION,
    AudioFacts,
    ObjectRef,
    ProbeFailure,
    ProbeOrder,
    ProbeResult,
    ProgressKey,
    WorkFailure,
    WorkOrder,
    WorkResult,
)

__all__ = [
    "SCHEMA_VERSION",
    "AudioFacts",
    "ErrorCode",
    "ObjectRef",
    "ProbeFailure",
    "ProbeOrder",
    "ProbeResult",
    "ProgressKey",
    "WorkFailure",
    "WorkOrder",
    "WorkResult",
]
