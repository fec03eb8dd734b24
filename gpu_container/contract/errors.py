"""The one list of things that can go wrong with audio. Append-only: codes are stored and shown to clients."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a file could not be enhanced.

    ``INPUT_*`` codes speak of the client's file and are never retried; the others speak of us.
    """

    INPUT_CORRUPT = "input_corrupt"
    INPUT_UNSUPPORTED = "input_unsupported"
    INPUT_EMPTY = "input_empty"
    INPUT_NO_AUDIO = "input_no_audio"
    INPUT_TOO_LONG = "input_too_long"
    INPUT_TOO_MANY_CHANNELS = "input_too_many_channels"
    INPUT_RATE_UNSUPPORTED = "input_rate_unsupported"
    ENGINE_FAILED = "engine_failed"
    MODEL_UNAVAILABLE = "model_unavailable"
    STORAGE_FAILED = "storage_failed"
    CANCELLED = "cancelled"
    INPUT_CHECKSUM_MISMATCH = "input_checksum_mismatch"

    @property
    def is_input_fault(self) -> bool:
        """True where the client's bytes are to blame, so that trying again cannot help."""
        return self.value.startswith("input_")
