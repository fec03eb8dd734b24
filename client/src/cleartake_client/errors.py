"""What can go wrong, as exceptions. Their words name no secret and no link."""

import copyreg
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from cleartake_client.models import Asset, BatchItem, Enhancement

GATEWAY_STATUSES = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""What another gateway in between answers without a problem document; the same request may succeed later."""


class CleartakeError(Exception):
    """Base of all exceptions of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it come out of another process: the words are made, and no arguments of ``__init__``."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class FieldError:
    """A field of a request, and what is wrong with it."""

    field: str
    message: str


class ApiError(CleartakeError):
    """The service refused a call (RFC 9457).

    Attributes
    ----------
    status
        HTTP status.
    code
        Stable name of the problem, for programs.
    detail
        The same in words.
    retryable
        Whether the same call may succeed later.
    retry_after_s
        When it is worth another try, where the service says so.
    request_id
        What the service's operator can find the call by.
    errors
        For an invalid request: each field and what is wrong with it.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retryable: bool = False,
        retry_after_s: float | None = None,
        request_id: str | None = None,
        errors: tuple[FieldError, ...] = (),
    ) -> None:
        super().__init__(f"{detail} ({code}, HTTP {status}{f', request {request_id}' if request_id else ''})")
        self.status = status
        self.code = code
        self.detail = detail
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.errors = errors

    @classmethod
    def of(cls, answer: httpx.Response) -> "ApiError":
        """Read a refusal; also one that a gateway wrote, which knows no problem documents."""
        said = _document(answer)
        phrase = answer.reason_phrase or "refused"
        return cls(
            answer.status_code,
            str(said.get("code") or said.get("error") or f"http_{answer.status_code}"),
            str(said.get("detail") or said.get("error_description") or said.get("message") or phrase),
            retryable=bool(said.get("retryable", answer.status_code in GATEWAY_STATUSES)),
            retry_after_s=_seconds(answer.headers.get("retry-after")),
            request_id=said.get("request_id") or answer.headers.get("x-amzn-requestid"),
            errors=_field_errors(said.get("errors")),
        )


class UnreachableError(CleartakeError):
    """The service or its storage did not answer; nothing is known of the call."""


class StorageError(CleartakeError):
    """Storage refused an upload or a download."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(f"storage refused the {what} (HTTP {status})")
        self.status = status


class UploadInterruptedError(CleartakeError):
    """An upload in parts came to a stop; the same call, also of a later process, goes on where it was."""

    def __init__(self, asset_id: str, missing: int, reason: Exception) -> None:
        super().__init__(f"the upload stopped with {missing} parts missing: {reason}. Upload again to go on")
        self.asset_id = asset_id
        self.missing = missing


class AssetRefusedError(CleartakeError):
    """What arrived is not what was sent, or no recording that can be enhanced; ``code`` says which."""

    def __init__(self, asset: Asset) -> None:
        self.asset = asset
        self.code = asset.error.code if asset.error else "invalid"
        words = asset.error.message if asset.error else "the recording cannot be enhanced"
        super().__init__(f"{words} ({self.code})")


class EnhancementError(CleartakeError):
    """An enhancement has failed or was cancelled."""

    def __init__(self, enhancement: Enhancement) -> None:
        self.enhancement = enhancement
        self.code = enhancement.error.code if enhancement.error else enhancement.status
        words = enhancement.error.message if enhancement.error else f"the enhancement was {enhancement.status}"
        super().__init__(f"{words} ({self.code})")


class RefusedItemError(CleartakeError):
    """The service made no enhancement of a batch's item."""

    def __init__(self, item: BatchItem) -> None:
        self.code = item.error.code if item.error else "refused"
        self.retryable = bool(item.error and item.error.retryable)
        super().__init__(f"{item.error.message if item.error else 'it was refused'} ({self.code})")


class WaitTimeoutError(CleartakeError):
    """It has not ended within the time given; it goes on."""


def _document(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None


def _field_errors(said: Any) -> tuple[FieldError, ...]:
    if not isinstance(said, list):
        return ()
    return tuple(FieldError(str(one.get("field")), str(one.get("message"))) for one in said if isinstance(one, dict))
