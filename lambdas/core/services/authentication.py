"""Who is calling: an API key that names a client, and a token that proves it."""

from dataclasses import dataclass

from lambdas.core.clients import Client, is_client_id
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.ports import ClientRegistry, Clock, TokenSigner, TokenVerifier

CLIENT_CREDENTIALS = "client_credentials"


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
