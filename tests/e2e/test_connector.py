"""The Power Platform connector, driven as the platform drives it: by its files, a host and an API key alone."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.cloud import REPO, Cloud
from tests.e2e.platform import Platform
from tests.e2e.receivers import inbox, library, until
from tests.e2e.test_fetching import lent_role


@pytest.fixture(scope="module")
def platform(cloud: Cloud, _counter: list[int], transcript: list[str]) -> Platform:
    made = cloud.cleartake("clients", "create", "power-platform", "--api-key").stdout
    (key,) = re.findall(r"api_key\s+(\S+)", made)

    def count(_request: httpx.Request) -> None:
        _counter[0] += 1

    return Platform(REPO / "connector", cloud.credentials["base_url"], key, count, transcript)


@pytest.fixture(scope="module")
def recording_url(recording: bytes) -> Iterator[str]:
    with library({"/talk.mp3": ("audio/mpeg", recording)}) as url:
        yield f"{url}/talk.mp3"


def test_a_flow_from_an_address_to_the_enhanced_recording(platform: Platform, recording_url: str) -> None:
    body = {
        "source": {"url": {"href": recording_url, "filename": "talk.mp3"}},
        "strength": 90,
        "options": {"report": "basic"},
        "reference": "flow 1",
    }
    done = platform.call("EnhanceAndWait", body, **{"idempotency-key": "run-1"})
    assert (done["status"], done["reference"]) == ("succeeded", "flow 1")
    again = platform.call("EnhanceAndWait", body, **{"idempotency-key": "run-1"})
    assert again["id"] == done["id"], "a flow that is repeated makes nothing new"
    assert platform.call("GetEnhancement", enhancement_id=done["id"])["id"] == done["id"]
    link = platform.call("GetDownloadLink", enhancement_id=done["id"])
    report = platform.call("GetReportLink", enhancement_id=done["id"])
    audio = httpx.get(link["url"], trust_env=False)
    assert (audio.status_code, audio.headers["Content-Type"]) == (200, "audio/mpeg")
    assert len(audio.content) == done["size_bytes"]
    assert json.loads(httpx.get(report["url"], trust_env=False).text)


def test_a_flow_from_a_bucket(cloud: Cloud, platform: Platform, recording: bytes) -> None:
    s3, bucket = cloud.aws("s3"), "flow-talks"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="talks/talk.mp3", Body=recording, ContentType="audio/mpeg")
    client_id = platform.api_key.partition(".")[0]
    role_arn = lent_role(cloud, "cleartake-source-flow", external_id=client_id, bucket=bucket)
    body = {"source": {"s3": {"uri": f"s3://{bucket}/talks/talk.mp3", "role_arn": role_arn}}, "strength": 40}
    assert platform.call("EnhanceAndWait", body)["status"] == "succeeded"


def test_the_trigger_is_registered_fired_and_deleted(platform: Platform, recording_url: str) -> None:
    with inbox() as flow:
        where = platform.subscribe("EnhancementFinished", flow.url)
        try:
            body = {"source": {"url": {"href": recording_url}}, "strength": 60}
            made = platform.call("CreateEnhancement", body)
            assert made["status"] not in {"failed", "cancelled"}
            until(lambda: bool(flow.calls))
        finally:
            assert platform.unsubscribe(where) == 204
        assert platform.unsubscribe(where) == 404
    told = json.loads(flow.calls[0][1])
    assert (told["type"], told["data"]["enhancement_id"]) == ("enhancement.succeeded", made["id"])
    assert platform.problems_of_notification("EnhancementFinished", told) == []


def test_a_cancelled_one_ends_the_waiting_and_the_list_has_all_pages(platform: Platform) -> None:
    # Nothing listens there: it is being fetched until somebody gives up, and can be cancelled meanwhile.
    body = {"source": {"url": {"href": "http://127.0.0.1:9/talk.mp3"}}, "strength": 50}
    made = platform.call("CreateEnhancement", body)
    assert platform.call("CancelEnhancement", enhancement_id=made["id"])["status"] == "cancelled"
    assert platform.call("GetRun", enhancement_id=made["id"])["status"] == "cancelled"
    pages = platform.pages("ListEnhancements", limit=1)
    assert len(pages) > 1
    everything = [one["id"] for page in pages for one in page["items"]]
    assert made["id"] in everything
    assert len(everything) == len(set(everything))
    only = platform.pages("ListEnhancements", status=["cancelled"])
    assert [one["id"] for page in only for one in page["items"]] == [made["id"]]


def test_every_operation_has_been_called(platform: Platform) -> None:
    assert {line.split()[0] for line in platform.transcript} == set(platform.operations)
