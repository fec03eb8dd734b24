"""A short run of what ``make fuzz-api`` does at length: no server error, no answer that the document does not say."""

import subprocess
import sys

from tests.e2e.cloud import REPO, Api, Cloud

EXAMPLES = 5
"""Calls of each operation."""


def test_the_api_does_what_its_document_says(cloud: Cloud, api: Api) -> None:
    assert api.http.get("/openapi.json").status_code == 200
    command = [sys.executable, "-m", "scripts.fuzz_api", "--examples", str(EXAMPLES), "--short"]
    done = subprocess.run(command, cwd=REPO, env=cloud.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]


def test_the_page_is_served_behind_the_edge(cloud: Cloud, api: Api) -> None:
    page = api.http.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert api.http.get("/docs/viewer.js").text.startswith("/*!")
