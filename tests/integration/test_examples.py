"""Every example of the OpenAPI document is sent as it stands, and the answer is what the document says."""

from urllib.parse import urlencode

import pytest

from lambdas import bootstrap
from tests.integration.cloud import TABLE, Answer, Cloud
from tests.integration.offer import Belongings, Operation, offered, problems

OFFERED = offered()


@pytest.fixture(scope="module")
def belongings(shared_cloud: Cloud) -> Belongings:
    return Belongings(shared_cloud, shared_cloud.sign_in("acme"))


def check(operation: Operation, answer: Answer) -> None:
    expected, described = next((s, r) for s, r in operation.responses.items() if s.startswith(("2", "3")))
    assert str(answer.status) == expected, answer.text
    if "content" not in described:
        assert answer.text == ""
        assert ("Location" in answer.headers) == (expected == "302")
        return
    ((kind, media),) = described["content"].items()
    assert answer.headers["Content-Type"] == kind
    assert problems(media, answer.body) == []


@pytest.mark.parametrize(
    "operation", [one for one in OFFERED if not one.form], ids=lambda one: f"{one.method} {one.path}"
)
def test_an_example_does_what_the_document_says(belongings: Belongings, operation: Operation) -> None:
    check(operation, belongings.call(operation, belongings.for_the(operation)))


def test_the_token_form(shared_cloud: Cloud) -> None:
    (operation,) = (one for one in OFFERED if one.form)
    client, secret = bootstrap.client_administration(TABLE).create("acme")
    form = urlencode(operation.body | {"client_id": client.id, "client_secret": secret})
    headers = {"content-type": "application/x-www-form-urlencoded"}
    check(operation, shared_cloud.call("POST", operation.path, raw=form, headers=headers))
    refused = shared_cloud.call("POST", operation.path, raw=urlencode(operation.body), headers=headers)
    assert refused.status == 401
    assert problems(operation.responses["401"]["content"]["application/json"], refused.body) == []
