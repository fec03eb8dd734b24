"""The suite's own cloud, and the count of what was asked of it: none at all is a failure."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdas.bootstrap import client_administration, source_service, webhook_service
from lambdas.core.services.sources import SourceService
from lambdas.core.services.webhooks import WebhookService
from lambdas.settings import Settings
from tests.e2e.cloud import REPO, Api, Cloud

_counted = {"requests": 0, "executions": 0}
_used = [False]
_transcript: list[str] = []


LAST = "test_no_secret_token_or_signed_url_in_any_log"
"""It searches what all the others have had logged."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [index for index, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    ordered = sorted((items[index] for index in ours), key=lambda item: item.name == LAST)
    for index, item in zip(ours, ordered, strict=True):
        item.add_marker(pytest.mark.e2e)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))
        items[index] = item


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    _used[0] = True
    try:
        cloud.cleartake("up", timeout_s=500)
        yield cloud
        _counted["executions"] = cloud.executions()
    finally:
        logs = cloud.cleartake("logs", check=False).stdout
        (cloud.home / "all.log").write_text(logs)
        cloud.cleartake("down", check=False)


@pytest.fixture(scope="session")
def _counter() -> Iterator[list[int]]:
    counter = [0]
    yield counter
    _counted["requests"] = counter[0]


@pytest.fixture(scope="session")
def api(cloud: Cloud, _counter: list[int]) -> Api:
    known = cloud.credentials
    return Api(known["base_url"], known["client_id"], known["client_secret"], _counter)


@pytest.fixture(scope="session")
def stranger(cloud: Cloud, _counter: list[int]) -> Api:
    known = cloud.credentials
    return Api(known["base_url"], known["second_client_id"], known["second_client_secret"], _counter)


@pytest.fixture(scope="session")
def transcript() -> list[str]:
    """Return what is shown at the end of a run with ``-v``."""
    return _transcript


@pytest.fixture(scope="session")
def recording() -> bytes:
    """Return the bundled recording: real speech, noisy, MP3."""
    return (REPO / "samples" / "librivox-noisy.mp3").read_bytes()


@pytest.fixture
def administrator(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process itself be the service, with the administrator's rights."""
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{cloud.emulator_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def webhooks(cloud: Cloud, administrator: None) -> WebhookService:
    """Return the administration of webhooks as the service itself wires it."""
    return webhook_service(
        cloud.outputs["TableName"],
        delivery_queue_url=cloud.outputs["DeliveryQueueUrl"],
        webhook_key_id=cloud.outputs["WebhookKeyId"],
        allow_loopback=True,
    )


@pytest.fixture
def newcomer(cloud: Cloud, administrator: None, _counter: list[int]) -> Api:
    """Return a client that has nothing yet: what it is told is of its own jobs, not of another test's."""
    client, secret = client_administration(cloud.outputs["TableName"]).create("newcomer")
    return Api(cloud.credentials["base_url"], client.id, secret, _counter)


@pytest.fixture
def sources(cloud: Cloud, administrator: None) -> SourceService:
    """Return the registering of recordings by URL as the service itself wires it."""
    settings = Settings(table=cloud.outputs["TableName"])
    return source_service(settings, fetch_queue_url=cloud.outputs["FetchQueueUrl"], allow_loopback=True)


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    if terminalreporter.verbosity > 0:
        for line in _transcript:
            terminalreporter.write_line(line)
    if _used[0]:
        terminalreporter.write_line(f"e2e: {_counted['requests']} HTTP requests, {_counted['executions']} executions")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _used[0] and not all(_counted.values()):
        session.exitstatus = 1
