"""A recording by URL, from a real socket through the real handlers to an asset that is ready or clearly is not."""

from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from lambdas import bootstrap
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.services.sources import CreateFromUrl
from lambdas.entrypoints import fetch, intake
from lambdas.settings import Settings
from tests.integration.cloud import AUDIO, Cloud, Context
from tests.integration.conftest import GOOD
from tests.ports.conftest import TABLE
from tests.unit.adapters.receivers import answers, receiver, redirects


@dataclass
class Fetching:
    cloud: Cloud
    queue_url: str
    failure_url: str
    caller: dict[str, str]

    @property
    def client_id(self) -> str:
        return self.caller["x-api-key"]

    def create(self, url: str) -> Asset:
        settings = Settings(table=TABLE)
        service = bootstrap.source_service(settings, fetch_queue_url=self.queue_url, allow_loopback=True)
        return service.create(CreateFromUrl(self.client_id, url))

    def enhance(self, url: str) -> dict[str, Any]:
        body = {"source": {"url": {"href": url}}, "strength": 50}
        answer = self.cloud.call("POST", "/v1/enhancements", body, headers=self.caller)
        assert answer.status == 202, answer.text
        made: dict[str, Any] = answer.body
        return made

    def status(self, made: dict[str, Any]) -> Any:
        return self.cloud.call("GET", f"/v1/enhancements/{made['id']}", headers=self.caller).body

    def fetch(self, *, received: int = 1) -> Any:
        return fetch.handler({"Records": self._take(self.queue_url, received)}, Context())

    def hear(self) -> Any:
        return intake.handler({"Records": self._take(self.failure_url, 1)}, Context())

    def asset(self, asset: Asset) -> Asset:
        found = bootstrap.intake_service().assets.get(asset.client_id, asset.id)
        assert found is not None
        return found

    def _take(self, url: str, received: int) -> list[dict[str, Any]]:
        (message,) = boto3.client("sqs").receive_message(QueueUrl=url)["Messages"]
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": {"ApproximateReceiveCount": str(received)},
            }
        ]


@pytest.fixture
def fetching(cloud: Cloud) -> Fetching:
    return Fetching(cloud, cloud.queues["fetching"], cloud.queues["fetch-failures"], cloud.sign_in("acme"))


def test_from_a_url_to_an_enhancement(fetching: Fetching) -> None:
    with receiver(redirects("/b.wav"), answers(200, "Content-Type: audio/x-wav", body=GOOD)) as server:
        made = fetching.enhance(f"{server.url}/talk.wav")
        assert fetching.fetch() == {"batchItemFailures": []}
    fetching.cloud.uploaded(made["asset_id"], fetching.client_id)
    ready = bootstrap.intake_service().assets.get(fetching.client_id, made["asset_id"])
    assert ready is not None
    assert (ready.status, ready.size_bytes, ready.content_type) == (AssetStatus.READY, len(GOOD), "audio/x-wav")
    assert ready.filename == "talk.wav"
    assert fetching.cloud.drain() == 1
    assert fetching.status(made)["status"] == "succeeded"


def test_an_enhancement_of_what_cannot_be_fetched_fails_and_says_why(fetching: Fetching) -> None:
    with receiver(answers(404)) as server:
        made = fetching.enhance(f"{server.url}/talk.wav")
        fetching.fetch()
    fetching.hear()
    failed = fetching.status(made)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "source_refused")
    assert [outcome["job_id"] for outcome in fetching.cloud.outcomes()] == [made["id"]]


def test_a_source_that_will_never_answer_well(fetching: Fetching) -> None:
    with receiver(answers(403)) as server:
        asset = fetching.create(f"{server.url}/talk.wav")
        assert fetching.fetch() == {"batchItemFailures": []}
    assert fetching.hear() == {"batchItemFailures": []}
    found = fetching.asset(asset)
    assert (found.status, found.error_code) == (AssetStatus.INVALID, "source_refused")
    assert found.error_message == "the source answered 403"
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=AUDIO)


@pytest.mark.parametrize(("received", "again"), [(1, True), (3, True), (4, False)])
def test_a_source_that_is_down(fetching: Fetching, received: int, again: bool) -> None:
    with receiver(answers(204)) as server:
        pass
    asset = fetching.create(f"{server.url}/talk.wav")
    assert bool(fetching.fetch(received=received)["batchItemFailures"]) == again
    if again:
        assert fetching.asset(asset).is_waiting
        return
    fetching.hear()
    assert fetching.asset(asset).error_code == "source_unreachable"
