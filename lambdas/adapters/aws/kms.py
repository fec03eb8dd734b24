"""Access tokens: RS256 JSON Web Tokens whose private key never leaves KMS.

Every function imports this module and only those that answer clients check a token: the libraries that do it are a
quarter of a function's start, and are loaded by the first check.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lambdas.adapters.aws.errors import domain_errors

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient

ALGORITHM = "RS256"
ISSUER = "cleartake"


@dataclass(frozen=True)
class KmsTokenSigner:
    """Signs with ``kms:Sign`` (RSASSA_PKCS1_V1_5_SHA_256, which is RS256)."""

    client: "KMSClient"
    key_id: str

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a compact JWT (RFC 7519)."""
        header = {"alg": ALGORITHM, "typ": "JWT"}
        signed = f"{_segment(header)}.{_segment({'iss': ISSUER, **claims})}"
        with domain_errors():
            answer = self.client.sign(
                KeyId=self.key_id,
                Message=signed.encode(),
                MessageType="RAW",
                SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
            )
        return f"{signed}.{_base64url(answer['Signature'])}"


@dataclass
class KmsTokenVerifier:
    """Checks with the public key, fetched once per function container."""

    client: "KMSClient"
    key_id: str
    _public_key: Any = field(default=None, init=False)

    def verify(self, token: str, *, now: datetime) -> Mapping[str, object] | None:
        """Return the claims of a token that we signed and that has not expired, else None."""
        import jwt  # noqa: PLC0415 - see above

        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(),
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["exp", "iss"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return None
        expires_at = claims["exp"]
        return claims if isinstance(expires_at, int) and expires_at > now.timestamp() else None

    def _key(self) -> Any:
        from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415 - see above

        if self._public_key is None:
            with domain_errors():
                self._public_key = load_der_public_key(self.client.get_public_key(KeyId=self.key_id)["PublicKey"])
        return self._public_key


def _segment(document: Mapping[str, object]) -> str:
    return _base64url(json.dumps(document, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
