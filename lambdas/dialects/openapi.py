"""The one OpenAPI document of all that is offered, made from the route table."""

from collections.abc import Iterable, Mapping
from typing import Any

from lambdas.dialects.adobe import ims
from lambdas.dialects.common import METHODS, Dialect
from lambdas.dialects.registry import DIALECTS

VERSION = "0.1.0"
OPENAPI_VERSION = "3.1.0"

ABOUT = """\
Speech enhancement in your own AWS account, behind several API faces over the same recordings and enhancements: what \
one face makes, the others see. A call carries an access token (`POST /ims/token/v3`); Adobe's faces want the client's \
identifier beside it, as `x-api-key`; the native face also takes an API key alone, from clients that are allowed to."""

SECURITY_SCHEMES: Mapping[str, Mapping[str, str]] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of `POST /ims/token/v3`; it lives for a day.",
    },
    "clientId": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The client's identifier, beside its token.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "`<client id>.<client secret>`, instead of a token, of a client that is allowed to.",
    },
}

_WITHOUT_BODY = {"204", "302"}
_SCHEMA = "#/components/schemas/"


class ClashError(ValueError):
    """Two dialects call different things by one name: merged, one would silently replace the other."""


def document(dialects: Iterable[Dialect] = DIALECTS) -> dict[str, Any]:
    """Return the document; raises `ClashError` where two dialects cannot stand in one.

    The server's URL is relative: wherever the document lies, under a stage or at a domain's root, the API is beside it.
    """
    paths: dict[str, Any] = {ims.PATH: {"post": dict(ims.OPERATION)}}
    schemas: dict[str, Any] = dict(ims.SCHEMAS)
    tags = {ims.TAG: "Access tokens, for all faces."}
    for dialect in dialects:
        own = dialect.schema()
        _add(schemas, own["components"]["schemas"], f"schema of {dialect.name}")
        tags |= {tag: tags.get(tag, "") for tag in _tagged(own["paths"], dialect)}
        tags |= {dialect.title: dialect.about} if dialect.title in tags else {}
        for path, item in sorted(own["paths"].items()):
            _add(paths.setdefault(path, {}), item, f"operation on {path} of {dialect.name}")
    _check_operation_ids(paths)
    for _, _, operation in operations(paths):
        _tidy(operation)
        _lift_examples(operation, schemas)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Cleartake",
            "version": VERSION,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": ".", "description": "Where this document was fetched from"}],
        "tags": [{"name": name, **({"description": about} if about else {})} for name, about in tags.items()],
        "paths": paths,
        "components": {"securitySchemes": SECURITY_SCHEMES, "schemas": dict(sorted(schemas.items()))},
    }


def operations(paths: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path and operation of everything under ``paths``."""
    return [(method, path, item[method]) for path, item in paths.items() for method in METHODS if method in item]


def _tagged(paths: Mapping[str, Any], dialect: Dialect) -> list[str]:
    """Give each operation its security, and a tag where it has none; returns the tags in their order."""
    found: dict[str, None] = {}
    for _, _, operation in operations(paths):
        operation["security"] = [{name: list(scopes) for name, scopes in one.items()} for one in dialect.security]
        operation["tags"] = operation.get("tags") or [dialect.title]
        found |= dict.fromkeys(operation["tags"])
    return list(found)


def _add(known: dict[str, Any], more: Mapping[str, Any], what: str) -> None:
    for name, value in more.items():
        if known.setdefault(name, value) != value:
            raise ClashError(f"another {what} is called {name}")


def _check_operation_ids(paths: Mapping[str, Any]) -> None:
    seen: set[str] = set()
    for method, path, operation in operations(paths):
        name = operation["operationId"]
        if name in seen:
            raise ClashError(f"another operation than {method} {path} is called {name}")
        seen.add(name)


def _tidy(operation: dict[str, Any]) -> None:
    """Say what Powertools cannot: which answers have no body, and that a parameter is left out and never null."""
    operation["responses"] = dict(sorted(operation["responses"].items()))
    for status in _WITHOUT_BODY & operation["responses"].keys():
        operation["responses"][status].pop("content", None)
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
        if len(choices) == 1:
            parameter["schema"] = {**choices[0], **{key: schema[key] for key in schema if key != "anyOf"}}


def _lift_examples(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> None:
    """Show a model's first example where it is a body: not every reader looks for it in the schema."""
    answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    for holder in (operation.get("requestBody", {}), *answers):
        for media in holder.get("content", {}).values():
            name = media.get("schema", {}).get("$ref", "").removeprefix(_SCHEMA)
            for example in schemas.get(name, {}).get("examples", [])[:1]:
                media.setdefault("example", example)
