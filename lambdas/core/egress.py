"""Which addresses of clients' choosing we call: the decision, without any network.

The URL is judged twice: as it is written, when a client names it, and by every address its host has at the moment of
each call (``lambdas.adapters.egress`` then connects to exactly the address that was judged).
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from lambdas.core.errors import DomainError, DomainErrorCode

Address = IPv4Address | IPv6Address

MAX_URL_LENGTH: Final = 2048
HTTPS_PORT: Final = 443
FIRST_UNPRIVILEGED_PORT: Final = 1024
_HTTP_PORT = 80

# IANA's special-purpose registries, by hand: what ``ipaddress`` calls global has changed between Python's releases.
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and with it every cloud's metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""All that is routed. Outside lie loopback, link-local, unique local, mapped, NAT64 and multicast addresses."""
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",
    )
)
_REFUSED_SUFFIXES = ("localhost", "local", "internal", "home.arpa")
"""Names that mean something only inside a network."""

_NOT_PRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
"""A backslash too: some readers of URLs take it for a slash, others for part of the name."""
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOOPBACK_NAME = "localhost"


class ForbiddenUrlError(DomainError):
    """A URL that we do not call, whatever answers there."""

    def __init__(self, message: str) -> None:
        super().__init__(DomainErrorCode.URL_NOT_ALLOWED, message)


class NoAnswerError(Exception):
    """Whoever was called did not answer as it should; the message says why in a few words and names no address."""


class TooLargeError(NoAnswerError):
    """An answer has more bytes than we take."""


@dataclass(frozen=True)
class EgressPolicy:
    """What differs between a deployment and one machine.

    Attributes
    ----------
    allow_loopback
        Only on one machine: receivers there are the machine's own, and have no certificate.
    """

    allow_loopback: bool = False

    def allows(self, address: Address) -> bool:
        """Tell whether we connect to ``address``."""
        if self.allow_loopback and address.is_loopback:
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _REFUSED_V4)
        return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)


@dataclass(frozen=True)
class Target:
    """A URL taken apart, fit to be called once its addresses are.

    Attributes
    ----------
    host
        ASCII, lower case; an IPv6 address without its brackets.
    path
        Path and query, percent-encoded.
    """

    host: str
    port: int
    path: str
    is_tls: bool = True

    @property
    def authority(self) -> str:
        """Host and port as a ``Host`` header writes them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (HTTPS_PORT if self.is_tls else _HTTP_PORT) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL again, normalised."""
        return f"{'https' if self.is_tls else 'http'}://{self.authority}{self.path}"


@dataclass(frozen=True)
class Fetched:
    """An answer whose body is still on its way.

    Attributes
    ----------
    url
        Where it came from in the end.
    headers
        With lower-case names.
    chunks
        The body, piece by piece; raises `NoAnswerError` where it breaks off and `TooLargeError` where it never ends.
    """

    url: str
    status_code: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


def target_of(url: str, policy: EgressPolicy) -> Target:
    """Take ``url`` apart; raises `ForbiddenUrlError` where it is none that we would call."""
    if len(url) > MAX_URL_LENGTH:
        raise ForbiddenUrlError(f"the URL is longer than {MAX_URL_LENGTH} characters")
    if _NOT_PRINTABLE.search(url):
        raise ForbiddenUrlError("the URL holds characters that no URL has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenUrlError("the URL cannot be read") from error
    if parts.username is not None or parts.password is not None:
        raise ForbiddenUrlError("the URL holds a user name or a password")
    host = _host_of(parts.hostname or "")
    is_local = policy.allow_loopback and _is_loopback(host)
    if parts.scheme != "https" and not (is_local and parts.scheme == "http"):
        raise ForbiddenUrlError("only https URLs are called")
    if not is_local:
        _check_host(host, policy)
    is_tls = parts.scheme == "https"
    number = port if port is not None else HTTPS_PORT if is_tls else _HTTP_PORT
    if not is_local and number != HTTPS_PORT and number < FIRST_UNPRIVILEGED_PORT:
        raise ForbiddenUrlError(f"port {number} is not called")
    return Target(host=host, port=number, path=_path_of(parts), is_tls=is_tls)


def _host_of(name: str) -> str:
    """Return the host in ASCII: what looks like dots and digits in another script becomes them here."""
    if "%" in name:
        raise ForbiddenUrlError("the host names a network interface, or is escaped")
    if ":" in name:
        return name  # urlsplit has checked that it is an IPv6 address
    try:
        ascii_name = name.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ForbiddenUrlError("the host is not a name") from error
    return ascii_name.removesuffix(".")


def _check_host(host: str, policy: EgressPolicy) -> None:
    address = _address_or_none(host)
    if address is not None:
        if not policy.allows(address):
            raise ForbiddenUrlError("the address is not a public one")
        return
    last = host.rpartition(".")[2]
    # Resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses too; no top-level domain is a number.
    if _NUMBER.fullmatch(last) or not _HOST_NAME.fullmatch(host):
        raise ForbiddenUrlError("the host is not a public name")
    if any(host.endswith(f".{suffix}") for suffix in _REFUSED_SUFFIXES):
        raise ForbiddenUrlError("the host is not a public name")


def _is_loopback(host: str) -> bool:
    address = _address_or_none(host)
    return host == _LOOPBACK_NAME or (address is not None and address.is_loopback)


def _address_or_none(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _path_of(parts: SplitResult) -> str:
    query = f"?{parts.query}" if parts.query else ""
    return quote(f"{parts.path or '/'}{query}", safe="/?%:@!$&'()*+,;=~-._[]")
