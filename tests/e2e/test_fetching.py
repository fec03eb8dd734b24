"""Recordings by URL on a running cloud, under enforced permissions: one that is there, and some that are not."""

import time
from collections.abc import Iterator

import pytest

from lambdas.core.egress import ForbiddenUrlError
from lambdas.core.services.sources import CreateFromUrl, SourceService
from tests.e2e.cloud import Api
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
