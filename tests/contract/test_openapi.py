"""The OpenAPI document: committed as it is made, valid, complete, and without two things of one name."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from lambdas.dialects.common import Dialect
from lambdas.dialects.openapi import VERSION, ClashError, document, operations
from lambdas.dialects.registry import DIALECTS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = document()
OPERATIONS = operations(DOCUMENT["paths"])


def test_the_committed_document_is_the_route_tables() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert committed == DOCUMENT, "renew it: python -m scripts.openapi --write"


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_its_version_is_the_products() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_every_route_of_every_dialect_is_in_it() -> None:
    routes = {(route.method.lower(), route.path) for dialect in DIALECTS for route in dialect.routes()}
    assert routes | {("post", "/ims/token/v3")} == {(method, path) for method, path, _ in OPERATIONS}


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS])
def test_an_operation_says_all_a_reader_needs(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    used = {name for one in operation["security"] for name in one}
    assert used <= set(DOCUMENT["components"]["securitySchemes"])
    assert bool(used) == (path != "/ims/token/v3")
    successes = [status for status in operation["responses"] if status.startswith(("2", "3"))]
    assert len(successes) == 1 or successes == ["200", "202"]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS])
def test_an_operation_shows_its_body_and_its_answer(method: str, path: str, operation: dict[str, Any]) -> None:
    main = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    for holder in (operation.get("requestBody", {}), *main):
        for media in holder.get("content", {}).values():
            schema = media["schema"] | {"components": DOCUMENT["components"]}
            validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
            assert [error.message for error in validator.iter_errors(media["example"])] == []


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    names = set(DOCUMENT["components"]["schemas"])
    text = json.dumps(DOCUMENT)
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used == names


def test_what_the_fuzzing_makes_allowances_for_is_there_and_named_once() -> None:
    for name in ("fuzz_api.toml", "fuzz_api_ids.toml"):
        entries = tomllib.loads((ROOT / "scripts" / name).read_text(encoding="utf-8"))["operations"]
        named = [one for entry in entries for one in entry.get("include-operation-id", ())]
        assert len(set(named)) == len(named)
        assert set(named) <= {operation["operationId"] for _, _, operation in OPERATIONS}
        tags = {tag for entry in entries for tag in entry.get("include-tag", ())}
        assert tags <= {tag["name"] for tag in DOCUMENT["tags"]}


def clashing(**changes: Any) -> Dialect:
    return replace(DIALECTS[0], name="other", prefixes=("/other",), **changes)


def test_another_schema_of_the_same_name_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Dialect.schema

    def schema(self: Dialect) -> dict[str, Any]:
        made = original(self)
        if self.name == "other":
            made["components"]["schemas"]["AdobeAsset"]["properties"]["id"] = {"type": "integer"}
        return made

    monkeypatch.setattr(Dialect, "schema", schema)
    with pytest.raises(ClashError, match="schema of other is called AdobeAsset"):
        document((*DIALECTS, clashing()))


def test_another_operation_of_the_same_path_is_a_mistake() -> None:
    with pytest.raises(ClashError, match="operation on /v1/assets"):
        document((*DIALECTS, clashing(build=DIALECTS[-1].build, title="Other")))


def test_another_operation_of_the_same_name_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Dialect.schema

    def schema(self: Dialect) -> dict[str, Any]:
        made = original(self)
        if self.name == "other":
            made["paths"] = {f"/other{path}": item for path, item in made["paths"].items()}
        return made

    monkeypatch.setattr(Dialect, "schema", schema)
    with pytest.raises(ClashError, match="is called adobe"):
        document((*DIALECTS, clashing()))
