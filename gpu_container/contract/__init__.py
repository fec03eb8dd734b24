"""What the orchestration and the audio container say to each other. Pydantic only; imported by both sides."""

from gpu_container.contract.errors import ErrorCode
from gpu_container.contract.options import (
    DEFAULT_TRUE_PEAK_DBTP,
    MAX_LOUDNESS_LUFS,
    MIN_LOUDNESS_LUFS,
    Dereverb,
    OutputFormat,
    ReportLevel,
)
from gpu_container.contract.report import (
    EnhancementReport,
    ReportWarning,
    SoundMeasures,
    SpeechQuality,
    WarningCode,
    WaveformPeaks,
)
from gpu_container.contract.work import (
    SCHEMA_VERSION,
    AudioFacts,
    ObjectRef,
    Part,
    PartOrder,
    PartResult,
    ProbeFailure,
    ProbeOrder,
    ProbeResult,
    ProgressKey,
    WorkFailure,
    WorkOrder,
    WorkResult,
)

__all__ = [
    "DEFAULT_TRUE_PEAK_DBTP",
    "MAX_LOUDNESS_LUFS",
    "MIN_LOUDNESS_LUFS",
    "SCHEMA_VERSION",
    "AudioFacts",
    "Dereverb",
    "EnhancementReport",
    "ErrorCode",
    "ObjectRef",
    "OutputFormat",
    "Part",
    "PartOrder",
    "PartResult",
    "ProbeFailure",
    "ProbeOrder",
    "ProbeResult",
    "ProgressKey",
    "ReportLevel",
    "ReportWarning",
    "SoundMeasures",
    "SpeechQuality",
    "WarningCode",
    "WaveformPeaks",
    "WorkFailure",
    "WorkOrder",
    "WorkResult",
]
