"""The one route table. API Gateway's methods, the OpenAPI documents and the tests are all made from it."""

from lambdas.core.workflow import FunctionName
from lambdas.dialects.adobe import routes as adobe
from lambdas.dialects.adobe_v2 import routes as adobe_v2
from lambdas.dialects.common import TOKEN_AND_CLIENT_ID, TOKEN_OR_API_KEY, Dialect, Route
from lambdas.dialects.native import routes as native

DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        name="adobe",
        title="Adobe v1",
        about="Adobe's Enhance Speech API, version 1: the paths, fields and errors of its guide.",
        function=FunctionName.ADOBE_API,
        prefixes=("/audio_services",),
        security=TOKEN_AND_CLIENT_ID,
        build=adobe.build,
    ),
    Dialect(
        name="adobe-v2",
        title="Adobe v2",
        about="Adobe's Enhance Speech API, version 2: the same resources, flat paths, and deleting.",
        function=FunctionName.ADOBE_V2_API,
        prefixes=(adobe_v2.ASSETS, adobe_v2.ENHANCEMENTS),
        security=TOKEN_AND_CLIENT_ID,
        build=adobe_v2.build,
        deletes=True,
    ),
    Dialect(
        name="native",
        title="Native",
        about="What the service can do beyond the APIs it speaks for others.",
        function=FunctionName.NATIVE_API,
        prefixes=("/v1",),
        security=TOKEN_OR_API_KEY,
        build=native.build,
        cancels=True,
        deletes=True,
        uploads_in_parts=True,
        has_webhooks=True,
        fetches=True,
    ),
)

TOKEN_ROUTE = adobe.TOKEN
"""Issues access tokens, in a function of its own."""

DOCS_ROUTES = tuple(Route("GET", path) for path in ("/openapi.json", "/docs", "/docs/{proxy+}"))
"""The document and the page that shows it: in a function of their own, for everybody."""

FALLBACK = DIALECTS[0]
"""Answers whatever no dialect owns."""


def dialect(name: str) -> Dialect:
    """Return the dialect called ``name``."""
    return next(one for one in DIALECTS if one.name == name)
