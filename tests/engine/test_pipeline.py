"""A file in, an enhanced file out: strength, level, damage in the samples, progress, cancelling, memory."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpu_container.contract import EnhancementReport as EnhanceReport
from gpu_container.contract import ErrorCode, WarningCode
from gpu_container.engine.deepfilternet import DeepFilterNet
from gpu_container.engine.errors import EngineError
from gpu_container.engine.mix import wet_gain
from gpu_container.engine.stft import Real
from tests.engine.files import facts, read, write_lossy, write_pcm
from tests.engine.run import enhance_file
from tests.engine.signals import error_db, level_db, noisy_voice


def _enhanced(
    folder: Path, model: DeepFilterNet, signal: Real, strength: float, subtype: str = "FLOAT"
) -> tuple[Real, EnhanceReport]:
    """Return ``(channels, n)`` of a 48 kHz WAV after its way through the pipeline, and the report."""
    source = write_pcm(folder / "in", signal, 48_000, container="WAV", subtype=subtype)
    report = enhance_file(source, folder / "out", strength=strength, model=model)
    return read(folder / "out")[0], report


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_strength_0_gives_the_input_bit_by_bit(tmp_path: Path, model: DeepFilterNet, voice: Real, subtype: str) -> None:
    source = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype=subtype)

    report = enhance_file(source, tmp_path / "out", strength=0, model=model)

    assert np.array_equal(read(tmp_path / "out")[0], read(source)[0])
    assert report.output.frames == voice.shape[1]


@pytest.mark.parametrize("kind", ["mp3", "m4a", "opus"])
def test_strength_0_costs_a_lossy_file_no_generation(
    tmp_path: Path, model: DeepFilterNet, voice: Real, kind: str
) -> None:
    source = write_lossy(tmp_path / "in", voice, 48_000, kind=kind)

    enhance_file(source, tmp_path / "out", strength=0, model=model)

    assert np.array_equal(read(tmp_path / "out")[0], read(source)[0])


def test_strength_100_is_the_network_alone(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    enhanced, _ = _enhanced(tmp_path, model, voice, 100)

    assert error_db(enhanced, model.enhance(voice)) < -100


@pytest.mark.parametrize("strength", [12.5, 50, 93])
def test_between_the_ends_dry_and_wet_are_mixed(
    tmp_path: Path, model: DeepFilterNet, voice: Real, strength: float
) -> None:
    enhanced, _ = _enhanced(tmp_path, model, voice, strength)

    gain = wet_gain(strength)
    assert error_db(enhanced, (1 - gain) * voice + gain * model.enhance(voice)) < -100


def test_more_strength_leaves_less_noise(tmp_path: Path, model: DeepFilterNet) -> None:
    noise = 0.05 * np.random.default_rng(5).standard_normal((1, 96_000)).astype(np.float32)

    left_db = [level_db(_enhanced(tmp_path, model, noise, strength)[0], noise) for strength in (0, 10, 30, 60, 90)]

    assert all(after < before for before, after in itertools.pairwise(left_db))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_loud_recording_does_not_wrap_around(tmp_path: Path, model: DeepFilterNet, voice: Real, subtype: str) -> None:
    loud = np.clip(6 * voice, -1, 1).astype(np.float32)

    enhanced, report = _enhanced(tmp_path, model, loud, 60, subtype)

    # A wrap would be a jump over nearly the whole scale between neighbours, where the input has none.
    assert np.abs(np.diff(enhanced)).max() < 1.5 * np.abs(np.diff(loud)).max()
    assert np.abs(enhanced).max() < 1
    assert report.limited_count > 0


def test_a_float_file_may_be_louder_than_full_scale(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    enhanced, report = _enhanced(tmp_path, model, 6 * voice, 30)

    assert np.abs(enhanced).max() > 1
    assert report.limited_count == 0


def test_equal_channels_stay_equal_and_a_silent_one_stays_silent(
    tmp_path: Path, model: DeepFilterNet, voice: Real
) -> None:
    enhanced, _ = _enhanced(tmp_path, model, np.concatenate([voice, voice, 0 * voice]), 100)

    assert error_db(enhanced[:1], enhanced[1:2]) < -100
    assert not enhanced[2].any()


def test_samples_that_are_not_numbers_are_taken_for_silence(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    broken, mended = voice.copy(), voice.copy()
    broken[0, [10, 50_000, 50_001]] = [np.nan, np.inf, -np.inf]
    mended[0, [10, 50_000, 50_001]] = 0

    enhanced, report = _enhanced(tmp_path, model, broken, 70)

    expected, _ = _enhanced(tmp_path, model, mended, 70)
    assert np.array_equal(enhanced, expected)
    assert report.repaired_count == 3
    assert WarningCode.SAMPLES_MENDED in {warning.code for warning in report.warnings}


@pytest.mark.parametrize("strength", [0, 80])
def test_silence_is_reported(tmp_path: Path, model: DeepFilterNet, strength: float) -> None:
    enhanced, report = _enhanced(tmp_path, model, np.zeros((1, 48_000), np.float32), strength)

    assert report.silent
    assert not enhanced.any()


def test_the_report_says_what_was_done(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    _, report = _enhanced(tmp_path, model, voice, 90)

    assert (report.model, report.strength, report.nan_count, report.silent) == ("dfn3", 90, 0, False)
    assert report.input.duration_s == pytest.approx(4.0)
    assert all(seconds >= 0 for seconds in report.seconds.values())
    assert report.real_time_factor > 0


def test_progress_rises_to_the_end(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    seen: list[tuple[float, float]] = []
    source = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")

    enhance_file(source, tmp_path / "out", strength=50, model=model, on_progress=lambda *at: seen.append(at))

    completed_s = [completed for completed, _ in seen]
    assert completed_s == sorted(completed_s)
    assert len(seen) >= 4
    assert seen[-1] == (4.0, 4.0)


@pytest.mark.parametrize("kind", ["m4a", "aac"], ids=["counted", "estimated"])
def test_progress_rises_through_both_passes_of_a_loudness_target(
    tmp_path: Path, model: DeepFilterNet, voice: Real, kind: str
) -> None:
    seen: list[tuple[float, float]] = []
    source = write_lossy(tmp_path / "in", voice, 48_000, kind=kind)

    enhance_file(source, tmp_path / "out", loudness_lufs=-20.0, model=model, on_progress=lambda *at: seen.append(at))

    shares = [completed_s / total_s for completed_s, total_s in seen]
    assert [completed_s for completed_s, _ in seen] == sorted(completed_s for completed_s, _ in seen)
    assert shares == sorted(shares)
    assert shares[len(shares) // 2 - 1] < 0.6
    assert shares[-1] == 1.0


def test_cancelling_stops_at_the_next_block(tmp_path: Path, model: DeepFilterNet, voice: Real) -> None:
    source = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")
    seen: list[float] = []

    with pytest.raises(EngineError) as caught:
        enhance_file(
            source,
            tmp_path / "out",
            strength=50,
            model=model,
            on_progress=lambda completed_s, _: seen.append(completed_s),
            is_cancelled=lambda: len(seen) == 2,
        )

    assert caught.value.code is ErrorCode.CANCELLED
    assert len(seen) == 2


def test_a_recording_over_the_limit_is_refused(tmp_path: Path, voice: Real) -> None:
    source = write_pcm(tmp_path / "in", voice, 48_000, container="WAV", subtype="PCM_16")

    with pytest.raises(EngineError) as caught:
        facts(source, max_duration_s=3.0)

    assert caught.value.code is ErrorCode.INPUT_TOO_LONG


MEMORY_SCRIPT = """
import resource, sys
from pathlib import Path
from gpu_container.engine.models import load_model
from tests.engine.run import enhance_file
enhance_file(Path(sys.argv[1]), Path(sys.argv[2]), strength=80, model=load_model("dfn3"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    peaks_mib = []
    for seconds in (10, 120):
        signal = np.tile(noisy_voice(seconds=10, rate_hz=48_000), (2, seconds // 10))
        source = write_pcm(tmp_path / "in", signal, 48_000, container="WAV", subtype="PCM_16")
        command = [sys.executable, "-c", MEMORY_SCRIPT, str(source), str(tmp_path / "out")]
        peaks_mib.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))

    # The longer recording alone would be 46 MB as float32, before any spectrum of it.
    assert peaks_mib[1] - peaks_mib[0] < 25
