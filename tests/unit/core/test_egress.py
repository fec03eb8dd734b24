"""URLs of clients' choosing: what is refused before any name is looked up, and which addresses are ever called."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.core.egress import EgressPolicy, ForbiddenUrlError, Target, target_of

STRICT = EgressPolicy()
ON_ONE_MACHINE = EgressPolicy(allow_loopback=True)

HOSTILE = [
    "",
    "hooks.example.com",
    "//hooks.example.com/x",
    "http://hooks.example.com/x",
    "ftp://hooks.example.com/x",
    "file:///etc/passwd",
    "gopher://hooks.example.com/",
    "https://",
    "https:///x",
    "https://user@hooks.example.com/",
    "https://user:secret@hooks.example.com/",
    "https://@hooks.example.com/",
    "https://:@hooks.example.com/",
    "https://hooks.example.com@169.254.169.254/",
    "https://hooks.example.com\\@169.254.169.254/",
    "https://hooks.example.com/\r\nX-Injected: yes",
    "https://hooks.example.com/\tx",
    "https://hooks.example.com /x",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:80/",
    "https://hooks.example.com:0/",
    "https://hooks.example.com:65536/",
    "https://hooks.example.com:-1/",
    "https://hooks.example.com:https/",
    "https://anything.localhost/",
    "https://metadata/",
    "https://metadata.google.internal/",
    "https://instance-data.ec2.internal./",
    "https://printer.local/",
    "https://router.home.arpa/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.0.0.0x1/",
    "https://1.2.3.4.5/",
    "https://256.1.1.1/",
    "https://0.0.0.0/",
    "https://0/",
    "https://10.0.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://169.254.170.2/v2/credentials",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.0.0.192/",
    "https://192.168.1.1/",
    "https://198.18.0.1/",
    "https://203.0.113.9/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[100::1]/",
    "https://[2001::1]/",
    "https://[2001:db8::1]/",
    "https://[2002:7f00:1::]/",
    "https://[3fff::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[2606:4700::1%25lo]/",
    "https://[ff02::1]/",
    "https://[::1/",
    "https://[localhost]/",
    "https://[v1.localhost]/",
    "https://⑯⑨.254.169.254/",
    "https://%6c%6f%63alhost/",
    "https://a..example.com/",
    "https://.example.com/",
    "https://example.com../",
    "https://exa$mple.com/",
    "https://-.example.com/",
    f"https://{'a' * 64}.example.com/",
    f"https://{'a.' * 130}com/",
    f"https://hooks.example.com/{'x' * 2048}",
]


THIS_MACHINE = [
    "https://localhost/",
    "https://LOCALHOST./",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.0.0.1:8443/",
    "https://[::1]/",
    "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",  # full-width digits
    "https://127。0。0。1/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
]


@pytest.mark.parametrize("url", [*HOSTILE, *THIS_MACHINE])
def test_a_hostile_url_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenUrlError):
        target_of(url, STRICT)


@pytest.mark.parametrize("url", HOSTILE)
def test_one_machine_is_no_less_careful_but_for_itself(url: str) -> None:
    with pytest.raises(ForbiddenUrlError):
        target_of(url, ON_ONE_MACHINE)


@pytest.mark.parametrize("url", THIS_MACHINE)
def test_one_machine_calls_itself(url: str) -> None:
    host = target_of(url, ON_ONE_MACHINE).host
    assert host == "localhost" or ipaddress.ip_address(host).is_loopback


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.example.com", Target("hooks.example.com", 443, "/")),
        ("https://Hooks.Example.COM./In?a=b%20c&d=é#part", Target("hooks.example.com", 443, "/In?a=b%20c&d=%C3%A9")),
        ("HTTPS://hooks.example.com:8443/in", Target("hooks.example.com", 8443, "/in")),
        ("https://bücher.example/", Target("xn--bcher-kva.example", 443, "/")),
        ("https://8.8.8.8/", Target("8.8.8.8", 443, "/")),
        ("https://[2606:4700::1111]:9443/x", Target("2606:4700::1111", 9443, "/x")),
        ("https://under_score.example.com/", Target("under_score.example.com", 443, "/")),
        ("https://prod-1.westeurope.logic.azure.com:443/w/1?sig=a-b_c", None),
    ],
)
def test_a_public_url_is_taken_apart(url: str, target: Target | None) -> None:
    found = target_of(url, STRICT)
    assert target is None or found == target
    assert target_of(found.url, STRICT) == found


def test_one_machine_may_call_itself_without_a_certificate() -> None:
    assert target_of("http://127.0.0.1:5000/in", ON_ONE_MACHINE) == Target("127.0.0.1", 5000, "/in", is_tls=False)
    assert target_of("http://localhost/", ON_ONE_MACHINE).authority == "localhost"
    assert target_of("http://[::1]:81/", ON_ONE_MACHINE).authority == "[::1]:81"
    with pytest.raises(ForbiddenUrlError, match="https"):
        target_of("http://hooks.example.com/", ON_ONE_MACHINE)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::200e", "192.31.196.1"])
def test_public_addresses_are_called(text: str) -> None:
    assert STRICT.allows(ipaddress.ip_address(text))


@given(st.ip_addresses())
def test_what_is_not_routed_is_never_called(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    hidden = (mapped, getattr(address, "sixtofour", None), *(getattr(address, "teredo", None) or ()))
    suspicious = not address.is_global or address.is_multicast or any(hidden)
    assert not (suspicious and STRICT.allows(address))
    assert ON_ONE_MACHINE.allows(address) == (STRICT.allows(address) or address.is_loopback)


@given(st.ip_addresses(v=4))
def test_an_address_in_any_disguise_is_no_host_name(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for host in (
        str(number),
        hex(number),
        f"0{number:o}",
        f"{number >> 24}.{number & 0xFFFFFF}",
        f"[::ffff:{address}]",
    ):
        with pytest.raises(ForbiddenUrlError):
            target_of(f"https://{host}/", STRICT)


@given(st.text(max_size=60))
def test_no_text_at_all_breaks_the_judge(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/", f"https://hooks.example.com/{text}"):
        try:
            target = target_of(url, STRICT)
        except ForbiddenUrlError:
            continue
        assert target.path.isascii()
        assert target.path.isprintable()
        assert target_of(target.url, STRICT) == target
