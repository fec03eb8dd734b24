"""``cleartake enhance`` and ``batch`` against a fake service."""

import json
from pathlib import Path

import httpx
import pytest

from cleartake_client import files
from scripts.cli import main
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import SIGNATURE, FakeService, problem


def recording(folder: Path, name: str = "talk.wav", body: bytes = b"RIFF audio") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(body)
    return path


def asked(fake: FakeService, path: str = "/v1/enhancements") -> dict[str, object]:
    body: dict[str, object] = json.loads(fake.asked("POST", path)[-1].content)
    return body


def test_the_result_lies_beside_the_file(fake: FakeService, run: Run, tmp_path: Path) -> None:
    path = recording(tmp_path / "in")
    options = ("--strength", "42.5", "--model", "dfn3-hq", "--loudness", "-16", "--dereverb", "on", "--format", "wav")
    code, out, _ = run("enhance", path, *options, "--reference", "seven")
    assert (code, out.strip()) == (0, str(tmp_path / "in" / "talk-enhanced-42.5p.wav"))
    body = asked(fake)
    assert (body["strength"], body["model"], body["reference"]) == (42.5, "dfn3-hq", "seven")
    assert body["options"] == {"dereverb": "on", "output_format": "wav", "loudness_lufs": -16.0}


@pytest.mark.parametrize(
    ("output", "result"), [("new/folder", "new/folder/talk-enhanced-90p.wav"), ("new/mine.wav", "new/mine.wav")]
)
def test_the_result_goes_where_it_is_wanted(run: Run, tmp_path: Path, output: str, result: str) -> None:
    assert run("enhance", recording(tmp_path), "--output", output)[:2] == (0, f"{result}\n")
    assert (tmp_path / result).read_bytes() == b"oidua FFIR"


def test_a_url_is_saved_where_one_stands(fake: FakeService, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("enhance", "https://example.com/talk.wav?token=x")
    assert (code, out) == (0, "talk-enhanced-90p.wav\n")
    assert (tmp_path / "talk-enhanced-90p.wav").exists()


def test_what_is_in_a_bucket_is_enhanced_under_a_role(fake: FakeService, run: Run) -> None:
    uri, role_arn = "s3://recordings/talk.wav", "arn:aws:iam::123456789012:role/cleartake-source-recordings"
    assert run("enhance", uri, "--role", role_arn)[:2] == (0, "talk-enhanced-90p.wav\n")
    assert asked(fake)["source"] == {"s3": {"uri": uri, "role_arn": role_arn}}
    told = json.loads(run("batch", uri, "--role", role_arn, "--json")[1])
    assert (told[0]["source"], told[0]["error"]) == (uri, None)
    code, _, err = run("enhance", uri)
    assert (code, "--role ARN" in err) == (1, True)


def test_who_does_not_wait_gets_the_id(fake: FakeService, run: Run, tmp_path: Path) -> None:
    assert run("enhance", recording(tmp_path), "--no-wait")[:2] == (0, "e0\n")
    assert fake.bodies["a0"] == b"RIFF audio"


def test_json_is_for_programs_and_holds_no_link(run: Run, tmp_path: Path) -> None:
    code, out, err = run("enhance", recording(tmp_path), "--json", "--no-wait")
    told = json.loads(out)
    assert (code, err, told["id"], told["file"]) == (0, "", "e0", None)
    assert SIGNATURE not in out
    told = json.loads(run("enhance", recording(tmp_path), "--json")[1])
    assert (told["status"], told["file"]) == ("succeeded", str(tmp_path / "talk-enhanced-90p.wav"))


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (problem(422, "parameter_invalid"), 3),
        (problem(429, "queue_full", retryable=True, Retry_After="900"), 4),
        (httpx.ConnectError("Connection refused"), 4),
    ],
    ids=["refused", "busy", "away"],
)
def test_the_exit_code_says_whether_trying_again_may_help(
    fake: FakeService, run: Run, tmp_path: Path, trouble: httpx.Response | Exception, code: int
) -> None:
    def meddle(_request: httpx.Request) -> httpx.Response:
        if isinstance(trouble, Exception):
            raise trouble
        return trouble

    fake.meddle = meddle
    done = run("enhance", recording(tmp_path))
    assert done[0] == code
    assert done[2].splitlines()[-1].startswith("cleartake: ")


def test_what_fails_is_told(fake: FakeService, run: Run, tmp_path: Path) -> None:
    fake.failing = {"talk.wav"}
    code, _, err = run("enhance", recording(tmp_path))
    assert (code, "it broke (engine_failed)" in err) == (1, True)
    code, _, err = run("enhance", tmp_path / "absent.wav")
    assert (code, "No such file" in err) == (1, True)
    code, _, err = run("enhance", recording(tmp_path, "notes.txt"))
    assert (code, "no audio file by its name" in err) == (1, True)


def test_an_interrupted_upload_is_gone_on_with_by_the_next_command(
    fake: FakeService, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "IN_PARTS_FROM_BYTES", 1)
    path = recording(tmp_path, body=bytes(2500))
    fake.meddle = lambda one: httpx.Response(500) if one.url.path == "/part/a0/3" else None
    code, _, err = run("enhance", path)
    assert (code, "Upload again to go on" in err) == (4, True)
    arrived = set(fake.parts["a0"])
    fake.meddle = lambda _one: None
    before = len(fake.puts())
    assert run("enhance", path, "--strength", "50")[0] == 0
    assert {int(one[-1]) for one in fake.puts()[before:]} == {1, 2, 3} - arrived
    assert asked(fake)["source"] == {"asset_id": "a0"}


def test_one_of_many_that_fails_stops_no_other(fake: FakeService, run: Run, tmp_path: Path) -> None:
    fake.failing = {"broken.mp3"}
    good, bad = recording(tmp_path), recording(tmp_path, "broken.mp3")
    code, out, err = run("batch", good, bad, tmp_path / "absent.wav", "--output", "out", "--reference", "nightly")
    assert (code, out.splitlines()) == (1, ["out/talk-enhanced-90p.wav"])
    assert f"{bad}: it broke" in err
    assert "absent.wav: " in err
    assert asked(fake, "/v1/batches")["reference"] == "nightly"
    told = json.loads(run("batch", good, bad, "--json")[1])
    assert [one["source"] for one in told] == [str(good), str(bad)]
    assert (told[0]["error"], told[0]["file"]) == (None, str(tmp_path / "talk-enhanced-90p.wav"))
    assert (told[1]["file"], "engine_failed" in told[1]["error"]) == (None, True)


def test_a_batch_need_not_be_waited_for(fake: FakeService, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("batch", recording(tmp_path), recording(tmp_path, "two.wav"), "--no-wait")
    assert (code, out.split()) == (0, ["e0", "e1"])
    assert len(fake.bodies) == 2


def test_two_files_with_one_result_are_refused(run: Run, tmp_path: Path) -> None:
    both = [recording(tmp_path), recording(tmp_path / "a")]
    assert run("batch", *both)[0] == 0
    code, _, err = run("batch", *both, "--output", "out")
    assert (code, "same name" in err) == (1, True)


@pytest.mark.parametrize("strength", ["-1", "101", "loud", "nan"])
def test_a_wrong_strength_is_refused_before_anything_is_sent(strength: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main.main(["enhance", "talk.wav", f"--strength={strength}"])
    assert stopped.value.code == 2
    assert "0 to 100" in capsys.readouterr().err
