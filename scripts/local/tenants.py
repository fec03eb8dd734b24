"""The two clients that a local cloud has from the start, and where their secrets are kept for the person."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from lambdas.core.errors import DomainError
from scripts.local import emulator
from scripts.local.paths import Cloud, LauncherError

FIRST, SECOND = "local", "local-second"
"""Two, so that one can see that neither reaches the other's files."""

RATE = 60_000
"""Calls in a minute: on one's own machine nobody is in the way. Other clients have the product's limits."""

EnsureClient = Callable[[str], tuple[str, str]]
IsKnown = Callable[[str], bool]


@dataclass(frozen=True)
class Credentials:
    """What ``local.json`` holds."""

    base_url: str
    client_id: str
    client_secret: str
    second_client_id: str
    second_client_secret: str

    @classmethod
    def read(cls, path: Path) -> "Credentials | None":
        """Return what was written to ``path``; None if nothing usable was."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    @classmethod
    def require(cls, path: Path) -> "Credentials":
        """Return what was written to ``path``; raises `LauncherError` where there is no cloud yet."""
        known = cls.read(path)
        if known is None:
            raise LauncherError("There is no local cloud here yet. Start it: make up")
        return known

    def write(self, path: Path) -> None:
        """Write to ``path``, readable by its owner alone."""
        scratch = path.with_suffix(".partial")
        scratch.unlink(missing_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=2)
        scratch.replace(path)


def ensure(path: Path, base_url: str, *, ensure_client: EnsureClient, is_known: IsKnown) -> Credentials:
    """Keep the credentials of an earlier start if the service still knows both clients; else make them anew."""
    kept = Credentials.read(path)
    pairs = [(kept.client_id, kept.client_secret), (kept.second_client_id, kept.second_client_secret)] if kept else []
    if not pairs or not all(is_known(client_id) for client_id, _ in pairs):
        pairs = [ensure_client(FIRST), ensure_client(SECOND)]
    (client_id, client_secret), (second_id, second_secret) = pairs
    credentials = Credentials(base_url, client_id, client_secret, second_id, second_secret)
    credentials.write(path)
    return credentials


def ensure_in_cloud(cloud: Cloud, table: str) -> Credentials:
    """Do the same against the table of a running local cloud."""
    emulator.enter(cloud)
    from lambdas.bootstrap import client_administration  # noqa: PLC0415 - reads the environment that was just set
    from lambdas.core.rates import RateClass  # noqa: PLC0415

    administration = client_administration(table)

    def ensure_client(name: str) -> tuple[str, str]:
        client, secret = administration.create(name, takes_api_keys=True, rate_limits=dict.fromkeys(RateClass, RATE))
        return client.id, secret

    try:
        return ensure(
            cloud.credentials_file,
            cloud.base_url,
            ensure_client=ensure_client,
            is_known=lambda client_id: administration.clients.get(client_id) is not None,
        )
    except DomainError as error:
        log = cloud.logs / "emulator.log"
        raise LauncherError(f"The clients could not be set up: {error.message}\nSee {log}") from error
