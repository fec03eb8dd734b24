"""Uploads through the real handlers and adapters: in parts, once too often, too late."""

from typing import Any

import pytest
import requests

from lambdas import bootstrap
from lambdas.adapters.system import SystemClock
from lambdas.core.assets import Asset
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.services.assets import CreateAsset
from lambdas.core.services.deletion import DeletionService
from tests.integration.cloud import AUDIO, Cloud, md5_of
from tests.integration.conftest import GOOD
from tests.integration.test_flow import ASSETS, enhance, show, upload

LONG = GOOD + bytes(16 * 2**20)
"""Two parts."""


@pytest.fixture
def caller(cloud: Cloud) -> dict[str, str]:
    return cloud.sign_in("acme")


def begin(caller: dict[str, str], data: bytes = LONG) -> Asset:
    command = CreateAsset(caller["x-api-key"], "film.mov", len(data), "video/quicktime", md5_of(data))
    return bootstrap.upload_service().create(command)


def send(asset: Asset, data: bytes, *numbers: int) -> None:
    assert asset.multipart is not None
    size_bytes = asset.multipart.part_size_bytes
    parts = {number: data[(number - 1) * size_bytes : number * size_bytes] for number in numbers}
    digests = {number: md5_of(part) for number, part in parts.items()}
    for link in bootstrap.upload_service().links(asset.client_id, asset.id, numbers, md5=digests):
        headers = {"Content-MD5": link.md5 or ""}
        assert requests.put(link.url, data=parts[link.number], headers=headers, timeout=20).status_code == 200


def delete(asset_id: str, caller: dict[str, str]) -> None:
    erasing = bootstrap.housekeeping_service().erasing
    DeletionService(bootstrap.erase_service().assets, erasing, SystemClock()).delete(caller["x-api-key"], asset_id)


def versions(cloud: Cloud, asset_id: str) -> list[Any]:
    found = cloud.s3.list_object_versions(Bucket=AUDIO, Prefix="in/").get("Versions", [])
    return [one for one in found if one["Key"].endswith(asset_id)]


def test_a_recording_in_parts_is_enhanced_like_any_other(cloud: Cloud, caller: dict[str, str]) -> None:
    asset, uploads = begin(caller), bootstrap.upload_service()
    send(asset, LONG, 2)
    with pytest.raises(DomainError) as refusal:
        uploads.complete(asset.client_id, asset.id)
    assert refusal.value.code is DomainErrorCode.ASSET_NOT_UPLOADED
    assert uploads.progress(asset.client_id, asset.id).missing == (1,)
    send(asset, LONG, 1)
    for _ in range(2):
        uploads.complete(asset.client_id, asset.id)
    probed = cloud.uploaded(asset.id, asset.client_id)["located"]["probe_order"]
    assert probed["checksums"] == [{"algorithm": "md5", "value": md5_of(LONG)}]
    uploads.complete(asset.client_id, asset.id)
    shown = cloud.call("GET", f"{ASSETS}/{asset.id}", headers=caller).body
    assert (shown["status"], shown["upload_url"], shown["byte_size"]) == ("ready_for_processing", None, len(LONG))
    job = enhance(cloud, caller, shown).body
    cloud.drain()
    assert show(cloud, caller, job)["status"] == "succeeded"


def test_an_asset_that_comes_in_parts_has_no_place_for_one_put(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = begin(caller)
    shown = cloud.call("GET", f"{ASSETS}/{asset.id}", headers=caller).body
    assert (shown["status"], shown["upload_url"]) == ("waiting_for_upload", None)


def test_a_deleted_asset_leaves_no_unfinished_upload(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = begin(caller)
    send(asset, LONG, 2)
    delete(asset.id, caller)
    assert cloud.deliver_erasing() == {"batchItemFailures": []}
    assert not cloud.s3.list_multipart_uploads(Bucket=AUDIO).get("Uploads")


def test_a_second_upload_is_erased_and_the_first_is_the_current_one_again(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = upload(cloud, caller)
    (pinned,) = versions(cloud, asset["id"])
    for _ in range(2):
        assert cloud.put(asset, b"RIFF other byte") == 200
    cloud.uploaded(asset["id"], caller["x-api-key"])
    assert cloud.deliver_erasing() == {"batchItemFailures": []}
    (left,) = versions(cloud, asset["id"])
    assert (left["VersionId"], left["IsLatest"]) == (pinned["VersionId"], True)
    job = enhance(cloud, caller, asset).body
    cloud.drain()
    assert show(cloud, caller, job)["status"] == "succeeded"


def test_an_upload_for_an_asset_that_is_long_gone_is_erased(cloud: Cloud, caller: dict[str, str]) -> None:
    asset = upload(cloud, caller)
    bootstrap.erase_service().assets.remove(_stored(caller, asset["id"]))
    assert cloud.put(asset, GOOD) == 200
    cloud.uploaded(asset["id"], caller["x-api-key"])
    assert cloud.deliver_erasing() == {"batchItemFailures": []}
    assert not versions(cloud, asset["id"])


def _stored(caller: dict[str, str], asset_id: str) -> Asset:
    asset = bootstrap.erase_service().assets.get(caller["x-api-key"], asset_id)
    assert asset is not None
    return asset
