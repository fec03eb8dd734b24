"""The benchmark's own set is what its names say, and the same wherever it is made."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from scripts import mix_speech
from scripts.mix_speech import RATE_HZ, Plan, Signal, active_power, change_speed, mix, room_response, write_set
from tests.engine.signals import noisy_voice


@pytest.fixture(scope="module")
def voices() -> dict[str, Signal]:
    return {
        name: noisy_voice(seconds=3.0, rate_hz=RATE_HZ, seed=seed, pitch_hz=pitch_hz, noise=0.0)[0].astype(np.float64)
        for seed, (name, pitch_hz) in enumerate({"ann": 200.0, "bob": 110.0}.items())
    }


@pytest.mark.parametrize("noise", ["fan", "traffic", "hum", "keyboard", "babble"])
@pytest.mark.parametrize("snr_db", [0.0, 12.0])
def test_noise_is_as_loud_as_the_plan_says(voices: dict[str, Signal], noise: str, snr_db: float) -> None:
    mixed = mix(Plan("ann", noise, snr_db), voices, np.random.default_rng(1))
    measured_db = 10 * np.log10(active_power(mixed.clean) / np.mean((mixed.noisy - mixed.clean) ** 2))
    assert measured_db == pytest.approx(snr_db, abs=0.01)
    assert np.abs(mixed.noisy).max() <= mix_speech.PEAK + 1e-9


@pytest.mark.parametrize("rt60_s", [0.3, 0.5, 0.8])
def test_a_room_rings_about_as_long_as_it_shall(rt60_s: float) -> None:
    responses = [room_response(rt60_s, np.random.default_rng(seed)) for seed in range(4)]
    assert np.mean([_decay_s(response) for response in responses]) == pytest.approx(rt60_s, rel=0.25)
    for response in responses:
        assert response[0] == 1
        assert np.abs(response).max() == 1


def _decay_s(response: Signal) -> float:
    """Return the decay time that the fall from -5 to -25 dB stands for (ISO 3382-1, T20)."""
    left = np.cumsum(response[::-1] ** 2)[::-1]
    left_db = 10 * np.log10(left / left[0])
    return 3 * float(np.argmax(left_db < -25) - np.argmax(left_db < -5)) / RATE_HZ


def test_early_speech_is_nearer_to_the_clean_than_what_the_room_makes_of_it(voices: dict[str, Signal]) -> None:
    mixed = mix(Plan("bob", "hum", 60.0, rt60_s=0.6), voices, np.random.default_rng(2))
    late, all_but_direct = mixed.noisy - mixed.early, mixed.noisy - mixed.clean
    assert 0 < np.mean(late**2) < np.mean(all_but_direct**2)
    assert not np.array_equal(mixed.early, mixed.clean)


def test_a_set_is_the_same_each_time_and_another_with_another_seed(tmp_path: Path, voices: dict[str, Signal]) -> None:
    plans = (Plan("ann", "fan", 5), Plan("bob", "babble", 10, speed=1.1, rt60_s=0.4))
    for folder, seed in (("first", 1), ("again", 1), ("other", 2)):
        write_set(tmp_path / folder, voices, seed=seed, plans=plans)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert [(tmp_path / "first" / name).read_bytes() for name in names] == [
        (tmp_path / "again" / name).read_bytes() for name in names
    ]
    assert (tmp_path / "first" / names[1]).read_bytes() != (tmp_path / "other" / names[1]).read_bytes()


def test_a_set_names_its_files(tmp_path: Path, voices: dict[str, Signal]) -> None:
    write_set(tmp_path, voices, seed=1, plans=(Plan("ann", "fan", 5), Plan("bob", "hum", 10, rt60_s=0.4)))
    dry, reverberant = json.loads((tmp_path / "meta.json").read_text())["items"]
    assert (dry["reverberant"], reverberant["reverberant"]) == (False, True)
    for item, kinds in ((dry, {"clean", "noisy"}), (reverberant, {"clean", "early", "noisy"})):
        found = {path.stem.removeprefix(f"{item['id']}_"): path for path in tmp_path.glob(f"{item['id']}_*")}
        assert set(found) == kinds
        assert len({sf.info(path).frames for path in found.values()}) == 1
        assert {sf.info(path).samplerate for path in found.values()} == {item["fs"]}


def test_another_speed_is_another_length_and_pitch() -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(RATE_HZ) / RATE_HZ)
    faster = change_speed(tone, 1.25)
    assert len(faster) == pytest.approx(len(tone) / 1.25, abs=2)
    assert np.argmax(np.abs(np.fft.rfft(faster))) * RATE_HZ / len(faster) == pytest.approx(250, abs=2)


def test_another_archive_is_refused(tmp_path: Path) -> None:
    for archive in mix_speech.ARCHIVES:
        (tmp_path / f"{archive.requirement.replace('==', '-')}.tar.gz").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match="another archive"):
        mix_speech.fetch_speech(tmp_path)
