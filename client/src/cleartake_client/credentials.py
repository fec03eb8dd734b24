"""Who calls: an API key in every call, or a token that is fetched with a secret and renewed in time."""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from cleartake_client.reading import read

RENEW_BEFORE_S = 300.0
"""Clocks differ, and a call takes its time."""

RENEW_AT_SHARE = 0.9
"""For tokens that live shorter than that: after so much of their life."""

TOKEN_PATH = "/ims/token/v3"  # noqa: S105 - a path

FetchToken = Callable[[dict[str, str]], Any]
"""POSTs a form to `TOKEN_PATH` and returns the answer's JSON."""


class Credentials(Protocol):
    """How calls are signed."""

    @property
    def caller_sha256(self) -> str:
        """A name for the caller that tells nobody who it is."""
        ...

    def headers(self, fetch: FetchToken) -> dict[str, str]:
        """Return what a call carries."""
        ...

    def forget(self, headers: dict[str, str]) -> bool:
        """Drop what was refused; returns whether there may be something better."""
        ...


@dataclass(frozen=True)
class Token:
    """A token, and for how long it is good."""

    access_token: str = field(repr=False)
    expires_in: float


@dataclass(frozen=True)
class ApiKey:
    """``<client id>.<secret>``, as ``cleartake clients create --api-key`` prints it."""

    value: str = field(repr=False)

    @property
    def caller_sha256(self) -> str:
        """Return the hash of the client's identifier, which is the key's first half."""
        return _sha256(self.value.partition(".")[0])

    def headers(self, fetch: FetchToken) -> dict[str, str]:  # noqa: ARG002 - a key needs no token
        """Return the key's header."""
        return {"x-api-key": self.value}

    def forget(self, headers: dict[str, str]) -> bool:  # noqa: ARG002
        """Return False: there is no other key."""
        return False


@dataclass
class ClientCredentials:
    """A client's identifier and secret; several threads may share it."""

    client_id: str
    client_secret: str = field(repr=False)
    now: Callable[[], float] = field(default=time.monotonic, repr=False)
    _token: str | None = field(default=None, init=False, repr=False)
    _renew_at: float = field(default=0.0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def caller_sha256(self) -> str:
        """Return the hash of the client's identifier."""
        return _sha256(self.client_id)

    def headers(self, fetch: FetchToken) -> dict[str, str]:
        """Return the token's header; fetches one where there is none, or it is about to end."""
        with self._lock:
            if self._token is None or self.now() >= self._renew_at:
                self._renew(fetch)
            return {"Authorization": f"Bearer {self._token}"}

    def forget(self, headers: dict[str, str]) -> bool:
        """Drop the token that was refused, unless another thread has renewed it meanwhile."""
        with self._lock:
            if headers.get("Authorization") == f"Bearer {self._token}":
                self._token = None
        return True

    def _renew(self, fetch: FetchToken) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": "openid",
        }
        asked_at, token = self.now(), read(Token, fetch(form))
        lifetime_s = token.expires_in
        self._token = token.access_token
        self._renew_at = asked_at + max(lifetime_s - RENEW_BEFORE_S, lifetime_s * RENEW_AT_SHARE)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
