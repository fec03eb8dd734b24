"""Servers that answer byte for byte as a test says, and certificates for names that exist nowhere."""

import datetime as dt
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Script = Callable[[socket.socket], None]
"""What a server does with a connection once it has read the request's head."""


@dataclass
class Receiver:
    """A server on this machine; ``heads`` holds the head of every request it has seen."""

    port: int
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def receiver(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Serve one script after the other, one connection each; the last one for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Receiver(listener.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listener, server, scripts, tls), daemon=True)
        thread.start()
        yield server
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _serve(listener: socket.socket, server: Receiver, scripts: Sequence[Script], tls: ssl.SSLContext | None) -> None:
    for number in range(1000):
        try:
            raw, _ = listener.accept()
        except OSError:
            return
        with suppress(OSError), raw:
            raw.settimeout(5)
            with tls.wrap_socket(raw, server_side=True) if tls else raw as sock:
                server.heads.append(_head(sock))
                scripts[min(number, len(scripts) - 1)](sock)


def _head(sock: socket.socket) -> str:
    """Read a whole request, lest the answer get lost in the reset of a connection with unread bytes."""
    data = b""
    while b"\r\n\r\n" not in data and (more := sock.recv(4096)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    while found and len(body) < int(found[1]) and (more := sock.recv(4096)):
        body += more
    return head.decode(errors="replace")


def says(data: bytes) -> Script:
    """Answer ``data`` and hang up."""
    return lambda sock: sock.sendall(data)


def answers(status: int, *headers: str, body: bytes = b"") -> Script:
    """Answer as a well-behaved server does."""
    lines = [f"HTTP/1.1 {status} Something", f"Content-Length: {len(body)}", *headers, "", ""]
    return says("\r\n".join(lines).encode() + body)


def redirects(location: str, status: int = 302) -> Script:
    """Send the caller elsewhere."""
    return answers(status, f"Location: {location}")


def drips(data: bytes, *, every_s: float = 0.02) -> Script:
    """Answer byte by byte, for ever again from the start."""
    pause = threading.Event()

    def drip(sock: socket.socket) -> None:
        while True:
            for byte in data:
                sock.sendall(bytes([byte]))
                pause.wait(every_s)

    return drip


def is_silent(sock: socket.socket) -> None:
    """Answer nothing until the caller has hung up."""
    while sock.recv(4096):
        pass


@dataclass(frozen=True)
class Authority:
    """A certificate authority that only its own tests trust."""

    folder: Path

    def context(self) -> ssl.SSLContext:
        """Return what trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.folder / "ca.pem"))

    def server(self, name: str) -> ssl.SSLContext:
        """Return what proves to be ``name``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem")
        return context

    @classmethod
    def make(cls, folder: Path, *names: str) -> "Authority":
        """Write the authority's certificate and one for each name."""
        key, subject = ec.generate_private_key(ec.SECP256R1()), _named("authority")
        (folder / "ca.pem").write_bytes(_pem(_certificate(subject, subject, key, key, is_authority=True)))
        for name in names:
            own = ec.generate_private_key(ec.SECP256R1())
            certificate = _certificate(_named(name), subject, own, key, is_authority=False)
            secret = own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            (folder / f"{name}.pem").write_bytes(_pem(certificate) + secret)
        return cls(folder)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    text = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    try:
        name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        name = x509.DNSName(text)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
