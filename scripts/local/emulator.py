"""The AWS emulator: its own Python, its environment, and how to tell that it is ready."""

import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from scripts.local.paths import HOST, REPO, Cloud, LauncherError

REGION = "us-east-1"
HEALTH_PATH = "/_ministack/health"

REFUSED_WRITES = "refused-writes"
"""A file in the cloud's state that a drill writes: below the prefix it holds, S3 takes no objects."""

SERVE = Path(__file__).with_name("ministack_serve.py")
REQUIREMENTS = REPO / "requirements"

NO_PROXY = f"{HOST},localhost"

AWS_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # the emulator's administrator
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def clean_environment() -> dict[str, str]:
    """Return our environment without anything that leads a local process elsewhere: an AWS account, a proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BOTO_"))}
    return {**kept, "NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY}


def aws_environment(cloud: Cloud) -> dict[str, str]:
    """Return the environment of a process that talks to the emulator as its administrator."""
    return {**clean_environment(), **AWS_CREDENTIALS, "AWS_ENDPOINT_URL": cloud.emulator_url}


def enter(cloud: Cloud) -> None:
    """Make this process itself talk to the emulator, whatever account its environment named before."""
    for name in os.environ.keys() - clean_environment().keys():
        del os.environ[name]
    os.environ.update(aws_environment(cloud))


def environment(cloud: Cloud) -> dict[str, str]:
    """Return the emulator's environment. Its Lambda functions inherit it and get their roles' credentials on top."""
    scratch = cloud.state / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    return {
        **aws_environment(cloud),
        "AUTH": "true",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(cloud.emulator_port),
        "IOT_MTLS_ENABLED": "0",
        "PERSIST_STATE": "1",
        "S3_PERSIST": "1",
        "STATE_DIR": str(cloud.state / "services"),
        "S3_DATA_DIR": str(cloud.state / "s3"),
        "TMPDIR": str(scratch),
        "CLEARTAKE_REFUSED_WRITES": str(cloud.state / REFUSED_WRITES),
        "PYTHONUNBUFFERED": "1",
    }


def command() -> list[str]:
    """Return how to start it; ``-P`` keeps our modules out of its import path."""
    return [str(ensure_python()), "-P", str(SERVE)]


def ensure_python() -> Path:
    """Return the Python of the emulator's own environment, made on first use.

    MiniStack pins a botocore of its own, so it cannot share the product's environment.
    """
    venv = Path(os.environ.get("CLEARTAKE_EMULATOR_VENV") or REPO / ".venv-emulator")
    python = venv / "bin" / "python"
    if _has_ministack(venv):
        return python
    lock = REQUIREMENTS / "emulator.txt"
    wanted = ["--require-hashes", "-r", str(lock)] if lock.exists() else ["-r", str(REQUIREMENTS / "emulator.in")]
    print(f"Installing the AWS emulator into {venv} (once).", flush=True)
    uv = _uv()
    try:
        subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(venv)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *wanted], check=True)
    except subprocess.CalledProcessError as error:
        raise LauncherError("The emulator could not be installed; uv's message above says why.") from error
    return python


def _has_ministack(venv: Path) -> bool:
    return any(venv.glob("lib/python3*/site-packages/ministack/app.py"))


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise LauncherError("uv is missing. Run `make setup`, or install it: pip install uv")
    return found


@lru_cache
def client(cloud: Cloud, service: str) -> Any:
    """Return a boto3 client of ``service`` that talks to the emulator as its administrator."""
    enter(cloud)  # a profile of the person's own must not be looked for
    import boto3  # noqa: PLC0415 - half a second that `cleartake --help` need not pay
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        s3={"addressing_style": "path"},
        proxies={},
        connect_timeout=2,
        read_timeout=120,
        retries={"total_max_attempts": 1},
    )
    session: Any = boto3.session.Session()  # its type wants the service's name as a literal
    return session.client(
        service,
        endpoint_url=cloud.emulator_url,
        region_name=REGION,
        aws_access_key_id=AWS_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=AWS_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=config,
    )
