"""The lock of models: only the locked bytes are ever loaded or kept."""

from pathlib import Path

import pytest

from gpu_container.contract import ErrorCode
from gpu_container.engine.errors import EngineError
from gpu_container.engine.models import load_model, model_names


def test_the_lock_knows_the_default_and_the_low_latency_model() -> None:
    assert {"dfn3", "dfn3-ll"} <= set(model_names())


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no model 'dfn9'") as caught:
        load_model("dfn9", directory=tmp_path)

    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="make setup") as caught:
        load_model("dfn3", directory=tmp_path)

    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE


def test_other_bytes_under_the_right_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "DeepFilterNet3_onnx.tar.gz").write_bytes(b"something else")

    with pytest.raises(EngineError) as caught:
        load_model("dfn3", directory=tmp_path)

    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE
