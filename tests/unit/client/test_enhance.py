"""From a recording to its enhancement with one call, and many with one."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Never

import httpx
import pytest

from cleartake_client import (
    ApiError,
    AssetSource,
    CleartakeError,
    EnhancementError,
    JobWebhook,
    Options,
    Recording,
    S3Source,
    StorageError,
    UnreachableError,
    UploadInterruptedError,
    UrlSource,
    WaitTimeoutError,
    Wish,
    files,
)
from tests.unit.client.fake_service import FakeService


class Broken(httpx.SyncByteStream):
    """Ends too early."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"half of"
        raise httpx.ReadError("the line is broken")


ASSET_ID = "0b1c7a34-1111-4222-8333-444455556666"
ROLE_ARN = "arn:aws:iam::123456789012:role/cleartake-source-recordings"


def recording(folder: Path, name: str = "talk.wav", body: bytes = b"RIFF audio") -> Path:
    path = folder / name
    path.write_bytes(body)
    return path


def test_a_file_goes_there_and_comes_back(tmp_path: Path) -> None:
    service, steps = FakeService(), list[tuple[str, float]]()
    client = service.client(tmp_path / "state")
    wish = Wish(42.5, "dfn3-hq", Options(loudness_lufs=-16.0), reference="seven", retain_hours=2)
    done = client.enhance(recording(tmp_path), wish, on_progress=lambda *one: steps.append(one))
    saved = client.enhancements.download(done.id, tmp_path)
    assert saved == tmp_path / "talk-enhanced-42.5p.wav"
    assert saved.read_bytes() == b"oidua FFIR"
    assert saved.stat().st_mode & 0o777 == recording(tmp_path, "other").stat().st_mode & 0o777
    (asked,) = service.asked("POST", "/v1/enhancements")
    body = httpx.Response(200, content=asked.content).json()
    assert body["source"]["upload"].items() >= {"filename": "talk.wav", "size_bytes": 10, "in_parts": False}.items()
    assert (body["options"], body["reference"], body["retain_hours"]) == ({"loudness_lufs": -16.0}, "seven", 2)
    assert [step for step, _ in dict.fromkeys(steps)] == ["check", "upload", "enhance"]
    assert done.created_at == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert client.enhancements.report(done.id) == {"quality": {"before": 1, "after": 2}}


def test_a_url_and_an_asset_need_no_upload(tmp_path: Path) -> None:
    service = FakeService()
    client = service.client(tmp_path / "state")
    hook = JobWebhook("https://example.com/hook")
    client.enhance("https://example.com/talk.wav", Wish(webhook=hook, retain_hours=5))
    client.enhance(ASSET_ID, Wish(retain_hours=5))
    by_url, by_id = (
        httpx.Response(200, content=one.content).json() for one in service.asked("POST", "/v1/enhancements")
    )
    assert by_url["source"] == {"url": {"href": "https://example.com/talk.wav"}}
    assert (by_url["webhook"], by_url["retain_hours"]) == ({"url": hook.url}, 5)
    assert by_id["source"] == {"asset_id": ASSET_ID}
    assert "retain_hours" not in by_id
    assert service.puts() == []


def test_a_bucket_is_read_under_a_role(tmp_path: Path) -> None:
    service = FakeService()
    client = service.client(tmp_path / "state")
    talk = S3Source("s3://recordings/talk.wav", ROLE_ARN, filename="mine.wav")
    client.enhance(talk, Wish(retain_hours=5))
    (asked,) = service.asked("POST", "/v1/enhancements")
    body = httpx.Response(200, content=asked.content).json()
    assert body["source"] == {"s3": {"uri": talk.uri, "role_arn": ROLE_ARN, "filename": "mine.wav"}}
    assert body["retain_hours"] == 5
    with pytest.raises(CleartakeError, match="a role that you lend"):
        client.enhance("s3://recordings/talk.wav")
    url, asset = UrlSource("https://example.com/talk.wav"), AssetSource(ASSET_ID)
    given: list[Recording] = [talk, url, asset, "s3://recordings/other.wav"]
    outcomes = client.enhance_many(given)
    assert [one.enhancement is not None for one in outcomes] == [True, True, True, False]


def test_a_large_file_is_uploaded_in_parts_before_anything_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "IN_PARTS_FROM_BYTES", 1500)
    service = FakeService()
    service.client(tmp_path / "state").enhance(recording(tmp_path, body=b"x" * 2500), Wish(retain_hours=4))
    assert len(service.puts()) == 3
    assert service.jobs["e0"]["asset_id"] == "a0"
    assert service.assets["a0"]["retain_hours"] == 4


def test_who_comes_again_under_the_same_key_finds_the_large_file_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "IN_PARTS_FROM_BYTES", 1500)
    service, file = FakeService(), recording(tmp_path, body=b"x" * 2500)

    def crash(request: httpx.Request) -> None:
        if request.method == "GET" and request.url.path.startswith("/v1/enhancements"):
            raise KeyboardInterrupt

    service.meddle = crash
    with pytest.raises(KeyboardInterrupt):
        service.client(tmp_path / "state").enhance(file, idempotency_key="episode-42")
    service.meddle = lambda _request: None
    done = service.client(tmp_path / "another machine").enhance(file, idempotency_key="episode-42")
    assert (done.id, done.asset_id, len(service.jobs), len(service.puts())) == ("e0", "a0", 1, 3)


def test_a_note_of_another_upload_does_not_change_what_a_key_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "IN_PARTS_FROM_BYTES", 1500)
    service, file, state = FakeService(), recording(tmp_path, body=b"x" * 2500), tmp_path / "state"
    service.meddle = lambda one: httpx.Response(500) if one.url.path == "/part/a0/3" else None
    with pytest.raises(UploadInterruptedError):
        service.client(state).enhance(file)
    service.meddle = lambda _request: None
    first = service.client(state).enhance(file, idempotency_key="episode-42")
    assert service.client(state).enhance(file, idempotency_key="episode-42").id == first.id


def test_a_failure_is_an_exception_with_a_code(tmp_path: Path) -> None:
    service = FakeService(failing={"talk.wav"})
    with pytest.raises(EnhancementError, match=r"it broke \(engine_failed\)") as caught:
        service.client(tmp_path / "state").enhance(recording(tmp_path))
    assert (caught.value.code, caught.value.enhancement.status) == ("engine_failed", "failed")


def test_waiting_has_an_end(tmp_path: Path) -> None:
    service = FakeService(polls_before_done=99)
    client = service.client(tmp_path / "state")
    with pytest.raises(WaitTimeoutError):
        client.enhance("https://example.com/talk.wav", timeout_s=0)
    made = client.enhance("https://example.com/talk.wav", wait=False)
    service.polls_before_done = 2
    assert client.enhancements.wait(made.id).status == "succeeded"
    polls = service.asked("GET", f"/v1/enhancements/{made.id}")
    assert [one.url.params["wait"] for one in polls] == ["20"] * 3


def test_a_download_leaves_the_process_as_it_is_for_other_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(_mask: int) -> Never:
        raise AssertionError("the umask is the whole process's")

    client = FakeService().client(tmp_path / "state")
    done = client.enhance("https://example.com/talk.wav")
    monkeypatch.setattr(os, "umask", touched)
    assert client.enhancements.download(done.id, tmp_path).read_bytes() == b"dehctef"


def test_a_long_name_in_any_script_is_saved(tmp_path: Path) -> None:
    client = FakeService().client(tmp_path / "state")
    done, name = client.enhance("https://example.com/talk.wav"), "講" * 80 + ".wav"
    assert client.enhancements.download(done.id, str(tmp_path / name)).name == name


def test_a_result_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    service = FakeService()
    client = service.client(tmp_path / "state")
    done = client.enhance("https://example.com/talk.wav")

    service.meddle = lambda one: httpx.Response(200, stream=Broken()) if one.url.host == "storage.test" else None
    folder = tmp_path / "out"
    folder.mkdir()
    old = recording(folder, "mine.wav", b"old")
    with pytest.raises(UnreachableError, match="the line is broken"):
        client.enhancements.download(done.id, old)
    assert old.read_bytes() == b"old"
    assert list(folder.iterdir()) == [old]
    troubles = [httpx.Response(403), httpx.Response(503)]
    service.meddle = lambda one: troubles.pop() if one.url.host == "storage.test" and troubles else None
    assert client.enhancements.download(done.id, old).read_bytes() == b"dehctef"
    service.meddle = lambda one: httpx.Response(403) if one.url.host == "storage.test" else None
    with pytest.raises(StorageError, match="download"):
        client.enhancements.report(done.id)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="../../etc/cron"', "cron"),
        ("attachment; filename*=UTF-8''..%2Fcron", "cron"),
        ('attachment; filename=".."', "result"),
        ("", "result"),
    ],
)
def test_a_result_cannot_leave_the_folder(tmp_path: Path, disposition: str, name: str) -> None:
    service = FakeService()
    client = service.client(tmp_path / "state")
    done = client.enhance("https://example.com/talk.wav")
    headers = {"content-disposition": disposition}
    service.meddle = lambda one: httpx.Response(200, headers=headers) if one.url.host == "storage.test" else None
    assert client.enhancements.download(done.id, tmp_path) == tmp_path / name


def test_one_of_many_that_fails_stops_no_other(tmp_path: Path) -> None:
    service = FakeService(failing={"broken.mp3"}, refused={"odd.wav"})
    names = ["one.wav", "odd.wav", "broken.mp3", "notes.txt", "absent.wav", "two.flac"]
    given = [recording(tmp_path, name) if name != "absent.wav" else tmp_path / name for name in names]
    out = tmp_path / "out"
    out.mkdir()
    outcomes = service.client(tmp_path / "state").enhance_many([*given, ASSET_ID], target=lambda _one: out)
    assert [one.recording for one in outcomes] == [*given, ASSET_ID]
    errors = [type(one.error).__name__ for one in outcomes]
    assert errors == [
        "NoneType",
        "RefusedItemError",
        "EnhancementError",
        "CleartakeError",
        "FileNotFoundError",
        "NoneType",
        "NoneType",
    ]
    assert [one.file.name for one in outcomes if one.file] == [
        "one-enhanced-90p.wav",
        "two-enhanced-90p.flac",
        "talk-enhanced-90p.wav",
    ]
    assert len(service.asked("POST", "/v1/batches")) == 1


def test_more_than_a_batch_takes_are_several_batches(tmp_path: Path) -> None:
    service = FakeService()
    urls = [f"https://example.com/{number}.wav" for number in range(130)]
    outcomes = service.client(tmp_path / "state").enhance_many(urls)
    assert len(service.asked("POST", "/v1/batches")) == 2
    assert len({one.enhancement.id for one in outcomes if one.enhancement}) == 130
    assert not any(one.file for one in outcomes)


def test_a_batch_that_is_refused_stops_no_other(tmp_path: Path) -> None:
    service, answers = FakeService(), [None, httpx.Response(422, json={"code": "queue_full", "detail": "full"}), None]
    service.meddle = lambda one: answers.pop(0) if one.url.path == "/v1/batches" else None
    files = [recording(tmp_path, f"{number}.wav") for number in range(201)]
    outcomes = service.client(tmp_path / "state").enhance_many(files)
    assert [bool(one.enhancement) for one in outcomes] == [True] * 100 + [False] * 100 + [True]
    assert {str(one.error) for one in outcomes[100:200]} == {"full (queue_full, HTTP 422)"}
    assert len(service.puts()) == 101


def test_usage_is_by_day(tmp_path: Path) -> None:
    usage = FakeService().client(tmp_path).usage(date(2026, 1, 1), date(2026, 1, 2))
    assert (usage.days[0].day, usage.days[0].succeeded, usage.audio_minutes) == (date(2026, 1, 1), 2, 1.5)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ApiError) as caught:
        FakeService().client(tmp_path).enhancements.get("e9")
    assert (caught.value.status, caught.value.code) == (404, "not_found")
