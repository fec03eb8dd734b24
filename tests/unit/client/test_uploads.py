"""Files on their way: whole, in parts, interrupted, gone on with, damaged."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import httpx
import pytest

from cleartake_client import (
    ApiError,
    AssetRefusedError,
    CleartakeError,
    FetchedSource,
    S3Source,
    StorageError,
    UnreachableError,
    UploadInterruptedError,
    UploadSource,
    UrlSource,
    WaitTimeoutError,
)
from tests.unit.client.fake_service import API_KEY, BASE_URL, CLIENT_ID, PART_BYTES, FakeService

DATA = bytes(range(256)) * 20  # 5120 bytes: six parts, the last one shorter


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(DATA)
    return path


class Line:
    """Takes some parts, then nothing any more."""

    def __init__(self, parts: int) -> None:
        self.left = parts

    def __call__(self, request: httpx.Request) -> httpx.Response | None:
        if request.method != "PUT":
            return None
        if self.left == 0:
            raise httpx.WriteError("the line is broken")
        self.left -= 1
        return None


def test_a_small_file_goes_whole_and_storage_checks_it(tmp_path: Path, file: Path) -> None:
    service, seen = FakeService(), list[tuple[str, float]]()
    asset = service.client(tmp_path / "state").assets.upload(
        file, retain_hours=3, on_progress=lambda *one: seen.append(one)
    )
    assert (asset.status, service.bodies[asset.id]) == ("ready", DATA)
    assert service.assets[asset.id]["retain_hours"] == 3
    assert seen == [("check", 1.0), ("upload", 1.0)]
    assert not (tmp_path / "state").exists()


def test_a_put_that_breaks_is_made_again_with_a_new_link(tmp_path: Path, file: Path) -> None:
    troubles: list[httpx.Response | Exception] = [httpx.WriteError("broken"), httpx.Response(403)]

    def meddle(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PUT" or not troubles:
            return None
        one = troubles.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    service = FakeService(meddle=meddle)
    asset = service.client(tmp_path / "state").assets.upload(file)
    assert (service.bodies[asset.id], len(service.puts())) == (DATA, 3)
    service.meddle = lambda request: httpx.Response(403) if request.method == "PUT" else None
    with pytest.raises(StorageError, match="HTTP 403"):
        service.client(tmp_path / "state").assets.upload(file)


def test_parts_arrive_each_with_its_checksum(tmp_path: Path, file: Path) -> None:
    service, seen = FakeService(), list[float]()
    client = service.client(tmp_path / "state")
    asset = client.assets.upload(file, in_parts=True, on_progress=lambda step, share: seen.append(share))
    assert service.bodies[asset.id] == DATA
    assert sorted(service.puts()) == [f"/part/a0/{number}" for number in range(1, 7)]
    assert seen[-1] == 1.0
    assert max(seen) == 1.0
    assert list((tmp_path / "state").iterdir()) == []


def test_an_upload_interrupted_twice_is_gone_on_with_by_later_processes(tmp_path: Path, file: Path) -> None:
    service, state = FakeService(), tmp_path / "state"
    for parts in (2, 1):
        service.meddle = Line(parts)
        with pytest.raises(UploadInterruptedError, match=r"the line is broken") as caught:
            service.client(state).assets.upload(file, in_parts=True)
    assert caught.value.asset_id == "a0"
    assert caught.value.missing == 3
    arrived = set(service.parts["a0"])
    assert len(arrived) == 3
    service.meddle = lambda _request: None
    before = len(service.puts())
    asset = service.client(state).assets.upload(file, in_parts=True)
    sent = {int(path.rpartition("/")[2]) for path in service.puts()[before:]}
    assert sent == set(range(1, 7)) - arrived
    assert (asset.id, asset.status, service.bodies["a0"]) == ("a0", "ready", DATA)
    assert len(service.asked("POST", "/v1/assets")) == 1
    assert list(state.iterdir()) == []


def test_a_note_holds_no_link_and_no_key(tmp_path: Path, file: Path) -> None:
    service, state = FakeService(meddle=Line(1)), tmp_path / "state"
    with pytest.raises(UploadInterruptedError):
        service.client(state).assets.upload(file, in_parts=True)
    (note,) = state.iterdir()
    known = json.loads(note.read_text())
    assert set(known) == {
        "base_url",
        "caller_sha256",
        "asset_id",
        "path",
        "size_bytes",
        "mtime_ns",
        "content_type",
        "retain_hours",
    }
    assert (known["base_url"], known["asset_id"], known["path"]) == (BASE_URL, "a0", str(file))
    text = note.read_text()
    assert not any(secret in text for secret in (API_KEY, CLIENT_ID, "storage.test", "Signature"))


@pytest.mark.parametrize("change", ["content", "time", "caller", "deleted", "checksum", "retention", "kind"])
def test_what_is_not_the_same_any_more_begins_anew(tmp_path: Path, file: Path, change: str) -> None:
    service, state = FakeService(meddle=Line(2)), tmp_path / "state"
    with pytest.raises(UploadInterruptedError):
        service.client(state).assets.upload(file, in_parts=True)
    service.meddle = lambda _request: None
    client, wanted = service.client(state), dict[str, Any]()
    kept = file.stat()
    match change:
        case "content":
            file.write_bytes(DATA + b"more")
        case "time":
            os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns + 1))
        case "caller":
            notes = replace(client.assets.notes, caller_sha256="another")
            client.assets = replace(client.assets, notes=notes)
        case "deleted":
            del service.assets["a0"]
        case "checksum":
            file.write_bytes(DATA[::-1])
            os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        case "retention":
            wanted = {"retain_hours": 1}
        case "kind":
            wanted = {"content_type": "audio/x-wav"}
    asset = client.assets.upload(file, in_parts=True, **wanted)
    assert service.assets[asset.id].items() >= wanted.items()
    assert service.bodies[asset.id] == file.read_bytes()
    assert len(service.asked("POST", "/v1/assets")) == 2


def test_where_no_note_can_be_kept_a_file_is_uploaded_nevertheless(tmp_path: Path, file: Path) -> None:
    service, state = FakeService(meddle=Line(2)), file / "state"  # below a file there are no folders
    with pytest.raises(UploadInterruptedError):
        service.client(state).assets.upload(file, in_parts=True)
    service.meddle = lambda _request: None
    asset = service.client(state).assets.upload(file, in_parts=True)
    assert (asset.id, service.bodies["a1"]) == ("a1", DATA)


def test_a_user_without_a_home_uploads_without_notes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Never:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    service = FakeService()
    assert service.client(None).assets.upload(file, in_parts=True).status == "ready"


def test_a_key_and_a_secret_of_one_client_share_their_notes(tmp_path: Path, file: Path) -> None:
    service, state = FakeService(meddle=Line(2)), tmp_path / "state"
    with pytest.raises(UploadInterruptedError):
        service.client(state).assets.upload(file, in_parts=True)
    service.meddle = lambda _request: None
    assert service.client_with_secret(state).assets.upload(file, in_parts=True).id == "a0"


def test_an_upload_that_was_finished_but_for_its_answer_is_finished(tmp_path: Path, file: Path) -> None:
    service, state = FakeService(), tmp_path / "state"
    service.meddle = lambda request: httpx.Response(404) if request.url.path.endswith("/complete") else None
    with pytest.raises(ApiError):
        service.client(state).assets.upload(file, in_parts=True)
    service.meddle = lambda _request: None
    before = len(service.puts())
    assert service.client(state).assets.upload(file, in_parts=True).id == "a0"
    assert len(service.puts()) == before


def test_a_part_damaged_on_its_way_is_sent_again(tmp_path: Path, file: Path) -> None:
    damaged = [httpx.Response(400)]
    service = FakeService(meddle=lambda request: damaged.pop() if request.method == "PUT" and damaged else None)
    asset = service.client(tmp_path / "state").assets.upload(file, in_parts=True)
    assert (service.bodies[asset.id], len(service.puts())) == (DATA, 7)


def test_other_bytes_than_were_sent_are_told(tmp_path: Path, file: Path) -> None:
    service, state = FakeService(), tmp_path / "state"

    def meddle(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/complete"):
            service.parts["a0"][2] = b"x" * PART_BYTES
        return None

    service.meddle = meddle
    with pytest.raises(AssetRefusedError, match="other bytes have arrived") as caught:
        service.client(state).assets.upload(file, in_parts=True)
    assert caught.value.code == "input_checksum_mismatch"
    assert list(state.iterdir()) == []  # nothing to go on with


def test_a_file_that_shrinks_meanwhile_is_told(tmp_path: Path, file: Path) -> None:
    service = FakeService()

    def meddle(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/v1/assets":
            file.write_bytes(b"short")
        return None

    service.meddle = meddle
    with pytest.raises(UploadInterruptedError, match="has changed"):
        service.client(tmp_path / "state").assets.upload(file, in_parts=True)


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        (UrlSource("https://example.com/talk.wav"), {"url": {"href": "https://example.com/talk.wav"}}),
        (S3Source("s3://talks/talk.wav", "arn:role"), {"s3": {"uri": "s3://talks/talk.wav", "role_arn": "arn:role"}}),
    ],
    ids=["url", "s3"],
)
def test_a_recording_is_fetched(tmp_path: Path, source: FetchedSource, asked: dict[str, Any]) -> None:
    service = FakeService()
    assets = service.client(tmp_path / "state").assets
    assert assets.create(source, retain_hours=3, idempotency_key="once").status == "waiting_for_upload"
    asset = assets.fetch(source, retain_hours=3, idempotency_key="once")
    assert (asset.id, asset.status, asset.filename, service.puts()) == ("a0", "ready", "talk.wav", [])
    assert [json.loads(one.content) for one in service.asked("POST", "/v1/assets")] == [asked | {"retain_hours": 3}] * 2
    service.unreadable = {"page.wav"}
    with pytest.raises(AssetRefusedError):
        assets.fetch(UrlSource("https://example.com/page.wav"))


def test_a_file_without_audio_by_its_name_needs_a_media_type(tmp_path: Path) -> None:
    service, path = FakeService(), tmp_path / "talk.bin"
    path.write_bytes(DATA)
    client = service.client(tmp_path / "state")
    with pytest.raises(CleartakeError, match=r"talk\.bin is no audio file"):
        client.assets.upload(path)
    client.assets.upload(path, content_type="audio/wav")
    with pytest.raises(FileNotFoundError):
        client.assets.upload(tmp_path / "absent.wav")


def test_nobody_waits_for_ever_for_an_asset(tmp_path: Path, file: Path) -> None:
    service = FakeService(meddle=lambda request: httpx.Response(200) if request.method == "PUT" else None)
    client = service.client(tmp_path / "state")
    client.assets.create(UploadSource("talk.wav", len(DATA), "audio/wav"))
    with pytest.raises(WaitTimeoutError):
        client.assets.wait("a0", timeout_s=0)


def test_a_service_that_is_away_is_told_as_such(tmp_path: Path, file: Path) -> None:
    def meddle(_request: httpx.Request) -> httpx.Response | None:
        raise httpx.ConnectError("refused")

    with pytest.raises(UnreachableError):
        FakeService(meddle=meddle).client(tmp_path / "state").assets.upload(file)
