"""The CPU lane's function, and whether the GPU lane's endpoint is awake."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpu_container.contract import WorkOrder
from lambdas.adapters.aws.errors import domain_errors
from lambdas.core.errors import DomainError
from lambdas.core.ports import Dispatched

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

logger = logging.getLogger(__name__)

WARMTH_KNOWN_FOR_S = 30.0


@dataclass(frozen=True)
class LambdaBackend:
    """The CPU lane: the container as a function. Its end, well or badly, goes to the topics that ``complete`` hears."""

    client: "LambdaClient"
    function_name: str

    def dispatch(self, order: WorkOrder, *, inference_id: str) -> Dispatched:
        """Start the function with the order; the inference's id travels along and comes back in the notice."""
        document = {**order.model_dump(mode="json"), "inference_id": inference_id}
        with domain_errors():
            self.client.invoke(
                FunctionName=self.function_name, InvocationType="Event", Payload=json.dumps(document).encode()
            )
        return Dispatched(None, None)


@dataclass
class EndpointWarmth:
    """Asks SageMaker for the endpoint's instances, and remembers the answer for half a minute."""

    client: Any
    endpoint_name: str
    now_s: Callable[[], float] = time.monotonic
    _known: tuple[float, bool] | None = field(default=None, init=False)

    def is_warm(self) -> bool:
        """Return whether an instance is in service; False where SageMaker does not say."""
        if self._known is None or self.now_s() - self._known[0] > WARMTH_KNOWN_FOR_S:
            self._known = (self.now_s(), self._ask())
        return self._known[1]

    def _ask(self) -> bool:
        try:
            with domain_errors():
                found = self.client.describe_endpoint(EndpointName=self.endpoint_name)
        except DomainError:
            logger.exception("the endpoint's state cannot be read")
            return False
        return any(variant.get("CurrentInstanceCount", 0) > 0 for variant in found.get("ProductionVariants", ()))


class AlwaysWarm:
    """The endpoint's look-alike on one machine."""

    def is_warm(self) -> bool:
        """Return True: it runs as long as the local cloud does."""
        return True
