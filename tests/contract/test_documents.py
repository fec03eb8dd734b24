"""Documents of every schema version that may still be on its way: both sides must read them for ever one version on."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from gpu_container.contract import (
    SCHEMA_VERSION,
    AccessGrant,
    AccessRefusal,
    ErrorCode,
    PartOrder,
    PartResult,
    ProbeAccess,
    ProbeFailure,
    ProbeOrder,
    ProbeResult,
    WorkAccess,
    WorkFailure,
    WorkOrder,
    WorkResult,
)

FIXTURES = Path(__file__).parent / "fixtures"
MODELS: dict[str, type[BaseModel]] = {
    "work_order": WorkOrder,
    "work_result": WorkResult,
    "work_failure": WorkFailure,
    "part_order": PartOrder,
    "part_result": PartResult,
    "probe_order": ProbeOrder,
    "probe_result": ProbeResult,
    "probe_failure": ProbeFailure,
    "work_access": WorkAccess,
    "probe_access": ProbeAccess,
    "access_grant": AccessGrant,
    "access_refusal": AccessRefusal,
}


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda path: path.name)
def test_committed_documents_are_still_read(path: Path) -> None:
    name, version, _ = path.name.split(".")
    document = MODELS[name].model_validate_json(path.read_text())
    assert f"v{document.schema_version}" == version  # type: ignore[attr-defined]


def test_every_document_has_a_fixture_of_this_version() -> None:
    present = {path.name for path in FIXTURES.glob("*.json")}
    assert {f"{name}.v{SCHEMA_VERSION}.json" for name in MODELS} <= present


@pytest.mark.parametrize("name", MODELS)
def test_a_newer_writers_fields_are_ignored_and_its_version_is_not(name: str) -> None:
    text = (FIXTURES / f"{name}.v{SCHEMA_VERSION}.json").read_text()
    model = MODELS[name]
    assert model.model_validate_json(text.replace("{", '{"field_of_tomorrow": 1, ', 1))
    newer = text.replace(f'"schema_version": {SCHEMA_VERSION}', f'"schema_version": {SCHEMA_VERSION + 1}')
    with pytest.raises(ValidationError):
        model.model_validate_json(newer)


def test_error_codes_are_append_only() -> None:
    assert [code.value for code in ErrorCode][:12] == [
        "input_corrupt",
        "input_unsupported",
        "input_empty",
        "input_no_audio",
        "input_too_long",
        "input_too_many_channels",
        "input_rate_unsupported",
        "engine_failed",
        "model_unavailable",
        "storage_failed",
        "cancelled",
        "input_checksum_mismatch",
    ]
