"""HTTP to addresses of clients' choosing: every address is judged, and the judged address is the one connected to.

Plain ``http.client``: no proxy from the environment, no redirect followed by itself, no pool that a name could poison.
"""

import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from lambdas.core.egress import (
    EgressPolicy,
    Fetched,
    ForbiddenUrlError,
    NoAnswerError,
    Target,
    TooLargeError,
    target_of,
)
from lambdas.core.webhook_ports import Answer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

USER_AGENT: Final = "Cleartake/1"
POST_TIMEOUT_S: Final = 15.0
CONNECT_TIMEOUT_S: Final = 5.0
"""For one address; the next one is tried with what is left."""
TRIED_ADDRESSES: Final = 4
MAX_REDIRECTS: Final = 5
CHUNK_BYTES: Final = 1024 * 1024

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def resolved(host: str, port: int) -> Sequence[str]:
    """Return every address of ``host``, as the machine's resolver orders them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def connected(address: str, port: int, timeout_s: float) -> socket.socket:
    """Return a connection to an address; a name is never looked up here."""
    return socket.create_connection((address, port), timeout=timeout_s)


@dataclass(frozen=True)
class Egress:
    """The only way out to where a client says."""

    policy: EgressPolicy
    post_timeout_s: float = POST_TIMEOUT_S
    resolve: Callable[[str, int], Sequence[str]] = resolved
    connect: Callable[[str, int, float], socket.socket] = connected
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST once and return what was answered; neither a redirect nor the answer's body is looked at.

        Raises
        ------
        ForbiddenUrlError
            If the URL, or any address of its host, is none that we call.
        NoAnswerError
            If there is no answer in time.
        """
        target = target_of(url, self.policy)
        deadline = time.monotonic() + self.post_timeout_s
        with self._exchange(target, "POST", headers, body, deadline) as response:
            return Answer(response.status, response.getheader("Retry-After"))

    @contextmanager
    def stream(self, url: str, *, max_bytes: int, timeout_s: float) -> Iterator[Fetched]:
        """GET, follow at most `MAX_REDIRECTS` redirects, each judged like the first URL, and hand over the body.

        Raises
        ------
        ForbiddenUrlError
            If a URL on the way, or any address of its host, is none that we call.
        TooLargeError
            If the answer says that it has more than ``max_bytes``.
        NoAnswerError
            If there is no answer within ``timeout_s``, or one redirect too many.
        """
        deadline = time.monotonic() + timeout_s
        for _ in range(MAX_REDIRECTS + 1):
            target = target_of(url, self.policy)
            with self._exchange(target, "GET", {"Accept-Encoding": "identity"}, None, deadline) as response:
                location = response.getheader("Location")
                if response.status not in _REDIRECTS or location is None:
                    headers = {name.lower(): value for name, value in response.getheaders()}
                    yield Fetched(target.url, response.status, headers, _chunks(response, max_bytes))
                    return
            url = _redirected(target.url, location)
        raise NoAnswerError("too many redirects")

    @contextmanager
    def _exchange(
        self, target: Target, method: str, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Iterator[http.client.HTTPResponse]:
        with _no_answers():
            sock = self._open(target, deadline)
        with sock:
            # The answer alone: what goes wrong where it is used is not the other side's fault.
            with _no_answers():
                response = self._asked(_DeadlineSocket(sock, deadline), target, method, headers, body)
            with response:
                yield response

    def _asked(
        self, sock: "_DeadlineSocket", target: Target, method: str, headers: Mapping[str, str], body: bytes | None
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = sock
        connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
        length = {} if body is None else {"Content-Length": str(len(body))}
        ours = {"Host": target.authority, "User-Agent": USER_AGENT, "Connection": "close"}
        for name, value in {**ours, **headers, **length}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse()

    def _open(self, target: Target, deadline: float) -> socket.socket:
        """Connect to the first judged address that takes us, and check that it is who it should be."""
        failure: OSError = OSError("no address")
        for address in self._judged(target)[:TRIED_ADDRESSES]:
            try:
                sock = self.connect(address, target.port, min(_left_s(deadline), CONNECT_TIMEOUT_S))
            except OSError as error:
                failure = error
                continue
            return self._secured(sock, target, deadline) if target.is_tls else sock
        raise failure

    def _secured(self, sock: socket.socket, target: Target, deadline: float) -> socket.socket:
        try:
            sock.settimeout(_left_s(deadline))
            return self.tls.wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise

    def _judged(self, target: Target) -> Sequence[str]:
        """Return the host's addresses; one that is forbidden condemns all: nobody names a stranger's by accident."""
        addresses = self.resolve(target.host, target.port)
        if not all(self.policy.allows(ipaddress.ip_address(address)) for address in addresses):
            raise ForbiddenUrlError("the host has an address that is not a public one")
        return addresses


class _DeadlineSocket:
    """What ``http.client`` needs of a socket, all of it under one deadline: who drips is cut off like who is silent.

    It never closes the socket: whoever opened it does.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left_s(self._deadline))
        self._sock.sendall(data)

    def recv_into(self, buffer: "WriteableBuffer") -> int:
        self._sock.settimeout(_left_s(self._deadline))
        return self._sock.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        pass


class _Reader(io.RawIOBase):
    def __init__(self, sock: _DeadlineSocket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        return self._sock.recv_into(buffer)


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise NoAnswerError("the redirect cannot be read") from error


def _chunks(response: http.client.HTTPResponse, max_bytes: int) -> Iterator[bytes]:
    declared = response.length
    if declared is not None and declared > max_bytes:
        raise TooLargeError(f"more than {max_bytes} bytes")
    return _counted(response, max_bytes, declared)


def _counted(response: http.client.HTTPResponse, max_bytes: int, declared: int | None) -> Iterator[bytes]:
    count = 0
    with _no_answers():
        while chunk := response.read(CHUNK_BYTES):
            count += len(chunk)
            if count > max_bytes:
                raise TooLargeError(f"more than {max_bytes} bytes")
            yield chunk
    if declared is not None and count < declared:
        raise NoAnswerError("the answer broke off")


@contextmanager
def _no_answers() -> Iterator[None]:
    """Say in a few words why there was no answer: nothing of it may name an address or quote the other side."""
    try:
        yield
    except TimeoutError as error:
        raise NoAnswerError("no answer in time") from error
    except socket.gaierror as error:
        raise NoAnswerError("the host has no address") from error
    except ssl.SSLCertVerificationError as error:
        raise NoAnswerError("the certificate is not valid") from error
    except ssl.SSLError as error:
        raise NoAnswerError("no TLS connection") from error
    except (OSError, UnicodeError) as error:
        raise NoAnswerError("no connection") from error
    except http.client.IncompleteRead as error:
        raise NoAnswerError("the answer broke off") from error
    except (http.client.HTTPException, ValueError) as error:
        raise NoAnswerError("the answer is not HTTP") from error


def _left_s(deadline: float) -> float:
    """Return the seconds that are left; raises ``TimeoutError`` where none are."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
