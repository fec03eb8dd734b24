"""No operation of any dialect does anything with what belongs to another client, or tells that it is there."""

import uuid
from typing import Any

import pytest

from lambdas.dialects.examples import ASSET_ID, ENHANCEMENT_ID
from tests.integration.cloud import Answer, Cloud
from tests.integration.offer import NAMED_BY, Belongings, Operation, offered

PER_ITEM = "createBatch"
"""Answers for each of its items."""

OPERATIONS = [one for one in offered() if one.takes_an_id]


@pytest.fixture(scope="module")
def owner(shared_cloud: Cloud) -> Belongings:
    return Belongings(shared_cloud, shared_cloud.sign_in("owner"))


@pytest.fixture(scope="module")
def stranger(shared_cloud: Cloud) -> Belongings:
    return Belongings(shared_cloud, shared_cloud.sign_in("stranger"))


def told(answer: Answer) -> Any:
    """Return an answer without what is different each time."""
    return (answer.status, {name: value for name, value in answer.body.items() if name != "request_id"})


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if one.name != PER_ITEM],
    ids=lambda one: f"{one.method} {one.path}",
)
def test_another_clients_things_are_not_there(owner: Belongings, stranger: Belongings, operation: Operation) -> None:
    ids = owner.for_the(operation)
    answer = stranger.call(operation, ids)
    assert answer.status == 404, answer.text
    nothing = stranger.call(operation, {example: str(uuid.uuid4()) for example in NAMED_BY.values()})
    assert told(answer) == told(nothing)
    done = owner.call(operation, ids)
    assert done.status < 400, f"the owner's own call: {done.text}"


def test_items_of_a_batch_too(owner: Belongings, stranger: Belongings) -> None:
    (operation,) = (one for one in OPERATIONS if one.name == PER_ITEM)
    answer = stranger.call(operation, owner.for_the(operation))
    refused, _ = answer.body["items"]
    assert (refused["enhancement"], refused["error"]["code"]) == (None, "not_found")


def test_lists_and_usage_hold_ones_own(owner: Belongings, stranger: Belongings, shared_cloud: Cloud) -> None:
    ids = owner.for_the(next(one for one in OPERATIONS if one.name == "getEnhancement"))
    for path in (f"/v1/enhancements?asset_id={ids[ASSET_ID]}", "/v1/enhancements?limit=100", "/v1/assets?limit=100"):
        shown = shared_cloud.call("GET", path, headers=stranger.caller)
        assert shown.status == 200
        assert not {ids[ASSET_ID], ids[ENHANCEMENT_ID]} & {item["id"] for item in shown.body["items"]}
    assert shared_cloud.call("GET", "/v1/usage", headers=stranger.caller).body["audio_minutes"] == 0
