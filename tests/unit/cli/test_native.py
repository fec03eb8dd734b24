"""``cleartake jobs``, ``assets``, ``webhooks`` and ``usage`` against a fake service; which service, and as whom."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from scripts.cli import main, service
from scripts.local.paths import LauncherError
from scripts.local.tenants import Credentials
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import SIGNATURE, FakeService

LOCAL = Credentials("http://127.0.0.1:9", "first", "hush", "second", "hush too")


def test_jobs_are_listed_shown_watched_and_cancelled(fake: FakeService, run: Run) -> None:
    for number in range(3):
        run("enhance", f"https://example.com/{number}.wav", "--no-wait")
    code, out, _ = run("jobs", "list", "--limit", "2", "--since", "2026-01-01", "--status", "running")
    assert (code, [line.split()[:2] for line in out.splitlines()]) == (0, [["e0", "running"], ["e1", "running"]])
    (listed,) = fake.asked("GET", "/v1/enhancements")
    assert listed.url.params["created_after"].startswith(("2026-01-01", "2025-12-31"))
    assert "50.0" in run("jobs", "show", "e0")[1]
    assert json.loads(run("jobs", "show", "e0", "--json")[1])["status"] == "succeeded"
    assert "cancelled" in run("jobs", "cancel", "e1")[1]
    assert run("jobs", "watch", "e0")[0] == 0
    code, out, _ = run("jobs", "watch", "e0", "e1", "e2", "--json")
    assert (code, [one["status"] for one in json.loads(out)]) == (1, ["succeeded", "cancelled", "succeeded"])
    assert run("jobs", "show", "e9")[0] == 3
    assert run("jobs", "list", "--status", "queued")[1] == "There are no such enhancements.\n"


def test_assets_are_uploaded_listed_shown_and_deleted(fake: FakeService, run: Run, tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(b"RIFF")
    assert run("assets", "upload", "talk.wav", "--retain-hours", "5")[:2] == (0, "a0\n")
    assert fake.assets["a0"]["retain_hours"] == 5
    assert "talk.wav" in run("assets", "list")[1]
    fake.assets["a0"]["status"] = "waiting_for_upload"
    for shown in (run("assets", "show", "a0")[1], run("assets", "list", "--json")[1]):
        assert "waiting_for_upload" in shown
        assert SIGNATURE not in shown
    assert run("assets", "delete", "a0")[:2] == (0, "a0 deleted\n")
    assert run("assets", "delete", "a0")[0] == 3
    assert run("assets", "list")[1] == "There are no recordings.\n"


def test_assets_are_fetched(fake: FakeService, run: Run) -> None:
    assert run("assets", "fetch", "https://example.com/talk.wav", "--retain-hours", "5")[:2] == (0, "a0\n")
    assert (fake.assets["a0"]["status"], fake.assets["a0"]["retain_hours"]) == ("ready", 5)
    assert run("assets", "fetch", "s3://talks/one.wav", "--role", "arn:role", "--no-wait")[:2] == (0, "a1\n")
    assert fake.assets["a1"]["s3"] == {"uri": "s3://talks/one.wav", "role_arn": "arn:role"}
    assert run("assets", "fetch", "s3://talks/one.wav")[0] == 1


def test_webhooks_from_their_making_to_their_end(fake: FakeService, run: Run) -> None:
    assert run("webhooks", "list")[1] == "There are no webhooks.\n"
    out = run("webhooks", "create", "https://example.com/hook", "--event", "enhancement.failed")[1]
    assert "whsec_one" in out
    assert "only now" in out
    assert fake.webhooks["w0"]["events"] == ["enhancement.failed"]
    assert "whsec" not in run("webhooks", "list")[1]
    assert json.loads(run("webhooks", "rotate", "w0", "--drop-previous", "--json")[1])["secret"] == "whsec_two"
    assert json.loads(fake.requests[-1].content) == {"keep_previous": False}
    assert "webhook.test" in run("webhooks", "test", "w0")[1]
    assert run("webhooks", "deliveries", "w0", "--limit", "2")[1].count("1 attempts") == 2
    assert run("webhooks", "redeliver", "w0", "msg_7")[1].startswith("msg_7  pending")
    assert run("webhooks", "delete", "w0")[0] == 0
    assert fake.webhooks == {}


def test_usage_is_a_table(run: Run) -> None:
    code, out, _ = run("usage", "--from", "2026-01-05", "--to", "2026-01-06")
    assert code == 0
    assert out.splitlines()[1].split() == ["2026-01-05", "2", "1", "0", "1.5"]
    assert json.loads(run("usage", "--json")[1])["audio_minutes"] == 1.5


@pytest.mark.parametrize("arguments", [["usage", "--from", "monday"], ["jobs", "list", "--since", "soon"]])
def test_a_wrong_day_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(arguments)
    assert "like 2026-01-31" in capsys.readouterr().err


def test_the_environment_names_a_service_else_it_is_the_local_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLEARTAKE_HOME", str(tmp_path))
    monkeypatch.delenv("CLEARTAKE_URL", raising=False)
    monkeypatch.delenv("CLEARTAKE_API_KEY", raising=False)
    assert main.main(["usage"]) == 1
    assert "make up" in capsys.readouterr().err
    (tmp_path / "local.json").write_text(json.dumps(asdict(LOCAL)))
    assert service.connect().base_url == LOCAL.base_url
    monkeypatch.setenv("CLEARTAKE_URL", "https://api.example.com/")
    with pytest.raises(LauncherError, match="belong together"):
        service.connect()
    monkeypatch.setenv("CLEARTAKE_API_KEY", "id.secret")
    assert repr(service.connect()) == "Client('https://api.example.com')"
