"""What every dialect does around its handlers: who calls, how often, and which way a refusal leaves."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestUnsupportedContentType, RequestValidationError
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from lambdas.core.clients import Client
from lambdas.core.errors import DomainError, DomainErrorCode
from lambdas.core.rates import RateClass, RateExceededError, RateState
from lambdas.core.services.rates import RateLimiter
from lambdas.dialects.common import Route, routes_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

FieldErrors = Sequence[Mapping[str, Any]]
"""What pydantic says of a request."""


@dataclass(frozen=True)
class Door:
    """One dialect's way in and out.

    Attributes
    ----------
    authenticate
        Returns the calling client, or raises `DomainError`.
    rates
        Returns who counts calls.
    rate_class
        Which class a request is counted in.
    headers
        What an answer says of the client's rate.
    refuse
        Writes a refusal; pydantic's errors come along where the request is not valid.
    also
        Routes below the dialect's prefixes that another function answers: their other methods end up here.
    """

    authenticate: Callable[[], Client]
    rates: Callable[[], RateLimiter]
    rate_class: Callable[[APIGatewayProxyEvent], RateClass]
    headers: Callable[[RateState], Mapping[str, str]]
    refuse: Callable[[DomainError, FieldErrors], Response[str]]
    also: tuple[Route, ...] = ()

    def add_to(self, app: APIGatewayRestResolver) -> None:
        """Put it around every handler of a resolver."""
        app.use([self._admit])
        app.exception_handler(DomainError)(lambda error: self._refused(app, error))
        app.exception_handler([RequestValidationError, RequestUnsupportedContentType])(
            lambda error: self._invalid(app, error)
        )
        app.exception_handler(Exception)(lambda _error: self._broken(app))
        app.not_found(lambda error: self._not_found(app, error))

    def _admit(self, app: APIGatewayRestResolver, call_next: NextMiddleware) -> Response[Any]:
        event = app.current_event
        if not any(route.matches(event.http_method, event.path) for route in routes_of(app)):
            return call_next(app)  # what is not there is not there for anybody
        self._enter(app)
        return self._rated(call_next(app), app.context["rate"])

    def _enter(self, app: APIGatewayRestResolver) -> None:
        """Let the client in, and remember who it is and what it may still do."""
        event, client = app.current_event, self.authenticate()
        rate = self.rates().take(client, self.rate_class(event))
        app.append_context(client=client, rate=rate)  # type: ignore[no-untyped-call]

    def _rated(self, response: Response[T], rate: RateState | None) -> Response[T]:
        if rate is not None:
            response.headers.update(self.headers(rate))
        return response

    def _refused(self, app: APIGatewayRestResolver, error: DomainError, fields: FieldErrors = ()) -> Response[str]:
        if error.code in {DomainErrorCode.INTERNAL, DomainErrorCode.UNAVAILABLE}:
            logger.error("refused: %s", error.message)
        rate = error.state if isinstance(error, RateExceededError) else app.context.get("rate")
        return self._rated(self.refuse(error, fields), rate)

    def _invalid(
        self, app: APIGatewayRestResolver, error: RequestValidationError | RequestUnsupportedContentType
    ) -> Response[str]:
        # Powertools validates before it runs any middleware; a caller we do not know learns nothing of its body.
        try:
            self._enter(app)
        except DomainError as refusal:
            return self._refused(app, refusal)
        return self._refused(app, DomainError(DomainErrorCode.PARAMETER_INVALID), error.errors())

    def _broken(self, app: APIGatewayRestResolver) -> Response[str]:
        logger.exception("unexpected error")  # noqa: LOG004 - Powertools calls this inside its except block
        return self._rated(self.refuse(DomainError(DomainErrorCode.INTERNAL), ()), app.context.get("rate"))

    def _not_found(self, app: APIGatewayRestResolver, _error: NotFoundError) -> Response[str]:
        known = (*routes_of(app), *self.also)
        event = app.current_event
        allowed = sorted({route.method for route in known if route.matches_path(event.path)})
        # A method that is allowed comes here with characters in its path that Powertools takes for no identifier.
        if not allowed or event.http_method in allowed:
            return self.refuse(DomainError(DomainErrorCode.NOT_FOUND), ())
        refusal = self.refuse(DomainError(DomainErrorCode.METHOD_NOT_ALLOWED), ())
        refusal.headers["Allow"] = ", ".join(allowed)
        return refusal


def bearer_token(app: APIGatewayRestResolver) -> str | None:
    """Return the token of the Authorization header, None where there is none."""
    scheme, _, token = (app.current_event.headers.get("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def client_of(app: APIGatewayRestResolver) -> Client:
    """Return the client that the door has let in."""
    client: Client = app.context["client"]
    return client
