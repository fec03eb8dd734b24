"""What the emulator's services have acknowledged, kept on disk. Used by ``ministack_serve`` alone, in its Python."""

import contextlib
import json
import os
import pathlib
import threading
from typing import Any


class Journal:
    """Keeps what a service has acknowledged since its state was last saved, so that kill -9 loses none of it.

    Each request that changes something is appended to a file before its answer goes out. A saved state names the
    journal that begins where it ends; at the start, that one and its successors are played again, in order. No disk
    is waited for: what a process has written outlives the process, not the machine.
    """

    def __init__(self, service: Any, name: str, actions: frozenset[str]) -> None:
        self._service, self._name, self._actions = service, name, actions
        self._handle, self._snapshot, self._restore = service.handle_request, service.get_state, service._restore_state  # noqa: SLF001
        self._lock = threading.Lock()
        self._number = 0

    def begin(self) -> None:
        """Take the service's place in front of its requests and its state."""
        self._service.handle_request = self._handle_and_note
        self._service.get_state = self._state
        self._service.load_persisted_state = self._load

    def forget_saved(self) -> None:
        """Remove the journals that the state on disk has made needless."""
        try:
            saved = json.loads(_state_file(f"{self._name}.json").read_text())["payload"]["journal"]
        except (OSError, ValueError, KeyError):
            return
        for number, file in self._files():
            if number < saved:
                file.unlink()

    async def _handle_and_note(self, method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if headers.get("x-amz-target", "").rpartition(".")[2] not in self._actions:
            return await self._handle(method, path, headers, body, query)
        with self._lock:  # these requests never wait for anything, so the event loop is not held up
            answer = await self._handle(method, path, headers, body, query)
            if answer[0] == 200:
                self._note({"path": path, "target": headers["x-amz-target"], "body": body.decode()})
        return answer

    def _note(self, request: dict[str, str]) -> None:
        with _state_file(f"{self._name}.journal.{self._number}").open("ab", buffering=0) as file:
            file.write(json.dumps(request).encode() + b"\n")

    def _state(self) -> Any:
        with self._lock:
            self._number += 1
            return self._snapshot() | {"journal": self._number}

    def _load(self, state: dict[str, Any]) -> None:
        self._restore(state)
        first = int(state.get("journal", 0))
        for number, file in self._files():
            if number >= first:
                self._play(file)
        self._number = max([first, *(number for number, _ in self._files())]) + 1

    def _play(self, file: pathlib.Path) -> None:
        for line in file.read_bytes().splitlines():
            with contextlib.suppress(ValueError):  # the last line may have been cut off in the middle
                request = json.loads(line)
                headers = {"x-amz-target": request["target"]}
                _now(self._handle("POST", request["path"], headers, request["body"].encode(), {}))

    def _files(self) -> list[tuple[int, pathlib.Path]]:
        found = _state_file("").glob(f"{self._name}.journal.*")
        return sorted((int(file.suffix[1:]), file) for file in found)


def _state_file(name: str) -> pathlib.Path:
    return pathlib.Path(os.environ["STATE_DIR"]) / name


def _now(handling: Any) -> Any:
    """Run a coroutine that never waits."""
    try:
        handling.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a journaled request has waited for something")
