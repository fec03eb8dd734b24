"""Names of what is counted: functions write them, alarms and the dashboard read them."""

from enum import StrEnum

NAMESPACE = "Cleartake"


class Dimension(StrEnum):
    """What a metric may be split by; each has a handful of values, never an id."""

    STAGE = "stage"
    LANE = "lane"
    CODE = "code"


class Metric(StrEnum):
    """Every metric of ours. ``stage`` is always a dimension; further ones as noted."""

    QUEUE_WAIT = "QueueWait"
    AUDIO = "AudioSeconds"
    """By lane, like the two below."""
    REAL_TIME_FACTOR = "RealTimeFactor"
    USD_PER_AUDIO_HOUR = "CostPerAudioHour"
    SUCCEEDED = "EnhancementsSucceeded"
    FAILED = "EnhancementsFailed"
    """Once for the stage, and once by code."""
    FAILED_BY_US = "EnhancementsFailedByUs"
    CANCELLED = "EnhancementsCancelled"
    ACTIVE = "ActiveEnhancements"
    OLDEST_QUEUED = "OldestQueuedAge"
    RECOVERED = "EnhancementsRecovered"
    LEAKED_SLOTS = "LeakedSlots"
