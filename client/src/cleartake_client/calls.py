"""Calls of the API: signed, named, and repeated where the service says that repeating helps."""

import itertools
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from cleartake_client.credentials import TOKEN_PATH, Credentials
from cleartake_client.errors import ApiError, UnreachableError

_NOTHING_WAS_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_RANDOM = secrets.SystemRandom()


@dataclass(frozen=True)
class RetryPolicy:
    """How often and when a call is made again.

    Attributes
    ----------
    attempts
        Calls in all.
    first_s, longest_s
        The pause after the first attempt lies between 0 and ``first_s``; it doubles up to ``longest_s``.
    longest_asked_s
        A ``Retry-After`` is obeyed; who is asked to wait longer than this gets the refusal at once.
    """

    attempts: int = 6
    first_s: float = 0.5
    longest_s: float = 20.0
    longest_asked_s: float = 120.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def pause_s(self, attempt: int, asked_s: float | None = None) -> float:
        """Return the seconds to wait after the ``attempt``-th attempt, at least those asked for."""
        backoff_s = _RANDOM.uniform(0, min(self.longest_s, self.first_s * 2.0 ** (attempt - 1)))
        return backoff_s if asked_s is None else asked_s + min(backoff_s, 1.0)

    def allows(self, attempt: int, asked_s: float | None = None) -> bool:
        """Tell whether another attempt may follow."""
        return attempt < self.attempts and (asked_s is None or asked_s <= self.longest_asked_s)


DEFAULT_RETRY = RetryPolicy()


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes
    ----------
    idempotency_key
        What a POST is called by, so that its repetitions make nothing new; None: one is made up.
    is_repeatable
        False for a POST that the service does not know again by its key: once it may have arrived, it is not repeated.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    is_repeatable: bool = True


@dataclass(frozen=True)
class Caller:
    """Makes calls of one service; several threads may share it."""

    http: httpx.Client
    base_url: str
    credentials: Credentials
    retry: RetryPolicy

    def json(self, call: Call) -> Any:
        """Make a call and return its answer's JSON, None where it has no body.

        Raises
        ------
        ApiError
            Where the service refuses it and repeating does not help, or has not helped.
        UnreachableError
            Where nobody answers.
        """
        answer = self._signed(call)
        if answer.is_redirect:
            raise UnreachableError(f"{self.base_url} redirects to {_site(answer)}: is that the service's address?")
        return self._json(answer) if answer.content else None

    def location(self, path: str) -> str:
        """Return where a call leads: a short-lived link, which is a secret. Raises as `json`."""
        answer = self._signed(Call("GET", path))
        if not answer.has_redirect_location:
            raise ApiError(answer.status_code, "no_redirect", "the service answered without a link")
        return str(answer.headers["location"])

    def _signed(self, call: Call) -> httpx.Response:
        headers = self._naming(call)
        own = self.credentials.headers(self._fetch_token)
        try:
            return self._repeated(call, headers | own)
        except ApiError as error:
            if error.status != HTTPStatus.UNAUTHORIZED or not self.credentials.forget(own):
                raise
        return self._repeated(call, headers | self.credentials.headers(self._fetch_token))

    def _fetch_token(self, form: dict[str, str]) -> Any:
        return self._json(self._repeated(Call("POST", TOKEN_PATH), {}, form=form))

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise UnreachableError(f"{self.base_url} answers no JSON: is it the service?") from error

    def _repeated(self, call: Call, headers: dict[str, str], form: dict[str, str] | None = None) -> httpx.Response:
        for attempt in itertools.count(1):
            asked_s: float | None = None
            try:
                answer = self._send(call, headers, form)
            except httpx.TransportError as error:
                may_repeat = call.is_repeatable or isinstance(error, _NOTHING_WAS_SENT)
                if not may_repeat or not self.retry.allows(attempt):
                    raise UnreachableError(f"{self.base_url} did not answer: {words(error)}") from error
            else:
                if not answer.is_error or (attempt > 1 and _is_done_already(call, answer)):
                    return answer
                refusal = ApiError.of(answer)
                asked_s = refusal.retry_after_s
                may_repeat = refusal.retryable and (call.is_repeatable or answer.status_code == _NOT_LET_IN)
                if not may_repeat or not self.retry.allows(attempt, asked_s):
                    raise refusal
            self.retry.sleep(self.retry.pause_s(attempt, asked_s))
        raise AssertionError  # the loop has no end

    def _send(self, call: Call, headers: dict[str, str], form: dict[str, str] | None) -> httpx.Response:
        return self.http.request(
            call.method,
            self.base_url + call.path,
            params={name: value for name, value in call.query.items() if value is not None} or None,
            headers=headers,
            json=call.body,
            data=form,
        )

    @staticmethod
    def _naming(call: Call) -> dict[str, str]:
        # The same name for every attempt: that is what makes repeating safe.
        return {"Idempotency-Key": call.idempotency_key or str(uuid.uuid4())} if call.method == "POST" else {}


def several(names: str | Sequence[str]) -> list[str]:
    """Return names as a list, a single one also."""
    return [names] if isinstance(names, str) else list(names)


def _is_done_already(call: Call, answer: httpx.Response) -> bool:
    """Tell whether an earlier attempt, whose answer was lost, has done what was asked for."""
    return call.method == "DELETE" and answer.status_code == HTTPStatus.NOT_FOUND


def _site(answer: httpx.Response) -> str:
    """Return where an answer leads, without what may be a secret."""
    found = answer.url.join(answer.headers.get("location", ""))
    return f"{found.scheme}://{found.netloc.decode()}"


_NOT_LET_IN = HTTPStatus.TOO_MANY_REQUESTS
"""A call that is refused with it has done nothing."""


def words(error: Exception) -> str:
    """Return what an exception says, its name where it says nothing."""
    return str(error) or type(error).__name__
