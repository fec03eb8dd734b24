"""The OpenAPI document and a page that shows it: Swagger UI, as Powertools' package brings it.

No other server is asked, and every link is relative, so that the page works under a stage's path as it does at the
root of a domain.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from lambdas.dialects.common import JSON
from lambdas.dialects.openapi import document

VIEWER = "aws_lambda_powertools.event_handler.openapi.swagger_ui"
LIFETIME_S = 3600

SAFETY: Mapping[str, str] = MappingProxyType(
    {
        # Swagger UI writes styles into its elements, and its pictures into its style sheet.
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
)

_HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cleartake API</title>
<link rel="stylesheet" href="{up}docs/viewer.css">
</head>
<body>
<div id="page" data-document="{up}openapi.json"></div>
<script src="{up}docs/viewer.js"></script>
<script src="{up}docs/start.js"></script>
</body>
</html>
"""

_START = """\
const page = document.getElementById("page");
SwaggerUIBundle({
  domNode: page,
  url: new URL(page.dataset.document, location).href,
  deepLinking: true,
  validatorUrl: null,
});
"""


def answer(event: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one API Gateway proxy event."""
    path = str(event.get("path") or "")
    match path.rstrip("/"):
        case "/openapi.json":
            return _answer(JSON, _document())
        case "/docs":
            return _answer("text/html; charset=utf-8", _HTML.format(up="../" if path.endswith("/") else ""))
        case "/docs/start.js":
            return _answer("text/javascript; charset=utf-8", _START)
        case "/docs/viewer.js":
            return _answer("text/javascript; charset=utf-8", _viewer("swagger-ui-bundle.min.js"))
        case "/docs/viewer.css":
            return _answer("text/css; charset=utf-8", _viewer("swagger-ui.min.css"))
    missing = json.dumps({"error_code": None, "message": "Not found"})
    return {"statusCode": HTTPStatus.NOT_FOUND.value, "headers": {"Content-Type": JSON}, "body": missing}


def _answer(content_type: str, body: str) -> dict[str, Any]:
    headers = {"Content-Type": content_type, "Cache-Control": f"public, max-age={LIFETIME_S}", **SAFETY}
    return {"statusCode": HTTPStatus.OK.value, "headers": headers, "body": body}


@lru_cache(maxsize=1)
def _document() -> str:
    return json.dumps(document(), ensure_ascii=False)


@lru_cache(maxsize=2)
def _viewer(name: str) -> str:
    return files(VIEWER).joinpath(name).read_text(encoding="utf-8")
