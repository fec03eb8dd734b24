"""Faint recordings are heard like others; usual ones are not touched."""

from pathlib import Path

import numpy as np
import pytest

from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.level import HEAD_S, FaintLift
from gpu_container.engine.stft import RATE_HZ, Real
from tests.engine.files import read, write_pcm
from tests.engine.run import enhance_file
from tests.engine.signals import error_db, level_db, noisy_voice


def _enhanced(folder: Path, model: DeepFilterNet, signal: Real) -> Real:
    source = write_pcm(folder / "in", signal, RATE_HZ, container="WAV", subtype="FLOAT")
    enhance_file(source, folder / "out", strength=100, model=model)
    return read(folder / "out")[0]


@pytest.mark.parametrize("seconds", [2.0, HEAD_S + 2.0])
def test_a_recording_40_db_fainter_loses_no_more_speech(tmp_path: Path, model: DeepFilterNet, seconds: float) -> None:
    usual = noisy_voice(seconds=seconds, rate_hz=RATE_HZ)

    enhanced, faint = (_enhanced(tmp_path, model, gain * usual) for gain in (1.0, 0.01))

    assert abs(level_db(100 * faint, enhanced)) < 1
    assert level_db(100 * model.enhance(0.01 * usual), enhanced) < -3, "the network alone would have lost it"


@pytest.mark.parametrize("size", [1_000, 48_000, 10**6])
def test_what_was_lifted_comes_back_as_it_was(size: int) -> None:
    faint = 0.001 * noisy_voice(seconds=HEAD_S + 1.0, rate_hz=RATE_HZ)
    level = FaintLift(1)
    parts = [level.process(faint[:, start : start + size]) for start in range(0, faint.shape[1], size)]

    lifted = np.concatenate([*parts, level.finish()], axis=1)

    assert level_db(lifted, faint) > 20
    assert error_db(level.lowered(lifted), faint) < -130
