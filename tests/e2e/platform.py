"""Power Automate, as far as a connector can tell: it knows the definition's files and a connection, and nothing else.

Calls go through a gateway of the platform's own, which adds the connection's host and key. The connector's script leads
a `Location` through it too; so here, a `Location` is called only if it is an operation of the definition.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jsonschema_rs

from scripts.swagger import to_json_schema

METHODS = ("get", "put", "post", "patch", "delete")
TIMEOUT_S = 120


@dataclass(frozen=True)
class Operation:
    """One operation of the definition."""

    method: str
    path: str
    spec: dict[str, Any]

    def matches(self, method: str, path: str) -> bool:
        pattern = re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(self.path))
        return method == self.method and re.fullmatch(pattern, path) is not None


@dataclass
class Platform:
    """One connection, and what was called through it."""

    folder: Path
    base_url: str
    api_key: str
    count: Callable[[httpx.Request], None]
    transcript: list[str]

    def __post_init__(self) -> None:
        self.definition = json.loads((self.folder / "apiDefinition.swagger.json").read_text(encoding="utf-8"))
        self.operations = {
            spec["operationId"]: Operation(method.upper(), path, spec)
            for path, item in self.definition["paths"].items()
            for method, spec in item.items()
            if method in METHODS
        }
        key = self.definition["securityDefinitions"]["api_key"]
        assert key["in"] == "header"
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [self.count]}
        self.http = httpx.Client(headers={key["name"]: self.api_key}, timeout=70, event_hooks=hooks, trust_env=False)

    def call(self, operation_id: str, body: Any = None, **parameters: Any) -> Any:
        """Run an action as a flow does: its result is what comes with 200, however long that takes."""
        operation = self.operations[operation_id]
        answer = self._send(operation_id, *self._request(operation, body, parameters))
        deadline = time.monotonic() + TIMEOUT_S
        while answer.status_code == 202:
            assert time.monotonic() < deadline, "it never ended"
            time.sleep(float(answer.headers["Retry-After"]))
            answer = self._follow("GET", answer.headers["Location"])
        return self._result(operation, answer)

    def subscribe(self, operation_id: str, callback_url: str) -> str:
        """Turn on a flow with the trigger; returns where to turn it off."""
        operation = self.operations[operation_id]
        assert operation.spec["x-ms-trigger"] == "single"
        (parameter,) = operation.spec["parameters"]
        fields = self.schema(parameter["schema"])["properties"]
        body = {name: one["default"] for name, one in fields.items() if "default" in one}
        body |= {name: callback_url for name, one in fields.items() if one.get("x-ms-notification-url")}
        answer = self._send(operation_id, *self._request(operation, body, {}))
        assert answer.status_code == 201
        self._result(operation, answer)
        return answer.headers["Location"]

    def unsubscribe(self, location: str) -> int:
        """Turn the flow off."""
        return self._follow("DELETE", location).status_code

    def problems_of_notification(self, operation_id: str, payload: Any) -> list[str]:
        """Return what of a notification is not as the definition promises."""
        item = self.definition["paths"][self.operations[operation_id].path]
        return self._problems(item["x-ms-notification-content"]["schema"], payload)

    def pages(self, operation_id: str, **parameters: Any) -> list[Any]:
        """Return all pages, as an action with paging turned on gets them."""
        name = self.operations[operation_id].spec["x-ms-pageable"]["nextLinkName"]
        found = [self.call(operation_id, **parameters)]
        while link := found[-1].get(name):
            found.append(self._follow("GET", link).json())
        return found

    def schema(self, reference: dict[str, Any]) -> dict[str, Any]:
        name = reference["$ref"].removeprefix("#/definitions/")
        found: dict[str, Any] = self.definition["definitions"][name]
        return found

    def _request(self, operation: Operation, body: Any, given: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
        path, more = operation.path, {"params": {}, "headers": {}, "json": body}
        for one in operation.spec["parameters"]:
            name = one["name"]
            if one["in"] == "body":
                assert self._problems(one["schema"], body) == []
            elif one["in"] == "path":
                path = path.replace(f"{{{name}}}", given.pop(name))
            elif name in given:
                more["params" if one["in"] == "query" else "headers"][name] = given.pop(name)
        assert not given, f"the definition has no {given}"
        return operation.method, self.base_url + path, more

    def _follow(self, method: str, url: str) -> httpx.Response:
        path = urlsplit(url).path
        assert url.startswith(f"{self.base_url}/"), "it leads elsewhere"
        (known,) = (name for name, one in self.operations.items() if one.matches(method, path))
        return self._send(known, method, url, {})

    def _send(self, operation_id: str, method: str, url: str, more: dict[str, Any]) -> httpx.Response:
        answer = self.http.request(method, url, **more)
        self.transcript.append(f"{operation_id:20} {method:6} {url.removeprefix(self.base_url)} → {answer.status_code}")
        return answer

    def _result(self, operation: Operation, answer: httpx.Response) -> Any:
        promised = operation.spec["responses"].get(str(answer.status_code))
        assert promised, f"{answer.status_code}: {answer.text}"
        result = answer.json()
        assert self._problems(promised["schema"], result) == []
        return result

    def _problems(self, reference: dict[str, Any], value: Any) -> list[str]:
        validator = jsonschema_rs.Draft4Validator(to_json_schema(self.schema(reference)))
        found = [error for error in validator.iter_errors(value) if not _is_local_address(error)]
        return [f"{list(error.instance_path)}: {error.message}" for error in found]


def _is_local_address(error: jsonschema_rs.ValidationError) -> bool:
    """Return whether all that is wrong is a loopback address, which the local cloud alone takes without TLS."""
    return error.kind.name == "pattern" and str(error.instance).startswith("http://127.0.0.1:")
