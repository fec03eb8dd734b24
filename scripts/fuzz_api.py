"""Calls every operation of the running local cloud with what its document allows, and with what it does not.

``python -m scripts.fuzz_api [--examples 100] [--seed 1] [--short] …``: reads ``/openapi.json`` from the cloud itself
and has schemathesis make the calls and judge the answers, with all of its checks: no server error, nothing that the
document does not say. First each call stands alone, then calls follow from one another. Further arguments are
schemathesis's own. The calls are a client's with limits of its own, so that its rate hides nothing, and with some
things of its own, so that not all of it is "not found".
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import httpx

from lambdas.bootstrap import client_administration
from lambdas.core.rates import RateClass
from scripts.adobe_api import Access, Api
from scripts.local.launcher import local_environment, local_table
from scripts.local.paths import Cloud

CONFIG = Path(__file__).with_suffix(".toml")
IDENTIFIERS = CONFIG.with_stem("fuzz_api_ids")
SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "librivox-noisy.mp3"
CALLS_PER_MINUTE = 1_000_000
MAX_QUEUED = 1_000_000
RECEIVER_URL = "https://hooks.invalid/"
TWO_PARTS_BYTES = 20 * 2**20


def main() -> int:
    """Fuzz; returns schemathesis's exit status, the worse one of the two runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="calls of each operation, at most, in each phase")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="neither systematic variations nor sequences of calls")
    given, more = parser.parse_known_args()
    base_url = Cloud.from_environment().base_url
    environment = {**os.environ, **variables(base_url)}

    def run(phases: str, *configuration: Path) -> int:
        with tempfile.NamedTemporaryFile(suffix=".toml") as config:
            Path(config.name).write_text("\n".join(path.read_text(encoding="utf-8") for path in configuration))
            command = [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", config.name, "run"),
                *(f"{base_url}/openapi.json", "--url", base_url, "--phases", phases),
                *("--max-examples", str(given.examples), "--seed", str(given.seed)),
                *("--request-timeout", "40", "--generation-database", "none", *more),
            ]
            return subprocess.run(command, env=environment, check=False).returncode

    if given.short:
        return run("examples,fuzzing", CONFIG, IDENTIFIERS)
    return max(run("examples,coverage,fuzzing", CONFIG, IDENTIFIERS), run("stateful", CONFIG))


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

        def made(path: str, body: object = None) -> str:
            return str(api.call("POST", f"/v1/{path}", json=body)["id"])

        webhook = made("webhooks", {"url": RECEIVER_URL})
        return {
            "FUZZ_TOKEN": api.token,
            "FUZZ_CLIENT_ID": access.client_id,
            "FUZZ_CLIENT_SECRET": access.client_secret,
            "FUZZ_ASSET_ID": asset["id"],
            "FUZZ_ENHANCEMENT_ID": enhanced.split("/")[-2],
            "FUZZ_BATCH_ID": made("batches", {"items": [item]}),
            "FUZZ_PARTS_ID": made("assets", parts),
            "FUZZ_WEBHOOK_ID": webhook,
            "FUZZ_MESSAGE_ID": made(f"webhooks/{webhook}/test"),
            "FUZZ_DOOMED_ASSET_ID": made("assets", parts),
            "FUZZ_DOOMED_V2_ASSET_ID": made("assets", parts),
            "FUZZ_DOOMED_WEBHOOK_ID": made("webhooks", {"url": RECEIVER_URL}),
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
