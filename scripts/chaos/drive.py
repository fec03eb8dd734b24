"""The clients: they upload, ask, and go on asking while the service is away, as any client of a cloud must."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from cleartake_client import media_type_of
from scripts.adobe_api import Access, Api, ApiError
from scripts.chaos.clips import Recording

ASSETS = "/audio_services/v1/assets"
AWAY = frozenset({500, 502, 503, 504})
PATIENCE_S = 300.0
RETRY_S = 1.0
SETTLED_WITHIN_S = 400.0
UPLOADS_AT_ONCE = 2
"""Of each client."""


@dataclass(frozen=True)
class Order:
    """One job as its client knows it; ``job_id`` is None where the service refused it, ``refusal`` says how."""

    recording: Recording
    strength: int
    client_id: str
    asset_id: str
    job_id: str | None
    refusal: str | None = None

    @property
    def name(self) -> str:
        """What it is, whatever ids it got: the same in the calm run and in the storm."""
        return f"{self.recording.path.name} at {self.strength}"

    @property
    def path(self) -> str:
        """Where the API shows it."""
        return f"{ASSETS}/{self.asset_id}/speech_enhancements/{self.job_id}"


@dataclass
class Ledger:
    """What the clients were promised; filled from several threads."""

    orders: list[Order] = field(default_factory=list)
    unanswered: int = 0
    """Answers that did not come, or were 5xx: the client asked again."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, order: Order) -> None:
        """Note an order."""
        with self._lock:
            self.orders.append(order)

    def count_unanswered(self) -> None:
        """Note a call that has to be made again."""
        with self._lock:
            self.unanswered += 1

    def jobs(self) -> list[Order]:
        """Return the orders that became jobs."""
        with self._lock:
            return [order for order in self.orders if order.job_id]


class Patient(httpx.BaseTransport):
    """Asks again while nobody answers, or the answer is that nobody is there."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._inner = httpx.HTTPTransport(trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send until there is an answer; in the end the last trouble is the caller's."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self._inner.handle_request(request)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            else:
                if answer.status_code not in AWAY or time.monotonic() > deadline:
                    return answer
                answer.close()
            self._ledger.count_unanswered()
            time.sleep(RETRY_S)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


@dataclass(frozen=True)
class Clients:
    """The signed-in clients, in the order of `Recording.client`."""

    apis: tuple[Api, ...]
    ledger: Ledger

    def submit(self, recordings: Sequence[Recording], *, over_s: float = 0.0) -> None:
        """Upload all recordings and ask for all their jobs; ``over_s``: spread over so much time."""
        began = time.monotonic()
        with ThreadPoolExecutor(UPLOADS_AT_ONCE * len(self.apis)) as pool:
            waiting = [
                pool.submit(self._submit_at, began + over_s * number / len(recordings), recording)
                for number, recording in enumerate(recordings)
            ]
            for one in waiting:
                one.result()

    def _submit_at(self, moment_s: float, recording: Recording) -> None:
        time.sleep(max(0.0, moment_s - time.monotonic()))
        api = self.apis[recording.client]
        asset = self._upload(api, recording)
        for strength in recording.strengths:
            self.ledger.add(self._ask(api, recording, str(asset["id"]), strength))

    def _upload(self, api: Api, recording: Recording) -> dict[str, Any]:
        """Return the asset once the service has looked at its bytes, or no client would wait any longer."""
        asset = api.create_asset(recording.path, media_type_of(recording.path))
        headers = {"Content-Type": asset["content_type"], "Content-MD5": asset["checksum"]}
        api.http.put(asset["upload_url"], headers=headers, content=recording.path.read_bytes()).raise_for_status()
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while asset["status"] == "waiting_for_upload" and time.monotonic() < deadline:
            time.sleep(RETRY_S)
            asset = api.call("GET", f"{ASSETS}/{asset['id']}")
        return asset

    def _ask(self, api: Api, recording: Recording, asset_id: str, strength: int) -> Order:
        path = f"{ASSETS}/{asset_id}/speech_enhancements"
        try:
            job_id = str(api.call("POST", path, json={"strength": strength})["id"])
        except ApiError as error:
            return Order(recording, strength, api.client_id, asset_id, None, str(error))
        return Order(recording, strength, api.client_id, asset_id, job_id)

    def api_of(self, order: Order) -> Api:
        """Return the client whose order it is."""
        return self.apis[order.recording.client]

    def download(self, order: Order) -> bytes:
        """Return a succeeded job's audio."""
        api = self.api_of(order)
        headers = {"x-api-key": api.client_id, "Authorization": f"Bearer {api.token}"}
        found = api.http.get(f"{api.base_url}{order.path}/download", headers=headers)
        return api.http.get(found.headers["location"]).raise_for_status().content


@contextmanager
def signed_in(accesses: Sequence[Access], ledger: Ledger) -> Iterator[Clients]:
    """Sign the clients in, all of them patient."""
    with httpx.Client(transport=Patient(ledger), timeout=httpx.Timeout(30.0), trust_env=False) as http:
        yield Clients(tuple(Api.sign_in(http, access) for access in accesses), ledger)
