"""``cleartake enhance`` against a fake service."""

import json
from pathlib import Path

import httpx
import pytest

from scripts.cli import enhance, main, rest
from scripts.local.paths import LauncherError
from tests.unit.cli.fake_service import BASE_URL, CLIENT_ID, CLIENT_SECRET, FakeService

WHO = rest.Access(BASE_URL, CLIENT_ID, CLIENT_SECRET)


@pytest.fixture(autouse=True)
def _fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FIRST_POLL_S", 0.001)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


def recording(folder: Path, name: str = "talk.wav", body: bytes = b"RIFF audio") -> Path:
    path = folder / name
    path.write_bytes(body)
    return path


def run(service: FakeService, files: list[Path], out: Path | None = None, strength: int = 90) -> list[enhance.Outcome]:
    with service.http() as http:
        return enhance.enhance_all(http, WHO, files, strength=strength, out=out)


def test_one_file_goes_there_and_comes_back(service: FakeService, tmp_path: Path) -> None:
    path = recording(tmp_path, body=b"x" * 600_000 + b"y")
    (outcome,) = run(service, [path], strength=42)
    assert outcome == enhance.Outcome(path, result=tmp_path / "talk-enhanced-42p.wav")
    assert (tmp_path / "talk-enhanced-42p.wav").read_bytes() == b"y" + b"x" * 600_000
    assert service.strengths == [42]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk-enhanced-42p.wav", "talk.wav"]


def test_results_go_to_the_folder_asked_for(service: FakeService, tmp_path: Path) -> None:
    (outcome,) = run(service, [recording(tmp_path)], out=tmp_path / "new" / "folder")
    assert outcome.result == tmp_path / "new" / "folder" / "talk-enhanced-90p.wav"


def test_our_token_never_reaches_the_storage(service: FakeService, tmp_path: Path) -> None:
    run(service, [recording(tmp_path)])
    assert len(service.storage_headers) == 2
    assert not any({"authorization", "x-api-key"} & set(headers) for headers in service.storage_headers)


def test_a_file_that_fails_stops_no_other(service: FakeService, tmp_path: Path) -> None:
    service.unreadable, service.failing = {"noise.wav"}, {"broken.mp3"}
    names = ["one.wav", "noise.wav", "broken.mp3", "notes.txt", "absent.wav", "two.flac"]
    files = [recording(tmp_path, name) if name != "absent.wav" else tmp_path / name for name in names]
    outcomes = run(service, files)
    assert [outcome.source for outcome in outcomes] == files
    assert [outcome.error is None for outcome in outcomes] == [True, False, False, False, False, True]
    errors = {outcome.source.name: outcome.error for outcome in outcomes if outcome.error}
    assert "no audio" in str(errors["noise.wav"])
    assert "failed" in str(errors["broken.mp3"])
    assert "not an audio file" in str(errors["notes.txt"])
    assert "No such file" in str(errors["absent.wav"])


def test_too_many_requests_are_waited_out(service: FakeService, tmp_path: Path) -> None:
    service.throttled = 3
    (outcome,) = run(service, [recording(tmp_path)])
    assert outcome.error is None


def test_wrong_credentials_are_said_at_once(service: FakeService, tmp_path: Path) -> None:
    who = rest.Access(BASE_URL, CLIENT_ID, "wrong")
    with service.http() as http, pytest.raises(LauncherError, match=r"Cannot sign in.*invalid_client"):
        enhance.enhance_all(http, who, [recording(tmp_path)], strength=90)


def test_two_files_with_one_result_are_refused(service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    files = [recording(tmp_path), recording(tmp_path / "a")]
    assert all(outcome.error is None for outcome in run(service, files))
    with pytest.raises(LauncherError, match="same name"):
        run(service, files, out=tmp_path / "out")


@pytest.mark.parametrize(
    "disposition", ['attachment; filename="../../etc/cron"', "attachment; filename*=UTF-8''..%2Fcron"]
)
def test_a_result_cannot_leave_the_folder(tmp_path: Path, disposition: str) -> None:
    answer = httpx.Response(200, headers={"content-disposition": disposition})
    assert rest._filename(answer) == "cron"


def test_the_command_prints_results_and_fails_if_any_file_failed(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service.unreadable = {"noise.wav"}
    credentials = {
        "base_url": BASE_URL,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "second_client_id": "",
        "second_client_secret": "",
    }
    (tmp_path / "local.json").write_text(json.dumps(credentials))
    monkeypatch.setenv("CLEARTAKE_HOME", str(tmp_path))
    monkeypatch.delenv("CLEARTAKE_BASE_URL", raising=False)
    client = httpx.Client
    monkeypatch.setattr(enhance.httpx, "Client", lambda **_: client(transport=httpx.MockTransport(service)))
    good, bad = recording(tmp_path), recording(tmp_path, "noise.wav")

    assert main.main(["enhance", str(good), "--strength", "50"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "talk-enhanced-50p.wav")
    assert main.main(["enhance", str(good), str(bad)]) == 1
    assert f"{bad}: " in capsys.readouterr().err


def test_without_a_cloud_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLEARTAKE_HOME", str(tmp_path))
    assert main.main(["enhance", str(recording(tmp_path))]) == 1
    assert "make up" in capsys.readouterr().err


@pytest.mark.parametrize("strength", ["0", "101", "12.5", "loud"])
def test_a_wrong_strength_is_refused_before_anything_is_sent(strength: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["enhance", "talk.wav", "--strength", strength])
    assert "1 to 100" in capsys.readouterr().err
