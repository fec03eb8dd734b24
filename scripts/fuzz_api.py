"""Calls every operation of the running local cloud with what its document allows, and with what it does not.

``python -m scripts.fuzz_api [--examples 100] [--seed 1] …``: reads ``/openapi.json`` from the cloud itself and has
schemathesis make the calls and judge the answers: no server error, nothing that the document does not say. Further
arguments are schemathesis's own. The calls are a client's with limits of its own, so that its rate hides nothing.
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
from scripts.local.launcher import local_environment, local_table
from scripts.local.paths import Cloud

CONFIG = Path(__file__).with_suffix(".toml")
CALLS_PER_MINUTE = 1_000_000
MAX_QUEUED = 1_000_000


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
    return subprocess.run(command, env={**os.environ, **caller(base_url)}, check=False).returncode


def caller(base_url: str) -> Mapping[str, str]:
    """Return the environment that signs the calls in as a new client."""
    os.environ.update(local_environment())
    administration = client_administration(local_table())
    client, secret = administration.create("fuzz", max_queued=MAX_QUEUED, takes_api_keys=True)
    for rate_class in RateClass:
        administration.set_rate_limit(client.id, rate_class, CALLS_PER_MINUTE)
    form = {"grant_type": "client_credentials", "client_id": client.id, "client_secret": secret}
    answer = httpx.post(f"{base_url}/ims/token/v3", data=form, timeout=30, trust_env=False)
    answer.raise_for_status()
    return {
        "FUZZ_TOKEN": answer.json()["access_token"],
        "FUZZ_CLIENT_ID": client.id,
        "FUZZ_CLIENT_SECRET": secret,
    }


if __name__ == "__main__":
    sys.exit(main())
