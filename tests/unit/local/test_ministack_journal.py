"""What a service has acknowledged is there after kill -9, once and in order, on a stand-in for a service."""

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.local.ministack_journal import Journal

HEADERS = {"x-amz-target": "Service.Append"}


class Service:
    """Keeps a list that grows with each request."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    async def handle_request(self, method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if headers["x-amz-target"].endswith("Append") and body:
            self.kept.append(json.loads(body))
        return (200 if body else 400), {}, b""

    def get_state(self) -> dict[str, Any]:
        return {"kept": copy.copy(self.kept)}

    def _restore_state(self, state: dict[str, Any]) -> None:
        self.kept = state["kept"]

    load_persisted_state = _restore_state


class Emulator:
    """A service that can be killed at any moment; what it has said is remembered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        self.service = Service()
        self.journal = Journal(self.service, "service", frozenset({"Append"}))
        self.journal.begin()
        state = self.folder / "service.json"
        self.service.load_persisted_state(json.loads(state.read_text())["payload"] if state.exists() else {"kept": []})

    def append(self, text: str) -> None:
        body = json.dumps(text).encode()
        assert asyncio.run(self.service.handle_request("POST", "/", HEADERS, body, {}))[0] == 200

    def save(self) -> None:
        (self.folder / "service.json").write_text(json.dumps({"payload": self.service.get_state()}))


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    return Emulator(tmp_path)


def test_what_came_after_the_last_save_is_there_after_a_kill(emulator: Emulator) -> None:
    emulator.append("before")
    emulator.save()
    emulator.journal.forget_saved()
    emulator.append("after")
    emulator.start()
    assert emulator.service.kept == ["before", "after"]


def test_what_was_refused_is_not(emulator: Emulator) -> None:
    assert asyncio.run(emulator.service.handle_request("POST", "/", HEADERS, b"", {}))[0] == 400
    emulator.start()
    assert emulator.service.kept == []


def test_a_line_that_was_cut_off_was_never_acknowledged(emulator: Emulator) -> None:
    emulator.append("whole")
    (file,) = emulator.folder.glob("service.journal.*")
    with file.open("ab") as stream:
        stream.write(b'{"path": "/", "targ')
    emulator.start()
    assert emulator.service.kept == ["whole"]


def test_journals_that_a_saved_state_holds_are_removed(emulator: Emulator) -> None:
    emulator.append("one")
    emulator.save()
    emulator.append("two")
    emulator.journal.forget_saved()
    assert len(list(emulator.folder.glob("service.journal.*"))) == 1


@given(steps=st.lists(st.sampled_from(["append", "save", "forget", "kill"]), max_size=30))
def test_nothing_is_lost_or_comes_twice_whenever_it_is_killed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("STATE_DIR", str(folder))
        emulator, said = Emulator(folder), []
        for number, step in enumerate(steps):
            match step:
                case "append":
                    emulator.append(str(number))
                    said.append(str(number))
                case "save":
                    emulator.save()
                case "forget":
                    emulator.journal.forget_saved()
                case "kill":
                    emulator.start()
        emulator.start()
        assert emulator.service.kept == said
