"""The way out, against real sockets: what is judged is what is called, and nobody on the other side can hold us up."""

import socket
import time
from collections.abc import Callable, Sequence

import pytest

from lambdas.adapters import egress
from lambdas.adapters.egress import Egress
from lambdas.core.egress import EgressPolicy, ForbiddenUrlError, NoAnswerError, TooLargeError
from tests.unit.adapters.receivers import (
    Authority,
    answers,
    drips,
    is_silent,
    receiver,
    redirects,
    says,
)

LOCAL = EgressPolicy(allow_loopback=True)
STRICT = EgressPolicy()
PUBLIC, OTHER_PUBLIC, METADATA = "93.184.216.34", "2606:2800:220:1::1", "169.254.169.254"
URL = "https://hooks.example.com/in?x=1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"), "hooks.example.com", "evil.example.com")


class Internet:
    """Names and addresses as a test says; every connection to a public address ends at a server of its own."""

    def __init__(self, port: int, *lookups: Sequence[str]) -> None:
        self._port = port
        self._lookups = list(lookups)
        self.connected: list[tuple[str, int]] = []
        self.unreachable: set[str] = set()

    def resolve(self, _host: str, _port: int) -> Sequence[str]:
        """Answer each lookup differently: that is what rebinding is."""
        return self._lookups.pop(0) if len(self._lookups) > 1 else self._lookups[0]

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        self.connected.append((address, port))
        if address in self.unreachable:
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", self._port), timeout=timeout_s)

    def way_out(self, authority: Authority, *, timeout_s: float = 5) -> Egress:
        return Egress(STRICT, timeout_s, self.resolve, self.connect, authority.context())


def post(way_out: Egress, url: str, body: bytes = b"{}") -> int:
    return way_out.post(url, body, {"webhook-id": "msg_1"}).status_code


def fetch(way_out: Egress, url: str, *, max_bytes: int = 1000, timeout_s: float = 5) -> bytes:
    with way_out.stream(url, max_bytes=max_bytes, timeout_s=timeout_s) as found:
        return b"".join(found.chunks)


class TestPinning:
    def test_the_judged_address_is_called_under_the_hosts_own_name(self, authority: Authority) -> None:
        with receiver(answers(204), tls=authority.server("hooks.example.com")) as server:
            internet = Internet(server.port, [PUBLIC])
            assert post(internet.way_out(authority), URL, b'{"a":1}') == 204
        assert internet.connected == [(PUBLIC, 443)]
        request, *headers = server.heads[0].split("\r\n")
        assert request == "POST /in?x=1 HTTP/1.1"
        assert {"Host: hooks.example.com", "Content-Length: 7", "webhook-id: msg_1"} <= set(headers)

    def test_a_name_that_is_bound_anew_between_check_and_call(self, authority: Authority) -> None:
        with receiver(answers(204), tls=authority.server("hooks.example.com")) as server:
            internet = Internet(server.port, [PUBLIC], [METADATA])
            way_out = internet.way_out(authority)
            assert post(way_out, URL) == 204
            with pytest.raises(ForbiddenUrlError):
                post(way_out, URL)
        assert internet.connected == [(PUBLIC, 443)]

    @pytest.mark.parametrize("also", [METADATA, "127.0.0.1", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1"])
    def test_one_forbidden_address_condemns_the_host(self, authority: Authority, also: str) -> None:
        internet = Internet(1, [PUBLIC, also])
        with pytest.raises(ForbiddenUrlError):
            post(internet.way_out(authority), URL)
        assert internet.connected == []

    def test_an_address_that_is_down_is_not_the_end(self, authority: Authority) -> None:
        with receiver(answers(200), tls=authority.server("hooks.example.com")) as server:
            internet = Internet(server.port, [OTHER_PUBLIC, PUBLIC])
            internet.unreachable.add(OTHER_PUBLIC)
            assert post(internet.way_out(authority), URL) == 200
        assert [address for address, _ in internet.connected] == [OTHER_PUBLIC, PUBLIC]

    def test_another_hosts_certificate_is_not_enough(self, authority: Authority) -> None:
        with (
            receiver(answers(204), tls=authority.server("evil.example.com")) as server,
            pytest.raises(NoAnswerError, match="certificate"),
        ):
            post(Internet(server.port, [PUBLIC]).way_out(authority), URL)
        assert server.heads == []

    def test_a_certificate_that_nobody_signed(self, authority: Authority) -> None:
        with receiver(answers(204), tls=authority.server("hooks.example.com")) as server:
            internet = Internet(server.port, [PUBLIC])
            with pytest.raises(NoAnswerError, match="certificate"):
                post(Egress(STRICT, 5, internet.resolve, internet.connect), URL)

    def test_plain_text_behind_an_https_address(self, authority: Authority) -> None:
        with receiver(answers(204)) as server, pytest.raises(NoAnswerError):
            post(Internet(server.port, [PUBLIC]).way_out(authority, timeout_s=0.3), URL)

    def test_no_proxy_of_the_environment_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        with receiver(answers(204)) as server:
            assert post(Egress(LOCAL), server.url) == 204

    def test_the_real_resolver_finds_this_machine_and_refuses_it(self) -> None:
        assert "127.0.0.1" in egress.resolved("localhost", 443)
        with pytest.raises(ForbiddenUrlError):
            Egress(STRICT, resolve=lambda _host, port: egress.resolved("localhost", port)).post(URL, b"", {})


class TestPosting:
    @pytest.mark.parametrize("status", [200, 204, 302, 404, 410, 500, 503])
    def test_the_answer_is_its_status(self, status: int) -> None:
        with receiver(answers(status, "Retry-After: 7", "Location: http://127.0.0.1:1/")) as server:
            answer = Egress(LOCAL).post(f"{server.url}/in", b"{}", {})
        assert (answer.status_code, answer.retry_after) == (status, "7")
        assert len(server.heads) == 1

    def test_a_body_without_end_is_not_read(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
        with receiver(lambda sock: (sock.sendall(head), is_silent(sock))[1]) as server:
            assert post(Egress(LOCAL, 5), server.url) == 200

    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            (is_silent, "in time"),
            (drips(b"HTTP/1.1 100 Continue\r\n\r\n", every_s=0.001), "in time"),
            (drips(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000), "in time"),
            (says(b""), "no connection"),
            (says(b"HTTP/1."), "not HTTP"),
            (says(b"\x16\x03\x01 not HTTP at all\r\n\r\n"), "not HTTP"),
            (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"), "not HTTP"),
            (says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000), "not HTTP"),
        ],
        ids=["silent", "continues", "drips", "hangs up", "half a line", "nonsense", "many headers", "long header"],
    )
    def test_whatever_else_comes_is_no_answer(self, script: Callable[[socket.socket], None], reason: str) -> None:
        began_s = time.monotonic()
        with receiver(script) as server, pytest.raises(NoAnswerError, match=reason) as raised:
            post(Egress(LOCAL, 0.3 if reason == "in time" else 30), server.url)
        assert time.monotonic() - began_s < 20
        assert str(server.port) not in str(raised.value)

    def test_nobody_listens(self) -> None:
        with receiver(answers(204)) as server:
            pass
        with pytest.raises(NoAnswerError, match="no connection"):
            post(Egress(LOCAL), server.url)

    def test_a_name_without_address(self) -> None:
        def lookup(_host: str, _port: int) -> Sequence[str]:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        with pytest.raises(NoAnswerError, match="no address"):
            post(Egress(STRICT, resolve=lookup), URL)


class TestStreaming:
    def test_a_body_comes_in_pieces_with_its_headers(self) -> None:
        body = bytes(range(256)) * 10_000
        with (
            receiver(answers(200, "Content-Type: audio/wav", body=body)) as server,
            Egress(LOCAL).stream(f"{server.url}/a.wav", max_bytes=len(body), timeout_s=5) as found,
        ):
            assert (found.status_code, found.headers["content-type"]) == (200, "audio/wav")
            assert found.url == f"{server.url}/a.wav"
            chunks = list(found.chunks)
        assert b"".join(chunks) == body
        assert len(chunks) > 1
        assert "Accept-Encoding: identity" in server.heads[0]

    def test_a_chunked_body(self) -> None:
        data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        with receiver(says(data)) as server:
            assert fetch(Egress(LOCAL), server.url) == b"abcde"

    def test_more_than_is_taken_by_its_own_word(self) -> None:
        with receiver(answers(200, body=b"x" * 1001)) as server, pytest.raises(TooLargeError):
            fetch(Egress(LOCAL), server.url)

    @pytest.mark.parametrize("head", ["", "Transfer-Encoding: chunked\r\n"])
    def test_more_than_is_taken_without_a_word(self, head: str) -> None:
        piece = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        script = says(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + piece * 3 + b"0\r\n\r\n")
        with receiver(script) as server, pytest.raises(TooLargeError):
            fetch(Egress(LOCAL), server.url)

    @pytest.mark.parametrize(
        "data",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        ],
    )
    def test_a_body_that_breaks_off(self, data: bytes) -> None:
        with receiver(says(data)) as server, pytest.raises(NoAnswerError, match="broke off"):
            fetch(Egress(LOCAL), server.url)

    def test_a_body_that_drips_is_cut_off(self) -> None:
        script = drips(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)
        with receiver(script) as server, pytest.raises(NoAnswerError, match="in time"):
            fetch(Egress(LOCAL), server.url, timeout_s=0.3)

    def test_redirects_are_followed(self) -> None:
        scripts = [redirects("/b", 301), redirects("c?d=1", 307), answers(200, body=b"there")]
        with receiver(*scripts) as server:
            assert fetch(Egress(LOCAL), f"{server.url}/a/") == b"there"
        assert [head.split()[1] for head in server.heads] == ["/a/", "/b", "/c?d=1"]

    def test_redirects_without_end(self) -> None:
        with receiver(redirects("/again")) as server, pytest.raises(NoAnswerError, match="redirects"):
            fetch(Egress(LOCAL), server.url)
        assert len(server.heads) == 6

    @pytest.mark.parametrize(
        "location",
        [
            "http://hooks.example.com/",
            "https://169.254.169.254/latest/meta-data/",
            "https://127.0.0.1/",
            "https://user@hooks.example.com/",
            "//localhost/",
            "file:///etc/passwd",
            "https://[::1]/",
        ],
    )
    def test_a_redirect_to_where_we_do_not_go(self, authority: Authority, location: str) -> None:
        with receiver(redirects(location), tls=authority.server("hooks.example.com")) as server:
            internet = Internet(server.port, [PUBLIC])
            with pytest.raises(ForbiddenUrlError):
                fetch(internet.way_out(authority), URL)
        assert internet.connected == [(PUBLIC, 443)]

    def test_a_redirect_to_a_public_name_with_a_private_address(self, authority: Authority) -> None:
        with receiver(redirects("https://evil.example.com/"), tls=authority.server("hooks.example.com")) as server:
            internet = Internet(server.port, [PUBLIC], ["10.0.0.7"])
            with pytest.raises(ForbiddenUrlError):
                fetch(internet.way_out(authority), URL)
        assert internet.connected == [(PUBLIC, 443)]

    def test_the_takers_own_trouble_is_not_the_senders(self) -> None:
        with (
            receiver(answers(200, body=b"x")) as server,
            pytest.raises(OSError, match="disk"),
            Egress(LOCAL).stream(server.url, max_bytes=10, timeout_s=5) as found,
        ):
            raise OSError(f"disk full after {found.status_code}")
