"""Keys for a worker, through the real handler: while its order is worked on, and not after."""

from typing import Any

import pytest

from gpu_container.contract import AccessGrant, ProbeAccess, ProbeOrder, WorkAccess, WorkOrder
from lambdas.entrypoints import access
from tests.integration.cloud import Cloud, Context
from tests.integration.conftest import pretend_probe, pretend_work
from tests.integration.test_flow import enhance, upload


def ask(request: WorkAccess | ProbeAccess) -> dict[str, Any]:
    answer: dict[str, Any] = access.handler(request.model_dump(mode="json"), Context())
    return answer


def keys_of(order: WorkOrder) -> dict[str, Any]:
    return ask(WorkAccess(job_id=order.job_id, attempt=order.attempt, task_token=order.task_token or ""))


def test_keys_are_lent_while_the_order_is_worked_on(cloud: Cloud) -> None:
    outcomes: list[str] = []

    def probe(order: ProbeOrder) -> dict[str, Any]:
        outcomes.append(ask(ProbeAccess(input_key=order.input.key))["outcome"])
        return pretend_probe(order)

    def work(order: WorkOrder) -> Any:
        granted = AccessGrant.model_validate(keys_of(order))
        outcomes.extend(["granted" if granted.session_token else "", keys_of(stolen(order))["outcome"]])
        return pretend_work(order)

    cloud.probe, cloud.work = probe, work
    caller = cloud.sign_in("acme")
    enhance(cloud, caller, upload(cloud, caller))
    cloud.drain()

    assert outcomes == ["granted", "granted", "refused"]
    assert keys_of(cloud.dispatched[0])["outcome"] == "refused"


def stolen(order: WorkOrder) -> WorkOrder:
    """Return the order as somebody would have it who knows all of it but its token."""
    return order.model_copy(update={"task_token": "guessed"})


def test_a_request_that_cannot_be_read_shows_no_token(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="job_id") as error:
        access.handler({"purpose": "work", "task_token": "the-token"}, Context())
    assert "the-token" not in str(error.value) + capsys.readouterr().out
