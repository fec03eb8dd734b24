"""What the OpenAPI document offers, and one client's own things for every identifier that its examples name."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import jsonschema_rs
import requests

from gpu_container.contract import ObjectRef, WorkFailure, WorkOrder, WorkResult
from lambdas.dialects.examples import (
    ASSET_ID,
    BATCH_ID,
    ENHANCEMENT_ID,
    MEDIA_TYPE,
    MESSAGE_ID,
    RECEIVER_URL,
    WEBHOOK_ID,
)
from lambdas.dialects.openapi import document, operations
from tests.integration.cloud import Answer, Cloud
from tests.integration.conftest import GOOD, pretend_work

DOCUMENT = document()
NAMED_BY = {
    "assets": ASSET_ID,
    "speech_enhancements": ENHANCEMENT_ID,
    "speech-enhancements": ENHANCEMENT_ID,
    "enhancements": ENHANCEMENT_ID,
    "batches": BATCH_ID,
    "webhooks": WEBHOOK_ID,
    "deliveries": MESSAGE_ID,
}
"""What the segment before an identifier says of it; a new kind of thing gets a line, and a way to make one below."""

PART_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Operation:
    """One operation with one of the bodies that its document shows; identifiers are those of the examples."""

    name: str
    method: str
    path: str
    body: Any
    form: bool
    responses: dict[str, Any]

    @property
    def takes_an_id(self) -> bool:
        return any(one in self.path + json.dumps(self.body) for one in NAMED_BY.values())


def offered() -> list[Operation]:
    """Return each operation with each of its examples."""
    return [
        Operation(spec["operationId"], method.upper(), _filled(path), body, form, spec["responses"])
        for method, path, spec in operations(DOCUMENT["paths"])
        for form, body in _bodies(spec)
    ]


def _filled(path: str) -> str:
    parts = path.split("/")
    pairs = zip(["", *parts[:-1]], parts, strict=True)
    return "/".join(NAMED_BY[before] if part.startswith("{") else part for before, part in pairs)


def _bodies(spec: dict[str, Any]) -> Iterator[tuple[bool, Any]]:
    if "requestBody" not in spec:
        yield False, None
        return
    for kind, media in spec["requestBody"]["content"].items():
        for example in schema_of(media)["examples"]:
            yield "form" in kind, example


def schema_of(media: dict[str, Any]) -> dict[str, Any]:
    name = media["schema"]["$ref"].rpartition("/")[2]
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name]
    return found


def problems(media: dict[str, Any], body: Any) -> list[str]:
    """Return what is wrong with a body."""
    schema = media["schema"] | {"components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    return [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(body)]


@dataclass
class Belongings:
    """One client's things, made as they are asked for."""

    cloud: Cloud
    caller: dict[str, str]

    def __post_init__(self) -> None:
        self.cloud.work = work_with_all_beside

    def for_the(self, operation: Operation) -> dict[str, str]:
        """Return the identifiers to put in the place of the examples'."""
        make: Callable[[], dict[str, str]] = {
            "linkParts": self._begun,
            "getUploadProgress": self._begun,
            "completeUpload": self._arrived,
            "cancelEnhancement": self._queued,
        }.get(operation.name, self._webhook if WEBHOOK_ID in operation.path else self._all)
        return make() if operation.takes_an_id else {}

    def call(self, operation: Operation, ids: dict[str, str]) -> Answer:
        """Send the operation with other identifiers than the examples'."""
        text = json.dumps({"path": operation.path, "body": operation.body})
        for example, own in ids.items():
            text = text.replace(example, own)
        sent = json.loads(text)
        return self.cloud.call(operation.method, sent["path"], sent["body"], headers=self.caller)

    def asset(self) -> str:
        body = {"fileName": "talk.wav", "byteSize": len(GOOD), "mediaType": MEDIA_TYPE}
        made = self.cloud.call("POST", "/v2/assets", body, headers=self.caller).body
        sent = requests.put(made["uploadUrl"], data=GOOD, headers={"Content-Type": MEDIA_TYPE}, timeout=5)
        assert sent.status_code == 200
        self.cloud.uploaded(made["id"], self.caller["x-api-key"])
        return str(made["id"])

    def enhancement(self, asset_id: str) -> str:
        body = {"source": {"asset_id": asset_id}, "strength": 55}
        return str(self.cloud.call("POST", "/v1/enhancements", body, headers=self.caller).body["id"])

    def _all(self) -> dict[str, str]:
        asset_id = self.asset()
        job_id = self.enhancement(asset_id)
        body = {"items": [{"source": {"asset_id": asset_id}, "strength": 60}]}
        batch_id = self.cloud.call("POST", "/v1/batches", body, headers=self.caller).body["id"]
        self.cloud.drain()
        return {ASSET_ID: asset_id, ENHANCEMENT_ID: job_id, BATCH_ID: batch_id}

    def _queued(self) -> dict[str, str]:
        return {ENHANCEMENT_ID: self.enhancement(self.asset())}

    def _webhook(self) -> dict[str, str]:
        body = {"url": RECEIVER_URL}
        webhook_id = self.cloud.call("POST", "/v1/webhooks", body, headers=self.caller).body["id"]
        told = self.cloud.call("POST", f"/v1/webhooks/{webhook_id}/test", headers=self.caller).body
        return {WEBHOOK_ID: webhook_id, MESSAGE_ID: told["id"]}

    def _begun(self) -> dict[str, str]:
        body = {"filename": "a.wav", "size_bytes": PART_BYTES + 1, "content_type": MEDIA_TYPE, "in_parts": True}
        return {ASSET_ID: self.cloud.call("POST", "/v1/assets", body, headers=self.caller).body["id"]}

    def _arrived(self) -> dict[str, str]:
        ids = self._begun()
        path = f"/v1/assets/{ids[ASSET_ID]}/parts"
        for part in self.cloud.call("POST", path, {"numbers": [1, 2]}, headers=self.caller).body["parts"]:
            assert requests.put(part["url"], data=bytes(part["size_bytes"]), timeout=20).status_code == 200
        return ids


def work_with_all_beside(order: WorkOrder) -> WorkResult | WorkFailure:
    """Work as the engine does when a full report is wanted."""
    done = pretend_work(order)
    assert isinstance(done, WorkResult)
    beside = {}
    for name in ("report", "spectrogram", "waveform", "peaks"):
        key = f"{order.output.key}.{name}"
        boto3.client("s3").put_object(Bucket=order.output.bucket, Key=key, Body=b"{}")
        beside[name] = ObjectRef(bucket=order.output.bucket, key=key)
    return done.model_copy(update=beside)
