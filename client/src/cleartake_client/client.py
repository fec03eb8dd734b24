"""The client: one service, one caller."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from cleartake_client import redaction
from cleartake_client.assets import Assets
from cleartake_client.batches import Batches
from cleartake_client.calls import DEFAULT_RETRY, Call, Caller, RetryPolicy
from cleartake_client.credentials import ApiKey, ClientCredentials
from cleartake_client.enhancements import Enhancements
from cleartake_client.flows import Flow, Recording
from cleartake_client.many import Many, Outcome, Target
from cleartake_client.models import Enhancement, Usage
from cleartake_client.reading import read
from cleartake_client.requests import DEFAULT_WISH, Wish
from cleartake_client.resume import UploadNotes, state_folder
from cleartake_client.storage import Advance, silent
from cleartake_client.webhooks import Webhooks

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""Longer than the service ever holds a call."""

OWN_MACHINE = frozenset({"127.0.0.1", "::1", "localhost"})

AdvanceOf = Callable[[int], Advance]
"""Whom to tell of one of many recordings, by its place."""


class Client:
    """A Cleartake service as one of its clients sees it; several threads may share it.

    Parameters
    ----------
    base_url
        Where the service is, such as ``https://api.example.com``.
    api_key
        ``<client id>.<secret>``, where the client may use keys.
    credentials
        Instead of a key: identifier and secret, with which tokens are fetched.
    retry
        How often and when calls are made again.
    state
        Folder for the notes of interrupted uploads; without it the user's own, if there is one.
    transport
        How requests are sent, for tests.

    Raises
    ------
    ValueError
        Both a key and credentials are given, or neither; the address is none.

    Attributes
    ----------
    assets, enhancements, batches, webhooks
        The service's resources.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        credentials: ClientCredentials | None = None,
        retry: RetryPolicy = DEFAULT_RETRY,
        timeout: httpx.Timeout = TIMEOUT,
        state: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if (api_key is None) == (credentials is None):
            raise ValueError("either api_key or credentials has to be given")
        if httpx.URL(base_url).scheme not in {"http", "https"}:
            raise ValueError(f"{base_url!r} is no address like https://api.example.com")
        redaction.install()
        signing = credentials if credentials is not None else ApiKey(api_key or "")
        self.base_url = base_url.rstrip("/")
        self._credentials = signing
        # A proxy knows nothing of this machine's own addresses.
        is_own = httpx.URL(self.base_url).host in OWN_MACHINE
        self._http = httpx.Client(timeout=timeout, transport=transport, trust_env=not is_own)
        self._caller = Caller(self._http, self.base_url, signing, retry)
        notes = UploadNotes(state or state_folder(), self.base_url, signing.caller_sha256)
        self.assets = Assets(self._caller, self._http, notes)
        self.enhancements = Enhancements(self._caller, self._http)
        self.batches = Batches(self._caller)
        self.webhooks = Webhooks(self._caller)
        self._flow = Flow(self.assets, self.enhancements)

    def __repr__(self) -> str:
        return f"Client({self.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def enhance(
        self,
        recording: Recording,
        wish: Wish = DEFAULT_WISH,
        *,
        wait: bool = True,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
        on_progress: Advance = silent,
    ) -> Enhancement:
        """Enhance a recording: a file (uploaded, in parts if it is large), a URL, an asset, or a bucket's `S3Source`.

        Parameters
        ----------
        wait
            Return once it has succeeded; False: once it is asked for and the file is sent.
        timeout_s
            How long to wait at most.
        idempotency_key
            Your own name for this request; sent again, it makes nothing new.
        on_progress
            Told of each step and the share of it that is done.

        Raises
        ------
        EnhancementError
            It has failed or was cancelled.
        WaitTimeoutError
            It goes on.
        AssetRefusedError, UploadInterruptedError, StorageError
            Of the file.
        ApiError, UnreachableError
            Of any call.
        """
        made = self._flow.start(recording, wish, idempotency_key=idempotency_key, advance=on_progress)
        return self._flow.finish(made, timeout_s=timeout_s, advance=on_progress) if wait else made

    def enhance_many(
        self,
        recordings: Sequence[Recording],
        wish: Wish = DEFAULT_WISH,
        *,
        target: Target | None = None,
        reference: str | None = None,
        on_progress: AdvanceOf = lambda _index: silent,
    ) -> list[Outcome]:
        """Enhance many recordings as batches; one that fails stops no other. Outcomes come in their order.

        Parameters
        ----------
        target
            Where each result goes, as in `Enhancements.download`; None: nobody waits for the results.
        reference
            Your own word for the batch.
        on_progress
            Returns whom to tell of the recording at a place.

        Returns
        -------
        What has become of each. A batch that is refused as a whole is the error of each of its recordings.
        """
        outcomes = [Outcome(recording, on_progress(index)) for index, recording in enumerate(recordings)]
        Many(self._flow, self.batches, wish, reference, target).run(outcomes)
        return outcomes

    def usage(self, first: date | None = None, last: date | None = None) -> Usage:
        """Return what was done, by day (UTC); the last thirty days unless said otherwise."""
        query: dict[str, Any] = {
            "from": first.isoformat() if first else None,
            "to": last.isoformat() if last else None,
        }
        return read(Usage, self._caller.json(Call("GET", "/v1/usage", query=query)))
