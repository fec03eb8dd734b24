"""``make bench-flow``: how long a client waits, over real HTTP against the running local cloud. Prints medians."""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import soundfile as sf
from rich.console import Console
from rich.table import Table

from scripts.adobe_api import Api, ApiError, local_access
from scripts.bench_cloud import ASSETS, upload
from scripts.recordings import read

CLIP_S = 10
POLL_S = 0.01


def clip(path: Path, target: Path) -> Path:
    """Write the first seconds of a recording to a WAV file."""
    recording, rate_hz = read(path)
    sf.write(target, recording[:, : CLIP_S * rate_hz].T, rate_hz, subtype="PCM_16")
    return target


def enhance(api: Api, asset_id: str, strength: int) -> float:
    """Return the seconds from POST to ``succeeded``."""
    start = time.perf_counter()
    path = f"{ASSETS}/{asset_id}/speech_enhancements"
    job = api.call("POST", path, json={"strength": strength})
    while job["status"] not in {"succeeded", "failed"}:
        time.sleep(POLL_S)
        job = api.call("GET", f"{path}/{job['id']}")
    if job["status"] != "succeeded":
        raise ApiError(f"enhancement {job['id']} failed")
    return time.perf_counter() - start


def look(api: Api, asset_id: str) -> float:
    """Return the seconds of one GET."""
    start = time.perf_counter()
    api.call("GET", f"{ASSETS}/{asset_id}")
    return time.perf_counter() - start


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, default=Path("samples/librivox-noisy.mp3"))
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--calls", type=int, default=200)
    arguments = parser.parse_args()
    with httpx.Client(trust_env=False, timeout=30) as http, tempfile.TemporaryDirectory() as folder:
        api = Api.sign_in(http, local_access())
        asset_id = upload(api, clip(arguments.audio, Path(folder) / "clip.wav"))
        enhance(api, asset_id, 100)  # warm up
        jobs = [enhance(api, asset_id, strength) for strength in range(1, arguments.jobs + 1)]
        calls = [look(api, asset_id) for _ in range(arguments.calls)]
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
