"""OpenAPI 3.1's schemas in the words of OpenAPI 2.0, which has neither types that may be null nor alternatives."""

from collections.abc import Collection, Mapping
from typing import Any

JsonSchema = dict[str, Any]

KEPT = (
    "type",
    "format",
    "description",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
)
"""What both say the same way. Conditions between fields have no words in 2.0: the API's answer names them."""

NULLABLE = "x-nullable"
"""What generators have agreed on; a vendor's extension to everybody else."""

_NULL = {"type": "null"}


def from_openapi(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], *, hidden: Collection[str] = (), at: str = ""
) -> JsonSchema:
    """Return a schema without references, alternatives and the ``hidden`` fields.

    Parameters
    ----------
    schema, schemas
        A schema of an OpenAPI 3.1 document, and all that it may refer to, by name.
    hidden
        Fields to leave out, dotted (``source.upload``); those of a list's items as if they were its own.
    at
        Where the schema stands, dotted.

    Raises
    ------
    ValueError
        If there are alternatives that are more than "or null".
    """
    plain, is_nullable = _without_null(_resolved(schema, schemas), schemas)
    found = {key: _number(plain[key]) for key in KEPT if key in plain}
    if isinstance(default := plain.get("default"), str | int | float | list):
        found["default"] = default
    if examples := plain.get("examples"):
        found["example"] = examples[0]
    if "items" in plain:
        found["items"] = from_openapi(plain["items"], schemas, hidden=hidden, at=at)
    if "properties" in plain:
        shown = {
            name: from_openapi(one, schemas, hidden=hidden, at=_below(at, name))
            for name, one in plain["properties"].items()
            if _below(at, name) not in hidden
        }
        found["required"] = [name for name in plain.get("required", ()) if name in shown]
        found["properties"] = shown
        found.pop("example", None)  # it may name what is hidden
    if is_nullable:
        found[NULLABLE] = True
    return {key: value for key, value in found.items() if value != []}


def to_json_schema(schema: Any) -> Any:
    """Return a schema of OpenAPI 2.0 as a validator of JSON Schema reads it: `NULLABLE` is part of the type."""
    if isinstance(schema, list):
        return [to_json_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: to_json_schema(value) for key, value in schema.items() if key != NULLABLE}
    return {"anyOf": [plain, _NULL]} if schema.get(NULLABLE) is True else plain


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> JsonSchema:
    """Return what a reference leads to, with what stands beside it in the place of its own."""
    if "$ref" not in schema:
        return dict(schema)
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**schemas[schema["$ref"].rpartition("/")[2]], **beside}


def _without_null(schema: JsonSchema, schemas: Mapping[str, Any]) -> tuple[JsonSchema, bool]:
    """Return the schema, and whether it may be null; alternatives that are conditions between fields are dropped."""
    if "anyOf" not in schema or "properties" in schema:
        return schema, False
    choices = [one for one in schema["anyOf"] if one != _NULL]
    if len(choices) != 1:
        msg = f"OpenAPI 2.0 has no alternatives: {schema['anyOf']}"
        raise ValueError(msg)
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**_resolved(choices[0], schemas), **beside}, len(schema["anyOf"]) > 1


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
