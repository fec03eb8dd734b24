"""The document and its page, as a stranger's browser gets them."""

import json
import re
from pathlib import Path

import pytest

from lambdas.dialects.docs import answer as serve
from tests.integration.cloud import Cloud

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def get(path: str) -> tuple[int, dict[str, str], str]:
    answer = serve({"path": path})
    return answer["statusCode"], answer["headers"], answer["body"]


def test_the_document_is_served_to_everybody(cloud: Cloud) -> None:
    answer = cloud.call("GET", "/openapi.json")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.body == json.loads(COMMITTED.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("path", "base"), [("/docs", "/dev/"), ("/docs/", "/dev/docs/")])
def test_everything_the_page_needs_is_beside_it_under_any_stage(path: str, base: str) -> None:
    from urllib.parse import urljoin

    status, headers, page = get(path)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    links = re.findall(r'(?:href|src|data-document)="([^"]+)"', page)
    assert len(links) == 4
    for link in links:
        found = urljoin(f"https://api.example.com{base}", link).removeprefix("https://api.example.com/dev")
        assert get(found)[0] == 200, found


def test_kinds_and_safety_of_what_is_served() -> None:
    for path, kind in (
        ("/docs/viewer.js", "text/javascript; charset=utf-8"),
        ("/docs/start.js", "text/javascript; charset=utf-8"),
        ("/docs/viewer.css", "text/css; charset=utf-8"),
    ):
        status, headers, body = get(path)
        assert (status, headers["Content-Type"]) == (200, kind)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert len(body.encode()) < 5 * 2**20  # a function may answer 6 MB
    policy = get("/docs")[1]["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy  # no other server


def test_the_page_runs_no_script_of_its_own() -> None:
    page = get("/docs")[2]
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == ["", ""]
    assert "on" + "load" not in page
    assert "://" not in page


def test_anything_else_is_not_there() -> None:
    for path in ("/docs/../openapi.json", "/docs/html.py", "/docs/viewer.js/x", "/docs/%2e%2e"):
        assert get(path)[0] == 404
