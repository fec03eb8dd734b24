"""Recordings by URL and from buckets on a running cloud, under enforced permissions: what is there, and what is not."""

import json
import time
from collections.abc import Iterator

import pytest

from lambdas.core.egress import ForbiddenUrlError
from lambdas.core.services.sources import CreateFromUrl, SourceService
from tests.e2e.cloud import Api, Cloud
from tests.e2e.receivers import library


@pytest.fixture
def library_url(recording: bytes) -> Iterator[str]:
    with library({"/talk.mp3": ("audio/mpeg", recording), "/page.mp3": ("text/html", b"<html></html>")}) as url:
        yield url


def test_a_recording_is_fetched_and_enhanced(api: Api, sources: SourceService, library_url: str) -> None:
    asset = sources.create(CreateFromUrl(api.client_id, f"{library_url}/talk.mp3"))
    shown = api.asset(asset.id)
    assert (shown["filename"], shown["upload_url"]) == ("talk.mp3", None)
    ready = api.settled(asset.id)
    assert (ready["status"], ready["content_type"]) == ("ready_for_processing", "audio/mpeg")
    job = api.finished(api.enhance(asset.id, 70).json())
    assert (job["status"], api.download(job).status_code) == ("succeeded", 200)


def test_what_cannot_be_fetched_says_so(api: Api, sources: SourceService, library_url: str) -> None:
    with pytest.raises(ForbiddenUrlError):
        sources.create(CreateFromUrl(api.client_id, "https://169.254.169.254/talk.mp3"))
    began_s = time.monotonic()
    missing = sources.create(CreateFromUrl(api.client_id, f"{library_url}/nothing.mp3"))
    not_audio = sources.create(CreateFromUrl(api.client_id, f"{library_url}/page.mp3"))
    assert [api.settled(one.id)["status"] for one in (missing, not_audio)] == ["invalid_upload"] * 2
    codes = [stored.error_code for one in (missing, not_audio) if (stored := sources.assets.get(api.client_id, one.id))]
    assert codes[0] == "source_refused"
    assert str(codes[1]).startswith("input_")
    assert time.monotonic() - began_s < 60


def lent_role(cloud: Cloud, name: str, *, external_id: str, bucket: str = "customer-talks") -> str:
    """Make a bucket and the role of ``docs/sources.md`` that lends what lies under ``talks/`` in it."""
    iam = cloud.aws("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": cloud.outputs["FetchRoleArn"]},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
    }
    reading = [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": f"arn:aws:s3:::{bucket}/talks/*",
        },
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"},
    ]
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy([trust]))
    iam.put_role_policy(RoleName=name, PolicyName="read", PolicyDocument=_policy(reading))
    return str(made["Role"]["Arn"])


def _policy(statements: list[dict[str, object]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def from_bucket(api: Api, key: str, role_arn: str) -> dict[str, object]:
    source = {"s3": {"uri": f"s3://customer-talks/{key}", "role_arn": role_arn}}
    answer = api.call("POST", "/v1/enhancements", {"source": source, "strength": 70})
    assert answer.status_code == 202, answer.text
    path = f"/v1/enhancements/{answer.json()['id']}?wait=20"
    deadline = time.monotonic() + 120
    while (found := api.call("GET", path).json())["status"] not in {"succeeded", "failed"}:
        assert time.monotonic() < deadline, f"still {found['status']}"
    return dict(found)


def test_a_customers_bucket_is_read_under_the_role_that_it_lends_and_to_nobody_else(
    cloud: Cloud, api: Api, stranger: Api, recording: bytes
) -> None:
    s3 = cloud.aws("s3")
    s3.create_bucket(Bucket="customer-talks")
    for key in ("talks/opening.mp3", "private/board.mp3"):
        s3.put_object(Bucket="customer-talks", Key=key, Body=recording, ContentType="audio/mpeg")
    role_arn = lent_role(cloud, "cleartake-source-talks", external_id=api.client_id)
    assert from_bucket(api, "talks/opening.mp3", role_arn)["status"] == "succeeded"
    for caller, key, code in (
        (stranger, "talks/opening.mp3", "source_role_refused"),
        (api, "private/board.mp3", "source_access_denied"),
        (api, "talks/nothing.mp3", "source_not_found"),
    ):
        failed = from_bucket(caller, key, role_arn)
        assert (failed["status"], failed["error"]["code"]) == ("failed", code)  # type: ignore[index]


def test_a_role_by_another_name_is_out_of_reach_even_where_it_trusts_us(cloud: Cloud, api: Api) -> None:
    """Past the check of the request: by the policy of the function alone."""
    role_arn = lent_role(cloud, "administrator-of-talks", external_id=api.client_id)
    source = {"s3": {"uri": "s3://customer-talks/talks/opening.mp3", "role_arn": role_arn}}
    assert api.call("POST", "/v1/enhancements", {"source": source, "strength": 70}).status_code == 422
    asset = api.call("POST", "/v1/assets", {"url": {"href": "http://127.0.0.1:9/gone.mp3"}}).json()
    wanted = {"bucket": "customer-talks", "key": "talks/opening.mp3", "role_arn": role_arn}
    cloud.aws("sqs").send_message(
        QueueUrl=cloud.outputs["FetchQueueUrl"],
        MessageBody=json.dumps({"client_id": api.client_id, "asset_id": asset["id"], "object": wanted}),
        MessageGroupId="drill",
    )
    assert api.settled(asset["id"])["status"] == "invalid_upload"
    assert api.call("GET", f"/v1/assets/{asset['id']}").json()["error"]["code"] == "source_role_refused"
