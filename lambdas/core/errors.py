"""Everything the core can refuse, as one closed list. Each dialect maps every code to its own status and body."""

from enum import StrEnum


class DomainErrorCode(StrEnum):
    """Stable names; append-only."""

    API_KEY_MISSING = "api_key_missing"
    API_KEY_UNKNOWN = "api_key_unknown"
    TOKEN_INVALID = "token_invalid"  # noqa: S105 - an error's name
    CREDENTIALS_INVALID = "credentials_invalid"
    GRANT_UNSUPPORTED = "grant_unsupported"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    PARAMETER_INVALID = "parameter_invalid"
    ASSET_NOT_UPLOADED = "asset_not_uploaded"
    ASSET_NOT_ENHANCEABLE = "asset_not_enhanceable"
    ENHANCEMENT_EXISTS = "enhancement_exists"
    RATE_EXCEEDED = "rate_exceeded"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"
    QUEUE_FULL = "queue_full"
    ALREADY_FINISHED = "already_finished"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    UPLOAD_EXPIRED = "upload_expired"
    URL_NOT_ALLOWED = "url_not_allowed"
    WEBHOOK_DISABLED = "webhook_disabled"
    WEBHOOK_LIMIT = "webhook_limit"
    ENHANCEMENT_NOT_FINISHED = "enhancement_not_finished"
    ENHANCEMENT_DELETED = "enhancement_deleted"
    ASSET_DELETED = "asset_deleted"


class DomainError(Exception):
    """A refusal with a stable code.

    Parameters
    ----------
    code
        What went wrong.
    message
        For the log and, where the dialect has no wording of its own, for the client. Never a secret.
    retryable
        Whether the same call may succeed later without being changed.
    retry_after_s
        When it is worth another try, where that is known.
    """

    def __init__(
        self, code: DomainErrorCode, message: str = "", *, retryable: bool = False, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message or code.value)
        self.retry_after_s = retry_after_s
        self.code = code
        self.message = message or code.value
        self.retryable = retryable


class VersionConflictError(DomainError):
    """Somebody else wrote the row first: read it again and decide anew."""

    def __init__(self, message: str = "the row has changed") -> None:
        super().__init__(DomainErrorCode.CONFLICT, message, retryable=True)


class TransientError(DomainError):
    """A fault of the platform; the caller may try again. Step Functions retries it by this class's name."""

    def __init__(self, message: str) -> None:
        super().__init__(DomainErrorCode.UNAVAILABLE, message, retryable=True)
