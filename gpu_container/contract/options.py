"""What a client may ask for. Append-only: the values are stored and shown."""

from enum import StrEnum
from typing import Final


class Dereverb(StrEnum):
    """Whether echo is taken away before the network; ``auto`` decides segment by segment, from an estimate."""

    OFF = "off"
    AUTO = "auto"
    ON = "on"


class ReportLevel(StrEnum):
    """How much is measured: ``basic`` costs next to nothing, ``full`` adds DNSMOS and the pictures."""

    NONE = "none"
    BASIC = "basic"
    FULL = "full"


class OutputFormat(StrEnum):
    """A container for the result, where it shall not be the input's own."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    M4A = "m4a"
    OPUS = "opus"
    OGG = "ogg"


MIN_LOUDNESS_LUFS: Final = -40.0
MAX_LOUDNESS_LUFS: Final = -5.0
DEFAULT_TRUE_PEAK_DBTP: Final = -1.0
"""EBU R 128: the highest true peak that leaves lossy encoders room."""
