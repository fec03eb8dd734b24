"""The report that clients read: its schema is published, and changes only where it is meant to."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from gpu_container.contract import AudioFacts, EnhancementReport, ReportWarning, SoundMeasures, WarningCode

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "report.schema.json"
RENEW = (
    'python -c "import json; from gpu_container.contract import EnhancementReport as Report; '
    "print(json.dumps(Report.model_json_schema(mode='serialization'), indent=2))\" > docs/report.schema.json"
)
FACTS = AudioFacts(container="wav", codec="pcm_s16le", rate_hz=48_000, channels=2, frames=48_000, duration_s=1.0)


def test_the_published_schema_is_the_reports() -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))

    assert published == EnhancementReport.model_json_schema(mode="serialization"), f"renew it with: {RENEW}"


def test_a_report_survives_the_way_through_json() -> None:
    report = EnhancementReport(
        model="dfn3",
        strength=90,
        input=FACTS,
        output=FACTS,
        before=SoundMeasures(snr_db=3.5),
        warnings=(ReportWarning(code=WarningCode.INPUT_CLIPPED, message="0.2% of the input's samples are clipped"),),
    )

    assert EnhancementReport.model_validate_json(report.model_dump_json()) == report


def test_what_was_not_measured_is_null_and_not_zero() -> None:
    measures = json.loads(SoundMeasures().model_dump_json())

    assert {name for name, value in measures.items() if value is not None} == {"clipped_share"}


def test_an_unknown_warning_is_refused() -> None:
    with pytest.raises(ValidationError):
        ReportWarning.model_validate({"code": "sounds_odd", "message": "?"})


def test_warning_codes_are_append_only() -> None:
    assert [code.value for code in WarningCode][:11] == [
        "speech_collapsed",
        "music_like",
        "input_clipped",
        "band_limited",
        "samples_mended",
        "samples_limited",
        "silent",
        "truncated",
        "cover_dropped",
        "format_changed",
        "target_not_reached",
    ]
