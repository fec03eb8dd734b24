"""The keys to one order: asked for when its work begins, and asked for again while it lasts.

The container's own role reaches no recording. A function of the orchestration (``lambdas.core.services.access``) lends
credentials that reach the objects of one order, to whoever holds the order and for as long as somebody waits for it.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import botocore.session
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from pydantic import ConfigDict, TypeAdapter

from gpu_container.contract import (
    AccessAnswer,
    AccessGrant,
    AccessRefusal,
    ProbeAccess,
    ProbeOrder,
    WorkAccess,
    WorkOrder,
)
from gpu_container.serving.clients import Clients, make_clients
from gpu_container.serving.settings import ServingSettings
from gpu_container.serving.storage import StorageError

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

_ANSWER: Final[TypeAdapter[AccessGrant | AccessRefusal]] = TypeAdapter(
    AccessAnswer, config=ConfigDict(hide_input_in_errors=True)
)


class AccessRefusedError(Exception):
    """Nobody waits for this order any more."""


@dataclass(frozen=True)
class Access:
    """Opens orders.

    Attributes
    ----------
    loader
        Shared by all orders' clients: reading the descriptions of AWS's services takes longer than all the rest.
    """

    settings: ServingSettings
    function: "LambdaClient"
    loader: Loader

    def to_work(self, order: WorkOrder) -> Clients:
        """Return clients that reach what one order reads and writes, and renew their keys themselves.

        Raises
        ------
        AccessRefusedError, StorageError
            Here, and the first also where later keys are refused.
        """
        proof = WorkAccess(job_id=order.job_id, attempt=order.attempt, task_token=order.task_token or "")
        return self._open(proof)

    def to_probe(self, order: ProbeOrder) -> Clients:
        """Return clients that reach one upload; raises as `to_work`."""
        return self._open(ProbeAccess(input_key=order.input.key))

    def _open(self, request: WorkAccess | ProbeAccess) -> Clients:
        def renew() -> dict[str, str]:
            return _as_botocore(self._ask(request))

        credentials = RefreshableCredentials.create_from_metadata(renew(), renew, "cleartake-access")
        session = botocore.session.Session()
        session.register_component("data_loader", self.loader)
        session.register_component("credential_provider", _Held(credentials))
        return make_clients(self.settings, session.create_client)

    def _ask(self, request: WorkAccess | ProbeAccess) -> AccessGrant:
        try:
            answer = self.function.invoke(
                FunctionName=self.settings.access_function, Payload=request.model_dump_json().encode()
            )
            body = answer["Payload"].read()
        except ClientError as error:
            raise StorageError("access", str(error.response["Error"]["Code"]), retryable=True) from error
        except BotoCoreError as error:
            raise StorageError("access", type(error).__name__, retryable=True) from error
        if "FunctionError" in answer:
            raise StorageError("access", str(json.loads(body).get("errorType", "unknown")), retryable=True)
        granted = _ANSWER.validate_json(body)
        if isinstance(granted, AccessRefusal):
            raise AccessRefusedError
        return granted


@dataclass(frozen=True)
class _Held:
    """What a session asks for its credentials."""

    credentials: RefreshableCredentials

    def load_credentials(self) -> RefreshableCredentials:
        return self.credentials


def _as_botocore(grant: AccessGrant) -> dict[str, str]:
    return {
        "access_key": grant.access_key_id,
        "secret_key": grant.secret_access_key,
        "token": grant.session_token,
        "expiry_time": grant.expires_at.isoformat(),
    }


def make_access(settings: ServingSettings, session: botocore.session.Session) -> Access | None:
    """Return what opens orders, on the process's own session; None where its own credentials are to do."""
    if not settings.access_function:
        return None
    # A cold start of the function takes seconds, and room for it minutes where the account's functions are all busy:
    # this is three of them on average. An order that waited for its worker can wait for its keys.
    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 22})
    function: Any = session.create_client("lambda", config=config)
    return Access(settings, function, session.get_component("data_loader"))
