"""Writes the Power Platform connector's files, or tells whether the committed ones are still the route table's.

The definition is made of the API's document and of ``scripts.connector_table``; ``script.csx``, ``Readme.md`` and
``intro.md`` beside it are written by hand.
"""

import argparse
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imread, imsave
from numpy.typing import NDArray

from lambdas.dialects.examples import ORIGIN
from lambdas.dialects.native.events import NativeEvent
from lambdas.dialects.openapi import VERSION, document, operations
from scripts.connector_table import (
    DESCRIPTIONS,
    KEPT_OF_ANSWERS,
    NEVER_SHOWN,
    NOTIFICATION_URL,
    OPERATIONS,
    SUMMARIES,
    Shown,
)
from scripts.swagger import JsonSchema, from_openapi

FOLDER = Path(__file__).resolve().parents[1] / "connector"
DEFINITION, PROPERTIES, SETTINGS, ICON = "apiDefinition.swagger.json", "apiProperties.json", "settings.json", "icon.png"

NAME = "Cleartake"
BRAND_COLOR = "#0f766e"
ICON_SIZE = 230

HOST, API_KEY = "host", "api_key"
"""Connection parameters. The platform binds the second to the security definition of the same name."""

REFUSED = "Refused. The body is a problem document (RFC 9457); its code is stable and says what to do."

NOT_YET = "Accepted, not finished: the platform asks again at Location, after Retry-After, until there is a 200."
ASKED = "What is asked for."

_JSON = "application/json"


def definition() -> dict[str, Any]:
    """Return the connector's OpenAPI 2.0 document."""
    whole = document()
    schemas = whole["components"]["schemas"]
    known = {
        operation["operationId"]: (method, path, operation) for method, path, operation in operations(whole["paths"])
    }
    paths: dict[str, dict[str, Any]] = {}
    definitions: dict[str, JsonSchema] = {}
    for shown in OPERATIONS:
        method, path, operation = known[shown.operation_id]
        item = paths.setdefault(path, {})
        item[method] = _operation(shown, operation, schemas, definitions)
        if shown.is_trigger:
            item["x-ms-notification-content"] = {
                "description": "The end of an enhancement.",
                "schema": _reference("Event", _event(), definitions),
            }
    return {
        "swagger": "2.0",
        "info": {
            "title": NAME,
            "description": "Speech enhancement in your own AWS account: takes noise and echo from recordings.",
            "version": VERSION,
            "contact": {"name": NAME},
        },
        "host": ORIGIN.removeprefix("https://"),
        "basePath": "/",
        "schemes": ["https"],
        "consumes": [_JSON],
        "produces": [_JSON],
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {API_KEY: {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        "security": [{API_KEY: []}],
        "x-ms-connector-metadata": [{"propertyName": "Categories", "propertyValue": "AI;Content and Files"}],
    }


def properties() -> dict[str, Any]:
    """Return what the platform has to know beside the definition: the connection, and where calls go."""
    parameter = "x-ms-apimTemplateParameter"
    pages = {one.next_link: one.id for one in OPERATIONS if one.next_link}
    return {
        "properties": {
            "iconBrandColor": BRAND_COLOR,
            "capabilities": ["actions", "triggers"],
            "publisher": NAME,
            "stackOwner": NAME,
            "connectionParameters": {
                HOST: _connection_parameter(
                    "string",
                    "Host",
                    "Where your Cleartake is, without https:// and without a slash at the end, such as "
                    "speech.example.com or abc123.execute-api.eu-west-1.amazonaws.com/prod.",
                    tab=1,
                ),
                API_KEY: _connection_parameter(
                    "securestring", "API key", "The API key of a client that was made with --api-key.", tab=2
                ),
            },
            "policyTemplateInstances": [
                {
                    "templateId": "dynamichosturl",
                    "title": "Call the connection's host",
                    "parameters": {f"{parameter}.urlTemplate": f"https://@connectionParameters('{HOST}')"},
                },
                *(
                    {
                        "templateId": "updatenextlink",
                        "title": "Ask for the next page through the platform",
                        "parameters": {
                            "x-ms-apimTemplate-operationName": [operation_id],
                            f"{parameter}.nextLinkPropertyName": name,
                        },
                    }
                    for name, operation_id in pages.items()
                ),
            ],
        }
    }


def settings() -> dict[str, Any]:
    """Return what Microsoft's command line (``paconn``) is to upload; connector and environment are asked for there."""
    return {
        "connectorId": None,
        "environment": None,
        "apiProperties": PROPERTIES,
        "apiDefinition": DEFINITION,
        "icon": ICON,
        "script": "script.csx",
        "powerAppsApiVersion": "2016-11-01",
        "powerAppsUrl": "https://api.powerapps.com",
    }


def texts() -> dict[str, str]:
    """Return the files that are JSON, by name."""
    made = {DEFINITION: definition(), PROPERTIES: properties(), SETTINGS: settings()}
    return {name: json.dumps(one, indent=2, ensure_ascii=False) + "\n" for name, one in made.items()}


def icon() -> NDArray[np.uint8]:
    """Draw the icon: bars that are ragged on the left and a clean envelope on the right, white on the brand's colour.

    Returns
    -------
    numpy.ndarray
        [230, 230, 3], RGB.
    """
    scale, bars = 4, 9
    side = ICON_SIZE * scale
    y, x = np.mgrid[0:side, 0:side] / side
    ragged = np.array([0.30, 0.09, 0.34, 0.13, 0.32, 0.26, 0.30, 0.21, 0.12])
    inside = np.zeros((side, side), dtype=bool)
    for center, half_height in zip(np.linspace(0.16, 0.84, bars), ragged, strict=True):
        radius = 0.024
        beyond = np.maximum(np.abs(y - 0.5) - half_height, 0)
        inside |= np.hypot(x - center, beyond) <= radius
    coverage = inside.reshape(ICON_SIZE, scale, ICON_SIZE, scale).mean(axis=(1, 3))[..., None]
    ground = np.array([int(BRAND_COLOR[at : at + 2], 16) for at in (1, 3, 5)])
    return np.asarray(np.rint(ground + coverage * (255 - ground)), dtype=np.uint8)


def main() -> int:
    """Compare, or write with ``--write``; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--write", action="store_true", help="renew connector/")
    way.add_argument("--check", action="store_true", help="compare with connector/; so it is without any argument")
    if parser.parse_args().write:
        _write()
        return 0
    if stale := stale_files():
        print(f"connector/ is not what the route table says ({', '.join(stale)}); renew it: make connector")
    return 1 if stale else 0


def stale_files() -> list[str]:
    """Return which of the committed files are not what would be made."""
    stale = [name for name, text in texts().items() if (FOLDER / name).read_text(encoding="utf-8") != text]
    drawn = np.rint(imread(FOLDER / ICON)[..., :3] * 255).astype(np.uint8)
    return stale + ([] if np.array_equal(drawn, icon()) else [ICON])


def _write() -> None:
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    drawn = io.BytesIO()
    imsave(drawn, icon(), format="png", metadata={"Software": "scripts.connector"})
    (FOLDER / ICON).write_bytes(drawn.getvalue())


def _operation(
    shown: Shown, operation: Mapping[str, Any], schemas: Mapping[str, Any], definitions: dict[str, JsonSchema]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": shown.id,
        "summary": shown.summary,
        "description": shown.description,
        "parameters": [
            *(_parameter(one, schemas) for one in operation.get("parameters", ()) if one["name"] not in shown.hidden),
            *_body(shown, operation, schemas, definitions),
        ],
        "responses": _responses(operation, schemas, definitions),
    }
    if shown.visibility:
        found["x-ms-visibility"] = shown.visibility
    if shown.is_trigger:
        found["x-ms-trigger"] = "single"
        found["x-ms-trigger-hint"] = "Finish an enhancement to see it work now."
    if shown.next_link:
        found["x-ms-pageable"] = {"nextLinkName": shown.next_link}
    return found


def _parameter(parameter: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    name, is_required = parameter["name"], bool(parameter.get("required"))
    schema = from_openapi(parameter["schema"], schemas)
    return {
        "name": name,
        "in": parameter["in"],
        "required": is_required,
        **schema,
        **({"collectionFormat": "multi"} if schema["type"] == "array" else {}),
        **({"x-ms-url-encoding": "single"} if parameter["in"] == "path" else {}),
        "x-ms-summary": summary_of(name),
        "description": _sentence(parameter["description"]),
        "x-ms-visibility": "important" if is_required else "advanced",
    }


def _body(
    shown: Shown, operation: Mapping[str, Any], schemas: Mapping[str, Any], definitions: dict[str, JsonSchema]
) -> list[dict[str, Any]]:
    if "requestBody" not in operation:
        return []
    name = _name_of(operation["requestBody"]["content"][_JSON]["schema"])
    schema = from_openapi(schemas[name], schemas, hidden=shown.hidden)
    for dotted in shown.alternatives:
        _offer(schema, dotted)
    for field, default in shown.defaults.items():
        schema["properties"][field]["default"] = default
    schema["description"] = ASKED
    _label(schema, sent=True)
    if shown.is_trigger:
        schema["properties"][NOTIFICATION_URL] |= {"x-ms-notification-url": True, "x-ms-visibility": "internal"}
    return [
        {
            "name": "body",
            "in": "body",
            "required": True,
            "schema": _reference(name, schema, definitions),
            "x-ms-summary": summary_of("body"),
            "description": ASKED,
            "x-ms-visibility": "important",
        }
    ]


def _responses(
    operation: Mapping[str, Any], schemas: Mapping[str, Any], definitions: dict[str, JsonSchema]
) -> dict[str, Any]:
    """Return the answers: one schema, on 200 or 201, because the designer shows no other one's.

    Behind a 202 lies a `Location` that the platform follows until it gets 200 with the same schema.
    """
    found: dict[str, Any] = {}
    for status, answer in sorted(operation["responses"].items()):
        if not status.startswith("2"):
            continue
        found[status] = {"description": NOT_YET if status == "202" else _sentence(answer["description"])}
        if "content" not in answer:
            continue
        name = _name_of(answer["content"][_JSON]["schema"])
        shown_at = "200" if status == "202" else status
        schema = _reference(name, _answer(name, schemas), definitions)
        found[shown_at] = {"description": _sentence(schemas[name]["description"]), "schema": schema}
    return {**dict(sorted(found.items())), "default": {"description": REFUSED}}


def _answer(name: str, schemas: Mapping[str, Any]) -> JsonSchema:
    kept = KEPT_OF_ANSWERS.get(name)
    others = tuple(schemas[name]["properties"].keys() - kept) if kept else ()
    schema = from_openapi(schemas[name], schemas, hidden=(*NEVER_SHOWN, *others))
    _label(schema, sent=False)
    return schema


def _event() -> JsonSchema:
    written = NativeEvent.model_json_schema(mode="serialization")
    schema = from_openapi(written, written["$defs"])
    _label(schema, sent=False)
    return schema


def _label(schema: JsonSchema, *, sent: bool, parent: str = "") -> None:
    """Give every field its summary, and where it is ``sent`` its place in the designer; `ValueError` without words."""
    for name, one in schema.get("properties", {}).items():
        if "description" not in one:
            msg = f"{name} has no description: say in its model what it is"
            raise ValueError(msg)
        one["x-ms-summary"] = summary_of(name, parent)
        one["description"] = _sentence(DESCRIPTIONS.get(name, one["description"]) if sent else one["description"])
        if sent:
            one.setdefault("x-ms-visibility", "important" if name in schema.get("required", ()) else "advanced")
        _label(one, sent=sent, parent=name)
        _label(one.get("items", {}), sent=sent, parent=name)


def _offer(schema: JsonSchema, dotted: str) -> None:
    """Show a field and what it needs, but require nothing within it; the platform leaves out what is empty."""
    for name in dotted.split("."):
        schema = schema["properties"][name]
    for needed in schema.pop("required"):
        schema["properties"][needed]["x-ms-visibility"] = "important"
    schema.pop("x-nullable", None)
    schema["x-ms-visibility"] = "important"


def _reference(name: str, schema: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    short = name.removeprefix("Native")
    if definitions.setdefault(short, schema) != schema:
        msg = f"two schemas are called {short}"
        raise ValueError(msg)
    return {"$ref": f"#/definitions/{short}"}


def _name_of(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"].rpartition("/")[2])


def summary_of(name: str, parent: str = "") -> str:
    """Return a field's name in the designer: the table's, else its own in words."""
    return SUMMARIES.get(f"{parent}.{name}") or SUMMARIES.get(name) or name.replace("_", " ").capitalize()


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _connection_parameter(kind: str, label: str, text: str, *, tab: int) -> dict[str, Any]:
    return {
        "type": kind,
        "uiDefinition": {
            "displayName": label,
            "description": text,
            "tooltip": text,
            "constraints": {"tabIndex": tab, "clearText": kind == "string", "required": "true"},
        },
    }


if __name__ == "__main__":
    sys.exit(main())
