"""A recording by URL, from a real socket through the real handlers to an asset that is ready or clearly is not."""

from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from lambdas import bootstrap
from lambdas.core.assets import Asset, AssetStatus
from lambdas.core.services.sources import CreateFromUrl
from lambdas.core.sources import FETCH_RECEIVES
from lambdas.entrypoints import fetch, fetch_lost, intake
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


def lend(key: str = "talks/opening.wav", data: bytes = GOOD) -> dict[str, str]:
    """Put a recording into a bucket of a client's; moto trusts everybody, as a role's policy may."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="talks")
    s3.put_object(Bucket="talks", Key=key, Body=data, ContentType="audio/x-wav")
    return {"uri": f"s3://talks/{key}", "role_arn": "arn:aws:iam::123456789012:role/cleartake-source-talks"}


def test_from_a_bucket_to_an_enhancement(fetching: Fetching) -> None:
    body = {"source": {"s3": lend()}, "strength": 50}
    made = fetching.cloud.call("POST", "/v1/enhancements", body, headers=fetching.caller).body
    assert fetching.fetch() == {"batchItemFailures": []}
    fetching.cloud.uploaded(made["asset_id"], fetching.client_id)
    assert fetching.cloud.drain() == 1
    assert fetching.status(made)["status"] == "succeeded"
    asset = fetching.cloud.call("GET", f"/v1/assets/{made['asset_id']}", headers=fetching.caller).body
    assert (asset["filename"], asset["size_bytes"], asset["content_type"]) == ("opening.wav", len(GOOD), "audio/x-wav")


def test_a_recording_alone_is_fetched_once_for_a_key(fetching: Fetching) -> None:
    headers = fetching.caller | {"Idempotency-Key": "k"}
    body = {"s3": lend() | {"filename": "Opening.wav"}, "retain_hours": 2}
    made, again = (fetching.cloud.call("POST", "/v1/assets", body, headers=headers) for _ in range(2))
    assert (made.status, made.body["status"], made.body["upload"]) == (201, "waiting_for_upload", None)
    assert again.body["id"] == made.body["id"]
    fetching.fetch()
    fetching.cloud.uploaded(made.body["id"], fetching.client_id)
    ready = fetching.cloud.call("GET", f"/v1/assets/{made.body['id']}", headers=fetching.caller).body
    assert (ready["status"], ready["filename"], ready["size_bytes"]) == ("ready", "Opening.wav", len(GOOD))
    assert ready["retain_until"]


def test_a_batch_takes_sources_of_every_kind(fetching: Fetching) -> None:
    lent = lend()
    sources = [{"s3": lent}, {"url": {"href": "https://files.example.com/a.wav"}}]
    items = [{"source": source, "strength": 5} for source in sources]
    batch = fetching.cloud.call("POST", "/v1/batches", {"items": items}, headers=fetching.caller)
    assert (batch.status, batch.body["counts"]) == (202, {"waiting_for_upload": 2})


def test_an_object_that_is_not_there_fails_the_enhancement(fetching: Fetching) -> None:
    source = lend() | {"uri": "s3://talks/other.wav"}
    made = fetching.cloud.call(
        "POST", "/v1/enhancements", {"source": {"s3": source}, "strength": 50}, headers=fetching.caller
    ).body
    fetching.fetch()
    fetching.hear()
    failed = fetching.status(made)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "source_not_found")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"role_arn": "arn:aws:iam::123456789012:role/admin"}, "s3.role_arn"),
        ({"role_arn": "arn:aws:iam::*:role/cleartake-source-a"}, "s3.role_arn"),
        ({"uri": "https://talks.s3.amazonaws.com/a"}, "s3.uri"),
        ({"uri": "s3://talks"}, "s3.uri"),
        ({"version_id": "a b"}, "s3.version_id"),
        ({"external_id": "another"}, "s3.external_id"),
    ],
)
def test_what_is_no_source_is_refused_at_once(fetching: Fetching, changes: dict[str, str], field: str) -> None:
    source = {"uri": "s3://talks/a", "role_arn": "arn:aws:iam::123456789012:role/cleartake-source-a"} | changes
    for path, body in (
        ("/v1/assets", {"s3": source}),
        ("/v1/enhancements", {"source": {"s3": source}, "strength": 5}),
        ("/v1/batches", {"items": [{"source": {"s3": source}, "strength": 5}]}),
    ):
        answer = fetching.cloud.call("POST", path, body, headers=fetching.caller)
        assert (answer.status, answer.body["code"]) == (422, "parameter_invalid")
        assert any(error["field"].endswith(field) for error in answer.body["errors"]), answer.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filename": "a.wav", "size_bytes": 5},
        {"url": {"href": "https://e.example/a"}, "filename": "a.wav"},
        {"url": {"href": "https://e.example/a"}, "in_parts": True},
        {"url": {"href": "https://e.example/a"}, "s3": {"uri": "s3://talks/a", "role_arn": "x"}},
        {"filename": "a.wav", "size_bytes": 6 * 2**30, "content_type": "audio/wav"},
    ],
)
def test_a_recording_is_described_or_fetched(fetching: Fetching, body: dict[str, Any]) -> None:
    answer = fetching.cloud.call("POST", "/v1/assets", body, headers=fetching.caller)
    assert (answer.status, answer.body["code"]) == (422, "parameter_invalid")


def test_a_source_that_will_never_answer_well(fetching: Fetching) -> None:
    with receiver(answers(403)) as server:
        asset = fetching.create(f"{server.url}/talk.wav")
        assert fetching.fetch() == {"batchItemFailures": []}
    assert fetching.hear() == {"batchItemFailures": []}
    found = fetching.asset(asset)
    assert (found.status, found.error_code) == (AssetStatus.INVALID, "source_refused")
    assert found.error_message == "the source answered 403"
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=AUDIO)


def test_what_kills_the_function_fails_the_enhancement(fetching: Fetching) -> None:
    made = fetching.enhance("https://files.example.com/a.wav")
    records = fetching._take(fetching.queue_url, FETCH_RECEIVES + 1)
    for _ in range(2):  # SQS may deliver twice
        assert fetch_lost.handler({"Records": records}, Context()) == {"batchItemFailures": []}
        assert fetching.hear() == {"batchItemFailures": []}
    failed = fetching.status(made)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "internal")
    assert [outcome["job_id"] for outcome in fetching.cloud.outcomes()] == [made["id"]]


def test_a_redirect_that_cannot_be_read(fetching: Fetching) -> None:
    with receiver(redirects("https://[bad/")) as server:
        made = fetching.enhance(f"{server.url}/talk.wav")
        assert fetching.fetch(received=4) == {"batchItemFailures": []}
    fetching.hear()
    assert fetching.status(made)["error"]["code"] == "source_unreachable"


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
