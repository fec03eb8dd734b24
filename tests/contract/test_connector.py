"""The Power Platform connector: committed as it is made, valid, and by the rules of those who show it to makers."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from matplotlib.image import imread

from lambdas.core.jobs import JobStatus
from lambdas.core.ports import JobOutcome
from lambdas.core.webhooks import ENDS, event_of_outcome
from lambdas.dialects.native.requests import NativeEnhancementRequest
from scripts import connector
from scripts.connector_table import OPERATIONS, Shown
from scripts.swagger import NULLABLE, from_openapi, to_json_schema

FOLDER = connector.FOLDER
DEFINITION = json.loads((FOLDER / connector.DEFINITION).read_text(encoding="utf-8"))
PROPERTIES = json.loads((FOLDER / connector.PROPERTIES).read_text(encoding="utf-8"))["properties"]
METHODS = {"get", "put", "post", "delete", "patch"}
SPOKEN = [
    (method, path, operation)
    for path, item in DEFINITION["paths"].items()
    for method, operation in item.items()
    if method in METHODS
]
NAMES = [operation["operationId"] for _, _, operation in SPOKEN]
each = pytest.mark.parametrize(("method", "path", "operation"), SPOKEN, ids=NAMES)

FORMATS = {
    "int32",
    "int64",
    "float",
    "double",
    "byte",
    "binary",
    "date",
    "date-time",
    "password",
    "email",
    "uri",
    "uuid",
}
UNKNOWN_TO_2_0 = {"anyOf", "oneOf", "not", "const", "nullable", "examples", "$defs", "title", "exclusiveMinimum"}


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for one in tree:
            yield from nodes(one)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = DEFINITION["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    return found


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, one in schema.get("properties", {}).items():
        yield name, one
        yield from fields(one)
        yield from fields(one.get("items", {}))


def test_the_committed_files_are_the_route_tables() -> None:
    assert connector.stale_files() == [], "renew them: make connector"


def test_the_definition_is_openapi_2_0_of_a_size_that_is_taken() -> None:
    schemathesis.openapi.from_dict(deepcopy(DEFINITION)).validate()
    broken = deepcopy(DEFINITION)
    del broken["paths"]["/v1/runs"]["post"]["responses"]
    with pytest.raises(Exception, match="responses"):
        schemathesis.openapi.from_dict(broken).validate()
    assert (FOLDER / connector.DEFINITION).stat().st_size < 1_000_000


def test_it_says_nothing_that_2_0_has_no_words_for() -> None:
    for node in nodes(DEFINITION["definitions"]):
        assert not UNKNOWN_TO_2_0 & node.keys()
        assert isinstance(node.get("type", ""), str | dict)  # a field may be called so
    used = set(re.findall(r'"#/definitions/(\w+)"', json.dumps(DEFINITION)))
    assert used == set(DEFINITION["definitions"])
    formats = {node["format"] for node in nodes(DEFINITION) if isinstance(node.get("format"), str)}
    assert formats <= FORMATS


def test_every_operation_of_the_table_is_there_once() -> None:
    assert sorted(NAMES) == sorted(shown.id for shown in OPERATIONS)
    assert len({name.lower() for name in NAMES}) == len(NAMES)


@each
def test_an_operation_is_worded_for_the_designer(method: str, path: str, operation: dict[str, Any]) -> None:
    assert re.fullmatch("[A-Za-z0-9]+", operation["operationId"])
    assert re.fullmatch(r"[A-Z][^.!?]*", operation["summary"])
    assert len(operation["summary"]) <= 80
    assert operation["description"].endswith(".")
    assert operation["description"].rstrip(".") != operation["summary"]
    assert operation.get("x-ms-visibility", "important") in {"important", "advanced", "internal"}


@each
def test_a_parameter_and_a_field_are_too(method: str, path: str, operation: dict[str, Any]) -> None:
    sent = [(one["name"], one) for one in operation["parameters"]]
    for name, one in list(sent):
        sent += fields(resolved(one["schema"])) if "schema" in one else ()
        assert one["in"] != "path" or (f"{{{name}}}" in path and one["x-ms-url-encoding"] == "single")
    answered = [
        found
        for answer in operation["responses"].values()
        if "schema" in answer
        for found in fields(resolved(answer["schema"]))
    ]
    for name, one in sent + answered:
        assert 0 < len(one["x-ms-summary"]) <= 80, name
        assert one["description"].endswith("."), name
    for name, one in sent:
        assert one["x-ms-visibility"] in {"important", "advanced", "internal"}, name
        asks_for_nothing = one["x-ms-visibility"] != "internal" or "default" in one or "x-ms-notification-url" in one
        assert asks_for_nothing, f"{name} is needed, and nobody can give it"


@each
def test_one_schema_where_the_designer_looks_for_it(method: str, path: str, operation: dict[str, Any]) -> None:
    with_schema = [status for status, answer in operation["responses"].items() if "schema" in answer]
    assert with_schema in (["200"], ["201"]) or (method == "delete" and with_schema == [])
    for status in with_schema:
        assert resolved(operation["responses"][status]["schema"])["properties"]


def test_the_trigger_registers_tells_and_unregisters() -> None:
    ((path, trigger),) = [(path, one) for _, path, one in SPOKEN if "x-ms-trigger" in one]
    assert trigger["x-ms-trigger"] == "single"
    (body,) = trigger["parameters"]
    marked = [one for _, one in fields(resolved(body["schema"])) if "x-ms-notification-url" in one]
    assert [(one["x-ms-notification-url"], one["x-ms-visibility"]) for one in marked] == [(True, "internal")]
    assert "201" in trigger["responses"]
    deletes = [one for method, other, one in SPOKEN if method == "delete" and other.startswith(f"{path}/{{")]
    assert [one["x-ms-visibility"] for one in deletes] == ["internal"]
    assert resolved(DEFINITION["paths"][path]["x-ms-notification-content"]["schema"])["properties"]


@pytest.mark.parametrize("status", sorted(ENDS))
def test_what_a_flow_is_told_is_what_the_trigger_promises(status: JobStatus) -> None:
    error_code = "input_corrupt" if status is JobStatus.FAILED else None
    outcome = JobOutcome("client", "job", "asset", status.value, datetime(2026, 3, 2, tzinfo=UTC), error_code)
    told = json.loads(event_of_outcome(outcome).payload)
    schema = to_json_schema(DEFINITION["definitions"]["Event"])
    assert [error.message for error in jsonschema_rs.Draft4Validator(schema).iter_errors(told)] == []
    names = {name for name, _ in fields(DEFINITION["definitions"]["Event"])}
    assert names == told.keys() | told["data"].keys() | told["data"]["links"].keys()


def test_pages_go_through_the_platform() -> None:
    pageable = {
        one["operationId"]: one["x-ms-pageable"]["nextLinkName"] for _, _, one in SPOKEN if "x-ms-pageable" in one
    }
    assert pageable == {"ListEnhancements": "nextLink"}
    (policy,) = (one for one in PROPERTIES["policyTemplateInstances"] if one["templateId"] == "updatenextlink")
    assert policy["parameters"] == {
        "x-ms-apimTemplate-operationName": list(pageable),
        "x-ms-apimTemplateParameter.nextLinkPropertyName": "nextLink",
    }


def test_the_connection_is_a_host_and_a_key() -> None:
    parameters = PROPERTIES["connectionParameters"]
    assert {name: one["type"] for name, one in parameters.items()} == {"host": "string", "api_key": "securestring"}
    assert all(one["uiDefinition"]["constraints"]["required"] == "true" for one in parameters.values())
    assert DEFINITION["securityDefinitions"] == {"api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"}}
    assert DEFINITION["security"] == [{"api_key": []}]
    (policy,) = (one for one in PROPERTIES["policyTemplateInstances"] if one["templateId"] == "dynamichosturl")
    template = policy["parameters"]["x-ms-apimTemplateParameter.urlTemplate"]
    assert template == "https://@connectionParameters('host')"


def test_no_audio_goes_through_the_platform() -> None:
    names = {name for name, _ in fields(DEFINITION["definitions"]["EnhancementRequest"])}
    assert {"href", "strength"} <= names
    assert not {"upload", "webhook", "asset_id"} & names
    assert not [node for node in nodes(DEFINITION) if node.get("type") == "file" or node.get("format") == "binary"]


@pytest.mark.parametrize(
    "source",
    [
        {"url": {"href": "https://example.com/talk.wav"}},
        {"s3": {"uri": "s3://recordings/talk.wav", "role_arn": "arn:aws:iam::123456789012:role/cleartake-source-a"}},
    ],
    ids=["url", "s3"],
)
def test_a_recording_comes_from_either_place_alone(source: dict[str, Any]) -> None:
    asked = DEFINITION["definitions"]["EnhancementRequest"]
    validator = jsonschema_rs.Draft4Validator(to_json_schema(asked))
    body = {"source": source, "strength": 90}
    assert [error.message for error in validator.iter_errors(body)] == []
    taken = NativeEnhancementRequest.model_validate_json(json.dumps(body))
    assert taken.source.model_dump(exclude_unset=True) == source


def test_no_place_of_a_recording_is_asked_for_beside_the_other() -> None:
    source = DEFINITION["definitions"]["EnhancementRequest"]["properties"]["source"]
    assert [node["required"] for node in nodes(source) if "required" in node] == []
    assert [name for name, one in source["properties"].items() if NULLABLE in one] == []
    seen = {name for name, one in fields(source) if one["x-ms-visibility"] == "important"}
    assert seen == {"url", "href", "s3", "uri", "role_arn"}
    labels = [one["x-ms-summary"] for _, one in fields(source)]
    assert len(set(labels)) == len(labels)


def test_the_icon_is_of_the_size_and_colours_that_are_taken() -> None:
    picture = imread(FOLDER / connector.ICON)
    assert picture.shape[:2] == (230, 230)
    ground = "#" + "".join(f"{round(float(value) * 255):02x}" for value in picture[0, 0, :3])
    assert ground == PROPERTIES["iconBrandColor"]
    assert ground not in {"#ffffff", "#007ee5"}


def test_what_is_uploaded_is_there() -> None:
    settings = json.loads((FOLDER / connector.SETTINGS).read_text())
    for name in ("apiProperties", "apiDefinition", "icon", "script"):
        assert (FOLDER / settings[name]).is_file()
    readme = (FOLDER / "Readme.md").read_text()
    shown = [one.summary for one in OPERATIONS if one.visibility != "internal"]
    assert re.findall(r"^### (.+)$", readme, re.MULTILINE) == shown
    assert (FOLDER / "intro.md").read_text().strip()


def test_the_script_looks_for_the_root_that_all_paths_have() -> None:
    (root,) = re.findall(r'ApiRoot = "(.+)"', (FOLDER / "script.csx").read_text())
    assert all(path.startswith(root) for path in DEFINITION["paths"])


def test_a_field_that_nobody_has_described_cannot_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "OPERATIONS", (Shown("GetUsage", "getUsage", "Get usage", "Says what was done."),))
    with pytest.raises(ValueError, match="days has no description"):
        connector.definition()


def test_alternatives_that_2_0_cannot_say_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="no alternatives"):
        from_openapi({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {})


def test_a_reference_that_may_be_null_keeps_the_words_beside_it() -> None:
    schemas = {"Level": {"type": "string", "enum": ["low", "high"], "description": "Of all."}}
    asked = {"anyOf": [{"$ref": "#/components/schemas/Level"}, {"type": "null"}], "description": "Of this."}
    made = from_openapi(asked, schemas)
    assert made == {"type": "string", "enum": ["low", "high"], "description": "Of this.", "x-nullable": True}
    validator = jsonschema_rs.Draft4Validator(to_json_schema(made))
    assert [validator.is_valid(one) for one in ("low", None, "other")] == [True, True, False]
