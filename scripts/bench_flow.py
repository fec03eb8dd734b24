"""``make bench-flow``: how long a client waits, over real HTTP against the running local cloud. Prints medians."""

import argparse
import base64
import hashlib
import io
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile as sf
from rich.console import Console
from rich.table import Table

from gpu_container.engine.audio_io import blocks
from gpu_container.engine.formats import identify
from scripts.local.paths import Cloud
from scripts.local.tenants import Credentials

ASSETS = "/audio_services/v1/assets"
CLIP_S = 10
POLL_S = 0.01


def clip(path: Path) -> bytes:
    """Return the first seconds of a recording as a WAV file."""
    found = identify(path)
    signal = np.concatenate(list(blocks(path, found)), axis=1)[:, : CLIP_S * found.rate_hz]
    buffer = io.BytesIO()
    sf.write(buffer, signal.T, found.rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


class Client:
    """One tenant's HTTP session."""

    def __init__(self, known: Credentials) -> None:
        self._http = httpx.Client(base_url=known.base_url, trust_env=False, timeout=30)
        form = {
            "grant_type": "client_credentials",
            "client_id": known.client_id,
            "client_secret": known.client_secret,
        }
        token = self._http.post("/ims/token/v3", data=form).json()["access_token"]
        self._http.headers.update({"x-api-key": known.client_id, "Authorization": f"Bearer {token}"})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON of one call."""
        answer = self._http.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    def upload(self, data: bytes) -> str:
        """Upload a recording; returns its id once it is ready."""
        checksum = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        declared = {"filename": "clip.wav", "byte_size": len(data), "content_type": "audio/wav", "checksum": checksum}
        asset = self.call("POST", ASSETS, declared)
        headers = {"Content-Type": "audio/wav", "Content-MD5": checksum}
        httpx.put(asset["upload_url"], content=data, headers=headers, trust_env=False).raise_for_status()
        path = f"{ASSETS}/{asset['id']}"
        while self.call("GET", path)["status"] == "waiting_for_upload":
            time.sleep(POLL_S)
        return str(asset["id"])

    def enhance(self, asset_id: str, strength: int) -> float:
        """Return the seconds from POST to ``succeeded``."""
        start = time.perf_counter()
        path = f"{ASSETS}/{asset_id}/speech_enhancements"
        job = self.call("POST", path, {"strength": strength})
        while job["status"] not in {"succeeded", "failed"}:
            time.sleep(POLL_S)
            job = self.call("GET", f"{path}/{job['id']}")
        if job["status"] != "succeeded":
            msg = f"enhancement {job['id']} failed"
            raise RuntimeError(msg)
        return time.perf_counter() - start

    def look(self, asset_id: str) -> float:
        """Return the seconds of one GET."""
        start = time.perf_counter()
        self.call("GET", f"{ASSETS}/{asset_id}")
        return time.perf_counter() - start


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, default=Path("samples/librivox-noisy.mp3"))
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--calls", type=int, default=200)
    arguments = parser.parse_args()
    known = Credentials.read(Cloud.from_environment().credentials_file)
    if known is None:
        print("There is no local cloud here yet. Start it: make up", file=sys.stderr)
        return 1
    client = Client(known)
    asset_id = client.upload(clip(arguments.audio))
    client.enhance(asset_id, 100)  # warm up
    jobs = [client.enhance(asset_id, strength) for strength in range(1, arguments.jobs + 1)]
    calls = [client.look(asset_id) for _ in range(arguments.calls)]
    table = Table(title=f"{CLIP_S} s clip, warm")
    for column in ("", "median", "slowest"):
        table.add_column(column)
    for name, values, unit, scale in (
        (f"POST speech_enhancements to succeeded, {len(jobs)} jobs", jobs, "s", 1),
        (f"GET asset, {len(calls)} calls", calls, "ms", 1000),
    ):
        table.add_row(name, f"{statistics.median(values) * scale:.2f} {unit}", f"{max(values) * scale:.2f} {unit}")
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
