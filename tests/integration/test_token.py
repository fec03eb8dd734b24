"""``POST /ims/token/v3``: form or query in, OAuth JSON out."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from lambdas import bootstrap
from lambdas.entrypoints import token
from tests.integration.cloud import Cloud
from tests.ports.conftest import TABLE


@pytest.fixture
def credentials(cloud: Cloud) -> dict[str, str]:
    client, secret = bootstrap.client_administration(TABLE).create("acme")
    return {"grant_type": "client_credentials", "client_id": client.id, "client_secret": secret, "scope": "openid"}


def ask(*, form: dict[str, str] | None = None, query: dict[str, str] | None = None, encoded: bool = False) -> Any:
    body = urlencode(form) if form else None
    if body and encoded:
        body = base64.b64encode(body.encode()).decode()
    answer = token.handler({"body": body, "queryStringParameters": query, "isBase64Encoded": encoded}, None)
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("way", ["form", "query", "encoded", "mixed"])
def test_a_token(credentials: dict[str, str], way: str) -> None:
    secret = {"client_secret": credentials["client_secret"]}
    rest = {name: value for name, value in credentials.items() if name != "client_secret"}
    arguments: dict[str, Any] = {
        "form": {"form": credentials},
        "query": {"query": credentials},
        "encoded": {"form": credentials, "encoded": True},
        "mixed": {"form": secret, "query": rest},
    }[way]
    status, body = ask(**arguments)
    assert status == 200
    assert (body["token_type"], body["expires_in"]) == ("bearer", 86_399)
    header = json.loads(base64.urlsafe_b64decode(body["access_token"].split(".")[0] + "=="))
    assert header["alg"] == "RS256"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": "#" * 5000}, 401, "invalid_client"),
        ({"client_id": ""}, 400, "invalid_request"),
        ({"client_secret": ""}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "unsupported_grant_type"),
    ],
)
def test_refusals(credentials: dict[str, str], changes: dict[str, str], status: int, error: str) -> None:
    answer = ask(form=credentials | changes)
    assert (answer[0], answer[1]["error"]) == (status, error)
    assert ask(query=None)[0] == 400


def test_two_secrets_live_and_the_third_ends_the_first(credentials: dict[str, str]) -> None:
    administration = bootstrap.client_administration(TABLE)
    second = administration.rotate(credentials["client_id"])
    assert ask(form=credentials)[0] == ask(form=credentials | {"client_secret": second})[0] == 200
    administration.rotate(credentials["client_id"])
    assert ask(form=credentials)[0] == 401
    assert ask(form=credentials | {"client_secret": second})[0] == 200


def test_the_secret_is_nowhere_in_the_table(credentials: dict[str, str]) -> None:
    import boto3

    items = boto3.resource("dynamodb").Table(TABLE).scan()["Items"]
    assert credentials["client_secret"] not in str(items)


def test_nothing_of_the_request_is_logged(
    credentials: dict[str, str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    ask(query=credentials)
    ask(query=credentials | {"client_secret": "wrong-secret"})
    seen = "".join(capsys.readouterr()) + caplog.text
    assert credentials["client_secret"] not in seen
    assert "wrong-secret" not in seen
