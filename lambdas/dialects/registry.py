"""The one route table. API Gateway's methods, the OpenAPI documents and the tests are all made from it."""

from lambdas.core.workflow import FunctionName
from lambdas.dialects.adobe import routes as adobe
from lambdas.dialects.adobe_v2 import routes as adobe_v2
from lambdas.dialects.common import Dialect
from lambdas.dialects.native import routes as native

DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        name="adobe",
        function=FunctionName.ADOBE_API,
        prefixes=("/audio_services",),
        build=adobe.build,
    ),
    Dialect(
        name="adobe-v2",
        function=FunctionName.ADOBE_V2_API,
        prefixes=(adobe_v2.ASSETS, adobe_v2.ENHANCEMENTS),
        build=adobe_v2.build,
        deletes=True,
    ),
    Dialect(
        name="native",
        function=FunctionName.NATIVE_API,
        prefixes=("/v1",),
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

FALLBACK = DIALECTS[0]
"""Answers whatever no dialect owns."""


def dialect(name: str) -> Dialect:
    """Return the dialect called ``name``."""
    return next(one for one in DIALECTS if one.name == name)
