"""The Python client and the command line against a running cloud: interrupted, repeated, all at once."""

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile as sf

from cleartake_client import (
    ApiError,
    Asset,
    AssetRefusedError,
    AssetSource,
    Client,
    ClientCredentials,
    Options,
    RetryPolicy,
    UploadInterruptedError,
    Wish,
)
from lambdas.bootstrap import client_administration
from lambdas.core.rates import RateClass
from tests.e2e.cloud import REPO, Api, Cloud, md5_of

RATE_HZ = 48_000
SAMPLE = REPO / "samples" / "librivox-noisy.mp3"
PART_BYTES = 16 * 2**20


@pytest.fixture
def client(cloud: Cloud, tmp_path: Path) -> Iterator[Client]:
    known = cloud.credentials
    with Client(known["base_url"], f"{known['client_id']}.{known['client_secret']}", state=tmp_path / "state") as one:
        yield one


def noise(path: Path, size_bytes: int) -> Path:
    """Write so many bytes of soft noise: parts differ from each other, and it is quickly made."""
    second = np.random.default_rng(5).integers(-300, 300, RATE_HZ, dtype=np.int16)
    with sf.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
        for number in range(size_bytes // second.nbytes):
            file.write(np.roll(second, number * 4001))
    return path


class Line(httpx.BaseTransport):
    """Carries so many parts, and half of the next one; after that, none.

    It breaks once the parts before have arrived: a broken line stops the upload, the parts under way with it.
    """

    def __init__(self, parts: int | None = None) -> None:
        self.left = parts
        self.puts: list[str] = []
        self._under_way = 0
        self._changed = threading.Condition()
        self._wire = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "PUT":
            return self._wire.handle_request(request)
        with self._changed:
            self.puts.append(request.url.params["partNumber"])
            if self.left == 0:
                assert self._changed.wait_for(lambda: not self._under_way, timeout=300)
                next(iter(request.stream))  # type: ignore[call-overload]
                raise httpx.WriteError("the line is broken")
            self.left = None if self.left is None else self.left - 1
            self._under_way += 1
        try:
            return self._wire.handle_request(request)
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def close(self) -> None:
        self._wire.close()


def upload(cloud: Cloud, state: Path, file: Path, line: Line) -> Asset:
    """Upload as a process of its own would: nothing is kept but the notes."""
    known = cloud.credentials
    credentials = ClientCredentials(known["client_id"], known["client_secret"])
    hasty = RetryPolicy(attempts=2, first_s=0.01)
    with Client(known["base_url"], credentials=credentials, state=state, transport=line, retry=hasty) as one:
        return one.assets.upload(file, in_parts=True)


def interrupted_twice(cloud: Cloud, folder: Path, size_bytes: int, arrive: int) -> tuple[Asset, int]:
    """Return the asset that came in three goes, and how many parts were sent in the last."""
    file, state = noise(folder / "long.wav", size_bytes), folder / "state"
    for _ in range(2):
        with pytest.raises(UploadInterruptedError, match="the line is broken"):
            upload(cloud, state, file, Line(arrive))
    last = Line()
    asset = upload(cloud, state, file, last)
    assert list(state.iterdir()) == []
    parts = -(-file.stat().st_size // PART_BYTES)
    assert len(set(last.puts)) == len(last.puts) == parts - 2 * arrive
    assert (asset.status, asset.size_bytes, asset.parts) == ("ready", file.stat().st_size, parts)
    return asset, len(last.puts)


def test_a_file_goes_there_and_comes_back(client: Client, tmp_path: Path) -> None:
    wish = Wish(66.5, options=Options(output_format="flac", loudness_lufs=-20.0), reference="seven")
    steps: list[str] = []
    done = client.enhance(SAMPLE, wish, on_progress=lambda step, _share: steps.append(step))
    assert (done.status, done.strength, done.reference) == ("succeeded", 66.5, "seven")
    assert list(dict.fromkeys(steps)) == ["check", "upload", "enhance"]
    result = client.enhancements.download(done.id, tmp_path)
    assert sf.info(result).format == "FLAC"
    report = client.enhancements.report(done.id)
    assert report["strength"] == 66.5
    assert done.id in [one.id for one in client.enhancements.list(asset_id=done.asset_id, page_size=1)]
    again = client.enhance(done.asset_id, Wish(20))
    assert {one.id for one in client.enhancements.list(asset_id=done.asset_id, page_size=1)} == {done.id, again.id}
    assert client.usage().audio_minutes > 0
    client.assets.delete(done.asset_id)
    with pytest.raises(ApiError, match="not_found"):
        client.assets.get(done.asset_id)


def test_an_upload_interrupted_twice_goes_on_and_is_verified(cloud: Cloud, tmp_path: Path) -> None:
    asset, sent = interrupted_twice(cloud, tmp_path, 50 * 10**6, arrive=1)
    assert sent == 1
    assert asset.audio
    assert asset.audio.rate_hz == RATE_HZ


@pytest.mark.slow
def test_an_upload_of_300_megabytes_interrupted_twice_goes_on_and_is_verified(
    cloud: Cloud, client: Client, tmp_path: Path
) -> None:
    asset, sent = interrupted_twice(cloud, tmp_path, 300 * 10**6, arrive=6)
    assert sent == 6
    client.assets.delete(asset.id)


def test_parts_of_another_content_are_refused_as_a_whole(cloud: Cloud, tmp_path: Path) -> None:
    file, state = noise(tmp_path / "long.wav", 40 * 10**6), tmp_path / "state"
    with pytest.raises(UploadInterruptedError):
        upload(cloud, state, file, Line(1))
    (note,) = state.iterdir()
    asset_id = json.loads(note.read_text())["asset_id"]
    known = cloud.credentials
    with Client(known["base_url"], f"{known['client_id']}.{known['client_secret']}", state=state) as one:
        # The first part comes once more, with a byte that is not the file's.
        data = bytearray(file.read_bytes()[:PART_BYTES])
        data[-1] ^= 1
        (part,) = one.assets.link_parts(asset_id, {1: md5_of(bytes(data))}).parts
        assert httpx.put(part.url, content=bytes(data), headers=part.headers, trust_env=False).is_success
        missing = one.assets.progress(asset_id).missing
    assert 1 not in missing
    with pytest.raises(AssetRefusedError) as caught:
        upload(cloud, state, file, Line())
    assert caught.value.code == "input_checksum_mismatch"
    assert list(state.iterdir()) == []


def test_twenty_equal_requests_at_once_make_one_job(cloud: Cloud, client: Client, api: Api, recording: bytes) -> None:
    asset = api.upload(recording)
    with ThreadPoolExecutor(20) as pool:
        together = threading.Barrier(20)

        def ask(_number: int) -> str:
            together.wait()
            return client.enhancements.create(AssetSource(asset["id"]), Wish(77), idempotency_key="all-at-once").id

        ids = set(pool.map(ask, range(20)))
    found = list(client.enhancements.list(asset_id=asset["id"]))
    assert {one.id for one in found} == ids
    assert len(found) == 1
    assert client.enhancements.wait(found[0].id).status == "succeeded"


@pytest.mark.parametrize("over_s", [10, pytest.param(140, marks=pytest.mark.slow)])
def test_eight_callers_at_once_are_held_to_one_limit(cloud: Cloud, administrator: None, over_s: int) -> None:
    """Every window of a minute holds no more answers than the limit, whichever moment it begins at."""
    limit, callers = 20, 8
    made, secret = client_administration(cloud.outputs["TableName"]).create(
        "hasty", takes_api_keys=True, rate_limits={RateClass.NATIVE: limit}
    )
    began = time.monotonic()

    def call(http: httpx.Client) -> list[tuple[float, httpx.Response]]:
        seen = []
        while time.monotonic() - began < over_s:
            answer = http.get("/v1/usage", headers={"x-api-key": f"{made.id}.{secret}"})
            seen.append((time.monotonic(), answer))
            time.sleep(0.25)
        return seen

    base_url = cloud.credentials["base_url"]
    with httpx.Client(base_url=base_url, trust_env=False, timeout=30) as http, ThreadPoolExecutor(callers) as pool:
        answers = [one for seen in pool.map(call, [http] * callers) for one in seen]
    passed = [moment for moment, answer in answers if answer.status_code == 200]
    refused = [answer for _, answer in answers if answer.status_code == 429]
    assert len(passed) + len(refused) == len(answers)
    assert max(sum(start <= moment < start + 60 for moment in passed) for start in passed) == limit
    assert len(passed) >= limit * (over_s // 65)  # what has aged makes room
    assert refused
    for answer in refused:
        assert answer.json()["code"] == "rate_exceeded"
        wait_s = int(answer.headers["Retry-After"])
        assert 0 < wait_s <= 65
        assert answer.headers["RateLimit-Policy"] == f'"minute";q={limit};w=60'
        assert answer.headers["RateLimit"] == f'"minute";r=0;t={wait_s}'


def test_the_command_line_from_file_to_usage(cloud: Cloud, tmp_path: Path) -> None:
    def told(*arguments: str) -> object:
        return json.loads(cloud.cleartake(*arguments, "--json").stdout)

    other = tmp_path / "other.mp3"
    other.write_bytes(SAMPLE.read_bytes())
    files = cloud.cleartake("batch", str(SAMPLE), str(other), "--output", str(tmp_path / "out")).stdout.split()
    assert [Path(one).name for one in files] == ["librivox-noisy-enhanced-90p.mp3", "other-enhanced-90p.mp3"]
    started = cloud.cleartake("enhance", str(other), "--no-wait", "--strength", "12").stdout.strip()
    watched = told("jobs", "watch", started)
    assert isinstance(watched, list)
    assert watched[0]["status"] == "succeeded"
    listed = told("jobs", "list", "--limit", "3")
    assert isinstance(listed, list)
    assert listed[0]["id"] == started
    assert cloud.cleartake("all-jobs", "show", started).stdout.split()[1] == started
    assert cloud.cleartake("jobs", "show", "0b1c7a34-1111-4222-8333-444455556666", check=False).returncode == 3
    hook = told("webhooks", "create", "https://example.com/hook")
    assert isinstance(hook, dict)
    assert hook["secret"].startswith("whsec_")
    assert hook["id"] in cloud.cleartake("webhooks", "list").stdout
    cloud.cleartake("webhooks", "delete", hook["id"])
    asset = cloud.cleartake("assets", "upload", str(other)).stdout.strip()
    assert asset in cloud.cleartake("assets", "list").stdout
    cloud.cleartake("assets", "delete", asset)
    usage = told("usage")
    assert isinstance(usage, dict)
    assert usage["audio_minutes"] > 0


def test_the_readmes_examples_run(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = cloud.credentials
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Path("talk.mp3").write_bytes(SAMPLE.read_bytes())
    noise(Path("concert.wav"), 200_000)
    examples = re.findall(r"```python\n(.*?)```", (REPO / "client" / "README.md").read_text(), re.DOTALL)
    assert len(examples) == 2
    for text in examples:
        own = text.replace("http://127.0.0.1:8080", known["base_url"])
        exec(own.replace("<client id>.<secret>", f"{known['client_id']}.{known['client_secret']}"), {})  # noqa: S102
    assert Path("talk-enhanced-90p.mp3").stat().st_size > 10_000
    assert "upload 100%" in capsys.readouterr().out
