"""Version 2 is Adobe's document, field by field, and shares version 1's words."""

from typing import Any

import pytest

from lambdas.core.assets import AssetStatus
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.jobs import JobStatus
from lambdas.dialects import adobe_words
from lambdas.dialects.adobe_v2 import translate
from lambdas.dialects.adobe_v2.protocol import AdobeV2SpeechEnhancementRequest
from lambdas.dialects.registry import dialect

ASSET_ID = "91c8c3bf-be89-4284-a4f3-cfda5352fc4c"

OPERATIONS = {
    ("post", "/v2/assets"): {"201", "401", "403", "422", "429"},
    ("get", "/v2/assets/{id}"): {"200", "401", "403", "404", "429"},
    ("delete", "/v2/assets/{id}"): {"204", "401", "403", "404", "429"},
    ("post", "/v2/speech-enhancements"): {"202", "401", "403", "404", "422", "429"},
    ("get", "/v2/speech-enhancements/{id}"): {"200", "401", "403", "404", "429"},
}
"""Adobe's document: operations and their statuses."""

REQUIRED = {
    "AdobeV2AssetRequest": ["fileName", "byteSize", "mediaType"],
    "AdobeV2Asset": [
        *("id", "fileName", "uploadUrl", "status", "byteSize", "mediaType", "checksum", "updatedAt", "createdAt"),
    ],
    "AdobeV2SpeechEnhancementRequest": ["strength", "input"],
    "AdobeV2Input": ["uploadId"],
    "AdobeV2SpeechEnhancement": [
        *("id", "strength", "modelId", "assetId", "requestedProcessingAt", "finishedProcessingAt", "status", "output"),
    ],
    "AdobeError": ["error_code", "message"],
}
"""Adobe's document: fields that are always there."""


def test_every_core_word_has_one_of_adobes() -> None:
    assert set(adobe_words.ASSET_STATUS) == set(AssetStatus)
    assert set(adobe_words.JOB_STATUS) == set(JobStatus)
    assert set(adobe_words.ERRORS) == set(DomainErrorCode)


def test_adobes_statuses_are_the_ones_it_documents() -> None:
    assert set(adobe_words.JOB_STATUS.values()) == {"queued", "processing", "succeeded", "failed"}
    assert set(adobe_words.ASSET_STATUS.values()) == {"waiting_for_upload", "ready_for_processing", "invalid_upload"}


def test_operations_and_their_statuses_are_those_of_adobes_document() -> None:
    found = {
        (method, path): set(operation["responses"])
        for path, item in dialect("adobe-v2").schema()["paths"].items()
        for method, operation in item.items()
    }
    assert found == OPERATIONS


@pytest.mark.parametrize("name", REQUIRED)
def test_fields_are_those_of_adobes_document(name: str) -> None:
    schema = dialect("adobe-v2").schema()["components"]["schemas"][name]
    assert schema["required"] == list(schema["properties"]) == REQUIRED[name]


@pytest.mark.parametrize(
    ("asked", "done"), [(1, 1), (1.4, 1), (12.5, 13), (89.5, 90), (90.49, 90), (99.6, 100), (100, 100)]
)
def test_any_number_is_a_strength_and_its_nearest_whole_one_is_done(asked: float, done: int) -> None:
    body = AdobeV2SpeechEnhancementRequest.model_validate({"strength": asked, "input": {"uploadId": "x"}})
    assert translate.to_wish(body).strength == done
    assert translate.to_wish(body).is_unique


def test_an_upload_id_is_the_prefix_and_an_identifier() -> None:
    assert translate.to_asset_id(f"audio-services:asset:{ASSET_ID}") == ASSET_ID


@pytest.mark.parametrize(
    "text", ["", ASSET_ID, f"audio-services:image:{ASSET_ID}", "audio-services:asset:", "audio-services:asset:x"]
)
def test_anything_else_is_not_there(text: str) -> None:
    with pytest.raises(DomainError) as refused:
        translate.to_asset_id(text)
    assert refused.value.code is DomainErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    ("kind", "place", "value", "message"),
    [
        ("missing", ("input", "uploadId"), {}, "/properties/input missing required parameters: uploadId"),
        ("float_type", ("strength",), "x", '/properties/strength expected number, but received String: "x"'),
        (
            "string_type",
            ("input", "uploadId"),
            7,
            "/properties/input/properties/uploadId expected string, but received Integer: 7",
        ),
    ],
)
def test_messages_point_into_the_document(kind: str, place: tuple[str, ...], value: Any, message: str) -> None:
    schema = "#/paths/~1v2~1speech-enhancements/post/requestBody/content/application~1json/schema"
    errors = [{"type": kind, "loc": ("body", *place), "input": value}]
    assert adobe_words.validation_message("/v2/speech-enhancements", errors) == f"{schema}{message}"
