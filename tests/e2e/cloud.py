"""A local cloud of the suite's own, and a client that counts what it asks of it."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx

REPO = Path(__file__).resolve().parents[2]
ASSETS = "/audio_services/v1/assets"
CLI = [sys.executable, "-m", "scripts.cli.main"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cloud:
    """One home, three free ports; ``cleartake`` runs against it as a person would run it."""

    home: Path
    port: int = field(default_factory=free_port)
    emulator_port: int = field(default_factory=free_port)
    sagemaker_port: int = field(default_factory=free_port)
    gpu_backend: str = "sagemaker"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CLEARTAKE_"))}
        if "CLEARTAKE_MODELS" in os.environ:
            kept["CLEARTAKE_MODELS"] = os.environ["CLEARTAKE_MODELS"]
        return {
            **kept,
            "CLEARTAKE_HOME": str(self.home),
            "CLEARTAKE_PORT": str(self.port),
            "CLEARTAKE_EMULATOR_PORT": str(self.emulator_port),
            "CLEARTAKE_SAGEMAKER_PORT": str(self.sagemaker_port),
            "CLEARTAKE_GPU_BACKEND": self.gpu_backend,
        }

    def cleartake(
        self, *arguments: str, check: bool = True, timeout_s: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [*CLI, *arguments],
            cwd=REPO,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    @property
    def credentials(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.home / "local.json").read_text())
        return found

    @property
    def outputs(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.home / "outputs.json").read_text())
        return found

    def aws(self, service: str) -> Any:
        """Return a client with the administrator's rights."""
        return _aws(service, self.emulator_port)

    def executions(self) -> int:
        machine = self.outputs["EnhancementMachineArn"]
        pages = self.aws("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine)
        return sum(len(page["executions"]) for page in pages)


@cache  # what is to be met in mid-file does not wait for a client to be made
def _aws(service: str, port: int) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


@dataclass
class Api:
    """One tenant's view of the service, over real HTTP."""

    base_url: str
    client_id: str
    client_secret: str
    counter: list[int]

    def __post_init__(self) -> None:
        def count(_request: httpx.Request) -> None:
            self.counter[0] += 1

        self.http = httpx.Client(base_url=self.base_url, timeout=70, event_hooks={"request": [count]}, trust_env=False)
        answer = self.token()
        assert answer.status_code == 200, answer.text
        self.headers = {"x-api-key": self.client_id, "Authorization": f"Bearer {answer.json()['access_token']}"}

    def token(self, **changes: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": "openid",
        }
        return self.http.post("/ims/token/v3", data=form | changes)

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.http.request(method, path, json=body, headers=self.headers, **more)

    def create(self, data: bytes, **changes: Any) -> dict[str, Any]:
        body = {
            "filename": "earhart-aviation.mp3",
            "byte_size": len(data),
            "checksum": md5_of(data),
            "content_type": "audio/mpeg",
        } | changes
        answer = self.call("POST", ASSETS, {name: value for name, value in body.items() if value is not None})
        assert answer.status_code == 201, answer.text
        asset: dict[str, Any] = answer.json()
        return asset

    def put(self, url: str, data: bytes, headers: dict[str, str]) -> httpx.Response:
        return self.http.put(url, content=data, headers=headers)

    def upload(self, data: bytes, **changes: Any) -> dict[str, Any]:
        """Create an asset, PUT its bytes and wait until they are settled."""
        asset = self.create(data, **changes)
        headers = {"Content-Type": asset["content_type"]}
        if asset["checksum"]:
            headers["Content-MD5"] = asset["checksum"]
        answer = self.put(asset["upload_url"], data, headers)
        assert (answer.status_code, answer.content) == (200, b"")
        return self.settled(asset["id"])

    def asset(self, asset_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"{ASSETS}/{asset_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def settled(self, asset_id: str, timeout_s: float = 60) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while (asset := self.asset(asset_id))["status"] == "waiting_for_upload":
            assert time.monotonic() < deadline, "the upload was never settled"
            time.sleep(0.05)
        return asset

    def enhance(self, asset_id: str, strength: Any = 93) -> httpx.Response:
        return self.call("POST", f"{ASSETS}/{asset_id}/speech_enhancements", {"strength": strength})

    def finished(self, job: dict[str, Any], timeout_s: float = 120) -> dict[str, Any]:
        path = f"{ASSETS}/{job['asset_id']}/speech_enhancements/{job['id']}"
        deadline = time.monotonic() + timeout_s
        while (found := self.call("GET", path).json())["status"] not in {"succeeded", "failed"}:
            assert time.monotonic() < deadline, f"still {found['status']}"
            time.sleep(0.05)
        done: dict[str, Any] = found
        return done

    def download(self, job: dict[str, Any]) -> httpx.Response:
        found = self.http.get(job["download_url"], headers=self.headers)
        assert found.status_code == 302, found.text
        return self.http.get(found.headers["Location"])


def md5_of(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
