"""Whatever is sent to whatever operation: the answer is a refusal that the document describes, and never an error."""

import json
from typing import Any

import pytest

from lambdas import bootstrap
from lambdas.core.rates import RateClass
from tests.integration.cloud import TABLE, Answer, Cloud
from tests.integration.offer import NAMED_BY, Belongings, Operation, offered, problems

OPERATIONS = list({one.name: one for one in offered() if not one.form}.values())
WITH_BODY = [one for one in OPERATIONS if one.body is not None]

BODIES = {
    "nothing": "",
    "no JSON": "{",
    "no object": "[]",
    "null": "null",
    "text": '"text"',
    "deep": "[" * 5000,
    "many digits": '{"a": ' + "9" * 5000 + "}",
    "not a number": '{"strength": NaN}',
    "infinity": '{"strength": 1e999}',
    "a field that is half a character": '{"\\ud800": 1}',
    "a field that is nothing": '{"": 1, "\\u0000": 2}',
    "byte order mark": "\ufeff{}",
    "no UTF-8": "\u00e9\u0000\ud800",
}
VALUES: dict[str, Any] = {
    "half a character": "\ud800",
    "a NUL": "a\x00b",
    "a huge number": 10**400,
    "a tiny number": 1e-320,
    "minus nothing": -0.0,
    "a list": [[]],
    "an object": {"": None},
    "true": True,
    "null": None,
    "long text": "x" * 100_000,
    "a path": "../../etc/passwd",
    "a right-to-left mark": "\u202ewav.exe",
}
KINDS = (
    *("multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"),
    *("application/xml", "application/json; charset=latin-1", "nonsense", "\u00e9"),
)
QUERIES = (
    *("limit=0", "limit=101", "limit=x", "limit=", "limit=1e1", "limit=99999999999999999999", "limit=1&limit=2"),
    *("cursor=x", "cursor=%00", "cursor=%ED%A0%80", "status=x", "status=", "asset_id=x", "asset_id=%00", "wait=-1"),
    *("wait=21", "wait=nan", "created_after=0", "created_after=0001-01-01T00:00:00%2B23:59", "created_before=x"),
    *("created_before=9999-12-31T23:59:59-23:59", "created_after=2026-01-01T00:00:00", "from=0", "to=1e9", "to=x"),
    *("from=9999-12-31", "to=0001-01-01", "from=2026-02-30", "nothing=1", "%00=%00", "=", "&&&"),
)
IDS = ("x", "%00", "\u00e9", "a b", "..", "\ud83d\ude00", "x" * 3000, "00000000-0000-0000-0000-000000000000", "{}", "*")


@pytest.fixture
def client(shared_cloud: Cloud) -> Belongings:
    caller = shared_cloud.sign_in("acme")  # one that has nothing yet: lists stay short
    for rate_class in RateClass:
        bootstrap.client_administration(TABLE).set_rate_limit(caller["x-api-key"], rate_class, 1_000_000)
    return Belongings(shared_cloud, caller)


def check(operation: Operation, answer: Answer) -> None:
    """Hold an answer against the document."""
    assert str(answer.status) in operation.responses, f"{answer.status}: {answer.text}"
    for kind, media in operation.responses[str(answer.status)].get("content", {}).items():
        assert answer.headers["Content-Type"] == kind
        assert problems(media, answer.body) == []


def each(operations: list[Operation]) -> Any:
    return pytest.mark.parametrize("operation", operations, ids=lambda one: f"{one.method} {one.path}")


@each(WITH_BODY)
def test_bodies_that_are_none(client: Belongings, operation: Operation) -> None:
    for raw in BODIES.values():
        answer = client.cloud.call(operation.method, operation.path, raw=raw, headers=client.caller)
        assert 400 <= answer.status < 500
        check(operation, answer)


@each(WITH_BODY)
def test_values_that_nobody_expects(client: Belongings, operation: Operation) -> None:
    for path in _places(operation.body):
        for value in VALUES.values():
            raw = json.dumps(_with(operation.body, path, value))
            answer = client.cloud.call(operation.method, operation.path, raw=raw, headers=client.caller)
            check(operation, answer)


@each(WITH_BODY)
def test_kinds_that_are_not_json(client: Belongings, operation: Operation) -> None:
    for kind in KINDS:
        headers = client.caller | {"content-type": kind}
        answer = client.cloud.call(operation.method, operation.path, operation.body, headers=headers)
        check(operation, answer)
        assert kind.startswith("application/json") or answer.status == 422


@each(OPERATIONS)
def test_queries_and_keys(client: Belongings, operation: Operation) -> None:
    for query in QUERIES:
        path = f"{operation.path}?{query}"
        check(operation, client.cloud.call(operation.method, path, operation.body, headers=client.caller))
    for key in ("", "x" * 256, "\u00e9", "a\x00b", "a,b"):
        headers = client.caller | {"Idempotency-Key": key}
        check(operation, client.cloud.call(operation.method, operation.path, operation.body, headers=headers))


@each([one for one in OPERATIONS if set(NAMED_BY.values()) & set(one.path.split("/"))])
def test_identifiers_that_are_none(client: Belongings, operation: Operation) -> None:
    parts = operation.path.split("/")
    places = [index for index, part in enumerate(parts) if part in NAMED_BY.values()]
    for place in places:
        for text in IDS:
            path = "/".join([*parts[:place], text, *parts[place + 1 :]])
            answer = client.cloud.call(operation.method, path, operation.body, headers=client.caller)
            assert answer.status == 404, f"{text!r}: {answer.text}"
            check(operation, answer)


def _places(body: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where in a body something can be replaced."""
    pairs = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [place for key, value in pairs for place in ((*before, key), *_places(value, (*before, key)))]


def _with(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = body.copy()
    copy[path[0]] = _with(body[path[0]], path[1:], value)
    return copy
