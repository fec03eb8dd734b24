"""Assets whose bytes we fetch: registering them, and fetching.

What is fetched lands where an upload would, and intake takes it from there; what cannot be fetched is told to intake.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from traceback import format_tb

from lambdas.core.assets import Asset, object_key_of
from lambdas.core.egress import EgressPolicy, Fetched, ForbiddenUrlError, NoAnswerError, TooLargeError, target_of
from lambdas.core.errors import DomainError
from lambdas.core.idempotency import IdempotencyKey
from lambdas.core.ports import AssetStore, Clock, IdFactory
from lambdas.core.services.assets import CreateAsset, new_asset, registered
from lambdas.core.sources import (
    FETCH_DELAYS_S,
    FETCH_RECEIVES,
    FETCH_TIMEOUT_S,
    MAX_SOURCE_BYTES,
    UNKNOWN_TYPE,
    BucketObject,
    BucketReader,
    FetchFailure,
    FetchFailureQueue,
    FetchQueue,
    FetchRequest,
    ObjectSink,
    SourceErrorCode,
    SourceReader,
    SourceRefusedError,
    content_type_of,
    name_of,
)

logger = logging.getLogger(__name__)

OK = 200
MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that another attempt may better."""


@dataclass(frozen=True)
class CreateFromUrl:
    """A recording that lies at a URL; without a name it takes the URL's. The rest is as `CreateAsset` has it."""

    client_id: str
    url: str
    filename: str | None = None
    retain_hours: int | None = None
    idempotency: IdempotencyKey | None = None
    waiting_job_id: str | None = None


@dataclass(frozen=True)
class CreateFromBucket:
    """A recording that lies in a bucket of the client's; without a name it takes the key's. The rest as above."""

    client_id: str
    object: BucketObject
    filename: str | None = None
    retain_hours: int | None = None
    idempotency: IdempotencyKey | None = None
    waiting_job_id: str | None = None


CreateFromSource = CreateFromUrl | CreateFromBucket


@dataclass(frozen=True)
class SourceService:
    """Registers what is to be fetched."""

    assets: AssetStore
    queue: FetchQueue
    policy: EgressPolicy
    clock: Clock
    ids: IdFactory

    def create(self, command: CreateFromSource) -> Asset:
        """Register a recording and have it fetched; raises as `register` and `ask`."""
        asset = self.register(command)
        try:
            return self.ask(asset, command)
        except DomainError:
            self.take_back(asset, command)
            raise

    def register(self, command: CreateFromSource) -> Asset:
        """Register a recording to be fetched; `DomainError` URL_NOT_ALLOWED, IDEMPOTENCY_MISMATCH or ASSET_DELETED."""
        if isinstance(command, CreateFromUrl):
            target_of(command.url, self.policy)
        declared = CreateAsset(
            client_id=command.client_id,
            filename=command.filename or name_of(_url_of(command)),
            size_bytes=0,
            content_type=UNKNOWN_TYPE,
            retain_hours=command.retain_hours,
            idempotency=command.idempotency,
            waiting_job_id=command.waiting_job_id,
        )
        return registered(self.assets, replace(new_asset(declared, self.ids, self.clock), is_fetched=True))

    def ask(self, asset: Asset, command: CreateFromSource) -> Asset:
        """Have it fetched, once: a second GET may be refused, and a refusal would be the end of it.

        A repeated request asks where who registered the recording has died before that.

        Raises
        ------
        DomainError
            UNAVAILABLE.
        """
        if not asset.is_waiting or asset.fetch_asked_at is not None:
            return asset
        self.queue.ask(_request(asset, command))
        try:
            return self.assets.save(replace(asset, fetch_asked_at=self.clock.now()))
        except DomainError:
            logger.warning("a repeated request may ask again", extra={"asset_id": asset.id})
            return asset

    def take_back(self, asset: Asset, command: CreateFromSource) -> None:
        """Forget a recording that could not be asked for: nobody else knows where it lies.

        A request with a key may come again, and is then asked for again.
        """
        if command.idempotency is None:
            with suppress(DomainError):
                self.assets.remove(asset)


def _url_of(command: CreateFromSource) -> str:
    return command.url if isinstance(command, CreateFromUrl) else command.object.url


def _request(asset: Asset, command: CreateFromSource) -> FetchRequest:
    if isinstance(command, CreateFromUrl):
        return FetchRequest(asset.client_id, asset.id, command.url, filename=command.filename)
    return FetchRequest(asset.client_id, asset.id, object=command.object, filename=command.filename)


class _FailedError(Exception):
    """An attempt failed; whether another one may help is for the code to say."""

    def __init__(self, code: SourceErrorCode, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.may_pass = may_pass


@dataclass(frozen=True)
class FetchService:
    """Fetches, knowing nothing of assets but where their bytes belong."""

    source: SourceReader
    buckets: BucketReader
    sink: ObjectSink
    failures: FetchFailureQueue
    delays_s: Sequence[float] = FETCH_DELAYS_S
    timeout_s: float = FETCH_TIMEOUT_S
    max_bytes: int = MAX_SOURCE_BYTES

    def fetch(self, request: FetchRequest, *, tries: int) -> float | None:
        """Make attempt number ``tries``; returns after how many seconds to try again, None once it is settled.

        A fault of ours is tried for as long as the message may come, whatever it is: nobody else would tell of it.
        """
        told = {"asset_id": request.asset_id, "tries": tries}
        try:
            size_bytes = self._copy(request)
        except _FailedError as error:
            logger.info("not fetched", extra=told | {"code": error.code.value, "reason": str(error)})
            if error.may_pass and tries <= len(self.delays_s):
                return self.delays_s[tries - 1]
            self.failures.tell(FetchFailure(request.client_id, request.asset_id, error.code, str(error)))
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, a job waits for its end
            # Where it was, and nothing that it says: it may quote a URL that is signed.
            where = {"kind": type(error).__name__, "where": format_tb(error.__traceback__)[-3:]}
            logger.error("fetching failed by our own fault", extra=told | where)  # noqa: TRY400 - see above
            if tries < FETCH_RECEIVES:
                return self.delays_s[min(tries, len(self.delays_s)) - 1]
            give_up(self.failures, request)
            return None
        logger.info("fetched", extra=told | {"size_bytes": size_bytes})
        return None

    def _copy(self, request: FetchRequest) -> int:
        try:
            with self._opened(request) as found:
                names = (request.filename or "", name_of(found.url))
                content_type = content_type_of(found.headers.get("content-type"), *names)
                key = object_key_of(request.client_id, request.asset_id)
                return self.sink.put(key, content_type, _checked(found))
        except ForbiddenUrlError as error:
            raise _FailedError(SourceErrorCode.FORBIDDEN, error.message) from error
        except SourceRefusedError as error:
            raise _FailedError(error.code, str(error)) from error
        except TooLargeError as error:
            raise _FailedError(SourceErrorCode.TOO_LARGE, str(error)) from error
        except NoAnswerError as error:
            raise _FailedError(SourceErrorCode.UNREACHABLE, str(error), may_pass=True) from error

    def _opened(self, request: FetchRequest) -> AbstractContextManager[Fetched]:
        if request.object is None:
            return self.source.stream(request.url, max_bytes=self.max_bytes, timeout_s=self.timeout_s)
        return self.buckets.stream(
            request.object,
            client_id=request.client_id,
            asset_id=request.asset_id,
            max_bytes=self.max_bytes,
            timeout_s=self.timeout_s,
        )


def give_up(failures: FetchFailureQueue, request: FetchRequest) -> None:
    """Tell that nothing came of a request, and that nobody knows more of it."""
    message = "the source could not be fetched by our own fault"
    failures.tell(FetchFailure(request.client_id, request.asset_id, SourceErrorCode.INTERNAL, message))


def _checked(found: Fetched) -> Iterator[bytes]:
    """Return the body of an answer that has one."""
    if found.status_code != OK:
        message, may_pass = f"the source answered {found.status_code}", found.status_code in MAY_PASS
        raise _FailedError(SourceErrorCode.REFUSED, message, may_pass=may_pass)
    first = next(found.chunks, b"")
    if not first:
        raise _FailedError(SourceErrorCode.EMPTY, "the source is empty")
    return chain((first,), found.chunks)
