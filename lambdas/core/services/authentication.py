"""Who is calling: an API key that names a client, and a token that proves it."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lambdas.core.clients import Client, SecretHash, is_client_id
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.ports import ClientRegistry, Clock, TokenSigner, TokenVerifier

CLIENT_CREDENTIALS = "client_credentials"

KEY_REMEMBERED = timedelta(minutes=5)
KEYS_REMEMBERED = 1000


@dataclass(frozen=True)
class Authenticator:
    """Checks the two headers of a call."""

    clients: ClientRegistry
    verifier: TokenVerifier
    clock: Clock

    def authenticate(self, api_key: str | None, bearer: str | None) -> Client:
        """Return the calling client.

        The order is fixed: key missing, key unknown, token invalid, token of another client.

        Raises
        ------
        DomainError
            API_KEY_MISSING, API_KEY_UNKNOWN or TOKEN_INVALID.
        """
        if not api_key:
            raise DomainError(DomainErrorCode.API_KEY_MISSING)
        client = self.clients.get(api_key) if is_client_id(api_key) else None
        if client is None or client.disabled:
            raise DomainError(DomainErrorCode.API_KEY_UNKNOWN)
        claims = self.verifier.verify(bearer, now=self.clock.now()) if bearer else None
        if claims is None:
            raise DomainError(DomainErrorCode.TOKEN_INVALID)
        if claims.get("client_id") != client.id:
            raise DomainError(DomainErrorCode.API_KEY_UNKNOWN, "the token belongs to another client")
        return client


@dataclass
class KeyAuthenticator:
    """Checks a call that proves itself by one header: a token, or an API key where the client takes them.

    An API key is ``<client id>.<secret>``; what has been found right is remembered for a while, as a hash: scrypt is
    slow on purpose.
    """

    clients: ClientRegistry
    verifier: TokenVerifier
    clock: Clock
    _known: dict[bytes, tuple[datetime, SecretHash]] = field(default_factory=dict, init=False)

    def authenticate(self, *, bearer: str | None, api_key: str | None) -> Client:
        """Return the calling client.

        Parameters
        ----------
        api_key
            A whole key, or beside a token only the client's id, which then has to be the token's.

        Raises
        ------
        DomainError
            TOKEN_INVALID, API_KEY_MISSING or API_KEY_UNKNOWN.
        """
        if bearer:
            return self._by_token(bearer, api_key)
        if not api_key:
            raise DomainError(DomainErrorCode.API_KEY_MISSING)
        return self._by_key(api_key)

    def _by_token(self, bearer: str, client_id: str | None) -> Client:
        claims = self.verifier.verify(bearer, now=self.clock.now())
        if claims is None:
            raise DomainError(DomainErrorCode.TOKEN_INVALID)
        owner = str(claims.get("client_id", ""))
        client = self.clients.get(owner) if is_client_id(owner) else None
        if client is None or client.disabled or (client_id or owner).partition(".")[0] != owner:
            raise DomainError(DomainErrorCode.API_KEY_UNKNOWN)
        return client

    def _by_key(self, api_key: str) -> Client:
        client_id, _, secret = api_key.partition(".")
        client = self.clients.get(client_id) if is_client_id(client_id) else None
        if client is None or client.disabled or not client.takes_api_keys or not self._is_right(client, secret):
            raise DomainError(DomainErrorCode.API_KEY_UNKNOWN)
        return client

    def _is_right(self, client: Client, secret: str) -> bool:
        now, digest = self.clock.now(), hashlib.sha256(f"{client.id}.{secret}".encode()).digest()
        checked_at, found = self._known.get(digest, (None, None))
        if checked_at is not None and found in client.secrets and now - checked_at < KEY_REMEMBERED:
            return True
        right = next((known for known in client.secrets if known.matches(secret)), None)
        if right is None:
            return False
        if len(self._known) >= KEYS_REMEMBERED:
            self._known.clear()
        self._known[digest] = (now, right)
        return True


@dataclass(frozen=True)
class AccessToken:
    """A signed token and how long it lives."""

    text: str
    expires_in_s: int


@dataclass(frozen=True)
class TokenService:
    """Exchanges a client's credentials for an access token (RFC 6749, section 4.4)."""

    clients: ClientRegistry
    signer: TokenSigner
    clock: Clock
    ttl_s: int

    def issue(self, *, grant_type: str | None, client_id: str | None, client_secret: str | None) -> AccessToken:
        """Return a token.

        Raises
        ------
        DomainError
            GRANT_UNSUPPORTED, PARAMETER_INVALID (a field is missing) or CREDENTIALS_INVALID, which does not tell
            an unknown client from a wrong secret.
        """
        if grant_type != CLIENT_CREDENTIALS:
            raise DomainError(DomainErrorCode.GRANT_UNSUPPORTED, f"grant_type must be {CLIENT_CREDENTIALS}")
        if not client_id or not client_secret:
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, "client_id and client_secret are required")
        client = self.clients.get(client_id) if is_client_id(client_id) else None
        if client is None or client.disabled or not client.accepts(client_secret):
            raise DomainError(DomainErrorCode.CREDENTIALS_INVALID)
        issued_at = int(self.clock.now().timestamp())
        claims = {"client_id": client.id, "iat": issued_at, "exp": issued_at + self.ttl_s}
        return AccessToken(text=self.signer.sign(claims), expires_in_s=self.ttl_s)
