"""Administering clients. A secret is returned once, at its making, and never again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from lambdas.core.clients import DEFAULT_MAX_ACTIVE, DEFAULT_MAX_QUEUED, Client, new_secret
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.ports import ClientRegistry, Clock, IdFactory
from lambdas.core.rates import RateClass

NO_LIMITS_OF_ITS_OWN: Mapping[RateClass, int] = MappingProxyType({})


@dataclass(frozen=True)
class ClientAdministration:
    """Create, list, rotate, disable."""

    clients: ClientRegistry
    clock: Clock
    ids: IdFactory

    def create(
        self,
        name: str,
        *,
        max_active: int = DEFAULT_MAX_ACTIVE,
        max_queued: int = DEFAULT_MAX_QUEUED,
        takes_api_keys: bool = False,
        rate_limits: Mapping[RateClass, int] = NO_LIMITS_OF_ITS_OWN,
    ) -> tuple[Client, str]:
        """Return a new client and its secret."""
        now, secret = self.clock.now(), new_secret()
        client = Client(
            id=self.ids.new_id().replace("-", ""),
            name=name,
            created_at=now,
            max_active=max_active,
            max_queued=max_queued,
            takes_api_keys=takes_api_keys,
            rate_limits=rate_limits,
        ).with_secret(secret, now=now)
        self.clients.add(client)
        return client, secret

    def rotate(self, client_id: str) -> str:
        """Return an additional secret; the newest two are valid."""
        secret = new_secret()
        self.clients.save(self._existing(client_id).with_secret(secret, now=self.clock.now()))
        return secret

    def set_rate_limit(self, client_id: str, rate_class: RateClass, calls_per_minute: int) -> None:
        """Give a client a limit of its own; running functions notice within half a minute."""
        client = self._existing(client_id)
        self.clients.save(replace(client, rate_limits={**client.rate_limits, rate_class: calls_per_minute}))

    def set_slots(self, client_id: str, *, max_active: int | None = None, max_queued: int | None = None) -> None:
        """Change how many jobs of a client may run and wait; None leaves it as it is. What is beyond runs or waits on.

        Raises
        ------
        DomainError
            NOT_FOUND, or PARAMETER_INVALID for less than one: who shall do nothing is disabled.
        """
        client = self._existing(client_id)
        active = client.max_active if max_active is None else max_active
        queued = client.max_queued if max_queued is None else max_queued
        if min(active, queued) < 1:
            raise DomainError(DomainErrorCode.PARAMETER_INVALID, "a client may have at least one job")
        self.clients.save(replace(client, max_active=active, max_queued=queued))

    def set_disabled(self, client_id: str, *, disabled: bool) -> None:
        """Shut a client out, or let it in again; running functions notice within half a minute."""
        self.clients.save(replace(self._existing(client_id), disabled=disabled))

    def _existing(self, client_id: str) -> Client:
        client = self.clients.get(client_id)
        if client is None:
            raise DomainError(DomainErrorCode.NOT_FOUND, f"there is no client {client_id}")
        return client
