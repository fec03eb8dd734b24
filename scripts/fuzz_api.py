"""Calls every operation of the running local cloud with what its document allows, and with what it does not.

``python -m scripts.fuzz_api [--examples 100] [--seed 1] …``: reads ``/openapi.json`` from the cloud itself and has
schemathesis make the calls and judge the answers: no server error, nothing that the document does not say. Further
arguments are schemathesis's own. The calls are a client's with limits of its own, so that its rate hides nothing, and
with some things of its own, so that not all of it is "not found".
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from lambdas.bootstrap import client_administration
from lambdas.core.rates import RateClass
from scripts.adobe_api import Access, Api
from scripts.local.launcher import local_environment, local_table
from scripts.local.paths import Cloud

CONFIG = Path(__file__).with_suffix(".toml")
SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "librivox-noisy.mp3"
CALLS_PER_MINUTE = 1_000_000
MAX_QUEUED = 1_000_000
TWO_PARTS_BYTES = 20 * 2**20


def main() -> int:
    """Fuzz; returns schemathesis's exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="calls of each operation, at most, in each phase")
    parser.add_argument("--seed", type=int, default=1)
    given, more = parser.parse_known_args()
    base_url = Cloud.from_environment().base_url
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{base_url}/openapi.json"),
        *("--url", base_url, "--max-examples", str(given.examples), "--seed", str(given.seed)),
        *("--request-timeout", "40", "--generation-database", "none", *more),
    ]
    return subprocess.run(command, env={**os.environ, **variables(base_url)}, check=False).returncode


def variables(base_url: str) -> Mapping[str, str]:
    """Make a client and some things of it; returns what the configuration names."""
    access = new_client(base_url)
    with httpx.Client(timeout=60, trust_env=False) as http:
        api = Api.sign_in(http, access)
        asset = api.create_asset(SAMPLE, "audio/mpeg")
        api.upload(SAMPLE, asset)
        api.wait_until_ready(asset["id"])
        enhanced = api.enhance(asset["id"], 90)
        item = {"source": {"asset_id": asset["id"]}, "strength": 50}
        parts = {"filename": "a.wav", "size_bytes": TWO_PARTS_BYTES, "content_type": "audio/wav", "in_parts": True}
        return {
            "FUZZ_TOKEN": api.token,
            "FUZZ_CLIENT_ID": access.client_id,
            "FUZZ_CLIENT_SECRET": access.client_secret,
            "FUZZ_ASSET_ID": asset["id"],
            "FUZZ_ENHANCEMENT_ID": enhanced.split("/")[-2],
            "FUZZ_BATCH_ID": api.call("POST", "/v1/batches", json={"items": [item]})["id"],
            "FUZZ_PARTS_ID": api.call("POST", "/v1/assets", json=parts)["id"],
        }


def new_client(base_url: str) -> Access:
    """Make a client that no limit stops."""
    os.environ.update(local_environment())
    administration = client_administration(local_table())
    client, secret = administration.create("fuzz", max_queued=MAX_QUEUED, takes_api_keys=True)
    for rate_class in RateClass:
        administration.set_rate_limit(client.id, rate_class, CALLS_PER_MINUTE)
    return Access(base_url, client.id, secret)


if __name__ == "__main__":
    sys.exit(main())
