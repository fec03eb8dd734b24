"""Called by workers for the keys to the order in their hands; neither question nor answer is ever logged."""

from typing import Any

from pydantic import ConfigDict, TypeAdapter

from gpu_container.contract import AccessRequest, ProbeAccess, WorkAccess
from lambdas import bootstrap
from lambdas.entrypoints.logs import logger

REQUEST: TypeAdapter[WorkAccess | ProbeAccess] = TypeAdapter(
    AccessRequest, config=ConfigDict(hide_input_in_errors=True)
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one request."""
    return bootstrap.access_service().answer(REQUEST.validate_python(event)).model_dump(mode="json")
