"""The main job, as a client sees it: token, asset, PUT, enhancement, download. Real HTTP, real audio, IAM enforced."""

import io
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from scripts.recordings import read
from tests.e2e.cloud import ASSETS, Api, Cloud
from tests.engine.files import facts


@pytest.fixture(scope="module")
def ready(api: Api, recording: bytes) -> dict[str, Any]:
    return api.upload(recording)


def test_noisy_mp3_in_clean_mp3_out(api: Api, ready: dict[str, Any], recording: bytes, tmp_path: Path) -> None:
    assert (ready["status"], ready["upload_url"]) == ("ready_for_processing", None)
    accepted = api.enhance(ready["id"], 93)
    assert accepted.status_code == 202
    assert accepted.json()["status"] == "queued"
    done = api.finished(accepted.json())
    assert done["status"] == "succeeded"

    answer = api.download(done)
    assert answer.headers["content-type"] == "audio/mpeg"
    assert 'filename="earhart-aviation-enhanced-93p.mp3"' in answer.headers["content-disposition"]
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_bytes(recording)
    after.write_bytes(answer.content)
    was, became = facts(before), facts(after)
    assert (became.container, became.rate_hz, became.channels) == ("mp3", was.rate_hz, was.channels)
    assert abs(became.duration_s - was.duration_s) <= 0.05
    assert _noise_floor_db(after) < _noise_floor_db(before) - 15


def test_states_are_never_seen_to_go_back(api: Api, ready: dict[str, Any]) -> None:
    job = api.enhance(ready["id"], 50).json()
    path = f"{ASSETS}/{ready['id']}/speech_enhancements/{job['id']}"
    seen = []
    while not seen or seen[-1] not in {"succeeded", "failed"}:
        status = api.call("GET", path).json()["status"]
        if not seen or seen[-1] != status:
            seen.append(status)
        time.sleep(0.01)
    order = ["queued", "processing", "succeeded"]
    assert [order.index(status) for status in seen] == sorted(order.index(status) for status in seen)
    assert seen[-1] == "succeeded"


def test_both_download_paths(api: Api, ready: dict[str, Any]) -> None:
    done = api.finished(api.enhance(ready["id"], 60).json())
    assert "/audio_services/api/assets/" in done["download_url"]
    for url in (done["download_url"], done["download_url"].replace("/api/", "/v1/")):
        found = api.http.get(url, headers=api.headers)
        assert found.status_code == 302
        # curl --location sends our headers along: the presigned link must not mind.
        assert api.http.get(found.headers["Location"], headers={"x-api-key": "x"}).status_code == 200
        tampered = found.headers["Location"].replace("X-Amz-Signature=", "X-Amz-Signature=0")
        assert api.http.get(tampered).status_code == 403


def test_stereo_flac_keeps_every_frame(api: Api) -> None:
    random = np.random.default_rng(7)
    signal = 0.1 * random.standard_normal((44_100 * 2 + 17, 2))
    buffer = io.BytesIO()
    sf.write(buffer, signal, 44_100, format="FLAC", subtype="PCM_24")
    asset = api.upload(buffer.getvalue(), filename="st éréo.flac", content_type="audio/flac", checksum=None)
    done = api.finished(api.enhance(asset["id"], 100).json())
    answer = api.download(done)
    assert "filename*=UTF-8''st%20%C3%A9r%C3%A9o-enhanced-100p.flac" in answer.headers["content-disposition"]
    with sf.SoundFile(io.BytesIO(answer.content)) as file:
        assert (file.format, file.subtype, file.samplerate, file.channels) == ("FLAC", "PCM_24", 44_100, 2)
        assert file.frames == len(signal)


def test_a_file_that_is_fetched_in_parts(api: Api) -> None:
    signal = 0.1 * np.random.default_rng(8).standard_normal((48_000 * 70, 2))
    buffer = io.BytesIO()
    sf.write(buffer, signal, 48_000, format="WAV", subtype="PCM_16")
    data = buffer.getvalue()
    assert len(data) > 12 * 2**20
    asset = api.upload(data, filename="long.wav", content_type="audio/wav")
    assert asset["status"] == "ready_for_processing"
    answer = api.download(api.finished(api.enhance(asset["id"], 50).json()))
    with sf.SoundFile(io.BytesIO(answer.content)) as file:
        assert (file.frames, file.channels) == signal.shape
    assert api.http.get(str(answer.url), headers={"Range": "bytes=0-3"}).content == b"RIFF"


def test_two_clients_at_once_keep_apart(api: Api, stranger: Api, ready: dict[str, Any], recording: bytes) -> None:
    theirs = stranger.upload(recording)
    jobs = [api.enhance(ready["id"], strength).json() for strength in (11, 12, 13)]
    their_job = stranger.enhance(theirs["id"], 11).json()
    assert stranger.finished(their_job)["status"] == "succeeded"
    assert [api.finished(job)["status"] for job in jobs] == ["succeeded"] * 3
    one = f"{ASSETS}/{ready['id']}/speech_enhancements/{jobs[0]['id']}"
    for method, path, body in (
        ("GET", f"{ASSETS}/{ready['id']}", None),
        ("POST", f"{ASSETS}/{ready['id']}/speech_enhancements", {"strength": 5}),
        ("GET", one, None),
        ("GET", f"{one}/download", None),
        ("GET", f"{one}/download".replace("/v1/", "/api/"), None),
    ):
        answer = stranger.call(method, path, body)
        assert (answer.status_code, answer.json()) == (404, {"error_code": None, "message": "Not found"})


def test_the_command_line_drives_the_same_api(api: Api, cloud: Cloud, tmp_path: Path) -> None:
    done = cloud.cleartake("enhance", "samples/librivox-noisy.mp3", "--strength", "70", "--output", str(tmp_path))
    assert (tmp_path / "librivox-noisy-enhanced-70p.mp3").stat().st_size > 10_000
    assert re.search("librivox-noisy-enhanced-70p.mp3", done.stdout)
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"no audio")
    assert cloud.cleartake("enhance", str(broken), "--strength", "70", check=False).returncode == 1


def _noise_floor_db(path: Path) -> float:
    """Return the level of the quietest tenth of the 50 ms frames."""
    signal = read(path)[0][0]
    frames = signal[: len(signal) // 2205 * 2205].reshape(-1, 2205)
    return float(np.percentile(10 * np.log10(np.mean(frames**2, axis=1) + 1e-12), 10))


def _job_of(cloud: Cloud, client_id: str, asset_id: str) -> dict[str, Any]:
    for _ in range(400):
        found = cloud.aws("dynamodb").query(
            TableName=cloud.outputs["TableName"],
            KeyConditionExpression="pk = :pk AND begins_with(sk, :job)",
            ExpressionAttributeValues={":pk": {"S": f"C#{client_id}"}, ":job": {"S": "J#"}},
        )["Items"]
        for item in found:
            if item["asset_id"]["S"] == asset_id:
                return {"id": item["job_id"]["S"], "asset_id": asset_id}
        time.sleep(0.05)
    pytest.fail("no enhancement was started")
