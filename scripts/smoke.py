"""The main job against a running service, step by step."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from cleartake_client import CleartakeError, media_type_of
from lambdas.core.services.clients import ClientAdministration
from scripts.adobe_api import Access, Api, ApiError

CLIENT_NAME = "smoke-test"
STRENGTH = 90

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """A running service: where clients reach it, and the table of its clients."""

    base_url: str
    table: str


def caller(administration: ClientAdministration, base_url: str) -> Access:
    """Return the smoke test's own client with a fresh secret, which nobody keeps: no later call can be made with it."""
    known = next((one for one in administration.clients.all() if one.name == CLIENT_NAME), None)
    if known is not None:
        return Access(base_url, known.id, administration.rotate(known.id))
    client, secret = administration.create(CLIENT_NAME)
    return Access(base_url, client.id, secret)


def check(http: httpx.Client, who: Access, sample: Path, folder: Path, say: Say) -> Path:
    """Do the main job with ``sample`` and return the result's path.

    Raises
    ------
    ApiError
        Naming the step that failed.
    """
    with _step("token", say):
        api = Api.sign_in(http, who)
    with _step("asset", say):
        asset = api.create_asset(sample, media_type_of(sample))
    with _step("upload", say):
        api.upload(sample, asset)
    with _step("probe", say):
        api.wait_until_ready(asset["id"])
    with _step("enhancement", say):  # on a cold GPU this takes ten minutes
        path = api.enhance(asset["id"], STRENGTH)
    with _step("download", say):
        result = api.download(path, folder)
        if result.stat().st_size == 0 or result.read_bytes() == sample.read_bytes():
            raise ApiError("the result is empty, or the upload itself")
    return result


@contextmanager
def _step(name: str, say: Say) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    except (CleartakeError, httpx.HTTPError, OSError) as error:
        words = str(error) or type(error).__name__
        say(f"FAIL  {name:12} {words}")
        raise ApiError(f"{name}: {words}") from error
    say(f"ok    {name:12} {time.monotonic() - began:6.2f} s")
