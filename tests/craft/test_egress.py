# ruff: noqa: RUF001, S104 - look-alike digits are the point, and nothing is bound
"""The door to the outside, judged by what arrives: canaries listen on this machine's own addresses and count connections."""

import asyncio
import gzip
import ipaddress
import json
import logging
import random
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpcore2
import httpx2  # noqa: TID251
import pytest
from AntiSSRF import IPAddressRanges
from django.core.exceptions import ImproperlyConfigured
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from craft import egress
from craft.egress import (
    EgressError,
    EgressFailedError,
    EgressTimeoutError,
    TooLargeError,
    check_url,
    fetch_blocking,
)
from tests.craft.certificates import make_certificate

PUBLIC = "93.184.216.34"


def gzipped(data: bytes, level: int = 9) -> bytes:
    """The same bytes at any time of day: they name tests, and two processes have to agree on the names."""
    return gzip.compress(data, level, mtime=0)


@dataclass
class Listener:
    """A server made of a socket, for answers that no HTTP library would give."""

    answer: Callable[[socket.socket], None]
    host: str = "127.0.0.1"
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> "Listener":
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.socket = socket.create_server((self.host, 0), family=family)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.shutdown(
            socket.SHUT_RDWR
        )  # wakes accept(), which would keep the port
        self.socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(
                target=self._serve, args=(connection,), daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                while head := self._read_head(connection):
                    self.heads.append(head)
                    self.answer(connection)
        except OSError:
            return

    def _read_head(self, connection: socket.socket) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (byte := connection.recv(1)):
                return b""
            head += byte
        return head

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


def ok(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture
def canaries() -> Iterator[tuple[Listener, Listener]]:
    with Listener(ok) as v4, Listener(ok, host="::1") as v6:
        yield v4, v6


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    return "127.0.0.1", 0


@pytest.fixture
def server(httpserver: HTTPServer, settings) -> HTTPServer:
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{httpserver.port}"]
    return httpserver


def answering(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda host, port: list(addresses)


# --- Hostile and honest ---

LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "127.00.00.01",
    "127.0.0.01",
    "0177.0.0.1",
    "0177.0.0.01",
    "017700000001",
    "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0x7f.1",
    "0x7f000001",
    "0X7F000001",
    "2130706433",
    "127.0.0.1.",
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "١٢٧.٠.٠.١",
    "0",
    "0.0.0.0",
    "0.0.0.1",
    "00000000",
    "256.256.256.256",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ｌｏｃａｌｈｏｓｔ",
    "localhost.localdomain",
    "a.localhost",
    "printer.local",
    "metadata.google.internal",
    "instance-data.ec2.internal",
    "kubernetes.default.svc.cluster.local",
    "nas.lan",
    "intranet",
    "wiki.corp",
    "router.home.arpa",
    "%6c%6f%63%61%6c%68%6f%73%74",
    "127.0.0.1%00.example.com",
    "127.0.0.1%2f.example.com",
    "127.0.0.1%09",
    "-127.0.0.1",
    "127..0.0.1",
    ".127.0.0.1",
    "127.0.0.1,example.com",
    "127.0.0.1;example.com",
    "(127.0.0.1)",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[::1%25lo]",
    "[::1%lo]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1]example.com",
    "[127.0.0.1]",
    "[]",
    "[::1",
    "::1",
]
USERINFO = [
    "https://example.com@127.0.0.1:{port}/",
    "https://example.com:443@127.0.0.1:{port}/",
    "https://example.com%40127.0.0.1:{port}/",
    "https://example.com\\@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@example.com/",
    "https://127.0.0.1:{port}\\.example.com/",
    "https://@127.0.0.1:{port}/",
    "https://:@127.0.0.1:{port}/",
    "https://user:password@example.com/",
    "https://example.com@@127.0.0.1:{port}/",
    "https:\\\\127.0.0.1:{port}/",
    "https:/\\127.0.0.1:{port}/",
    "https:127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}/",
    "\thttps://127.0.0.1:{port}/",
    " https://127.0.0.1:{port}/",
    "ht\ntps://127.0.0.1:{port}/",
    "https://127.0.0.1\t:{port}/",
    "https://exa\u200bmple.com:{port}/",
    "https://127.0.0.1:{port}:443/",
    "https://127.0.0.1:+{port}/",
    "https://127.0.0.1: {port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "dict://127.0.0.1:{port}/info",
    "ldap://127.0.0.1:{port}/",
    "ws://127.0.0.1:{port}/",
    "wss://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "data:text/plain,x",
    "javascript:alert(1)",
    "jar:https://127.0.0.1:{port}!/",
    "url:https://127.0.0.1:{port}/",
]
PRIVATE_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2620:4f:8000::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC_ADDRESSES = [
    "1.1.1.1",
    "8.8.8.8",
    PUBLIC,
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "2003::1",
    "2400::1",
]
HONEST_URLS = [
    "https://example.com",
    "https://example.com/",
    "HTTPS://Example.COM/Path",
    "https://example.com:443/hook?x=1&y=2#part",
    "https://example.com:8443/",
    "https://example.com/a b/ü?q=größe",
    "https://example.com/?next=https://127.0.0.1@evil/",
    "https://example.com/@handle/path\\with\\backslashes",
    "https://sub_domain.example.co.uk/",
    "https://xn--bcher-kva.example/",
    "https://bücher.example/",
    "https://1.1.1.1/",
    "https://[2606:4700:4700::1111]/",
    "https://my-bucket.s3.eu-central-1.amazonaws.com/key",
    "https://127.0.0.1.example.com/",
    "https://localhost.example.com/",
    "https://a.b.c.d.e.f.example.com/",
    "https://3com.com/",
    "https://hooks.slack.com/services/T000/B000/XXXX",
]


def test_the_hostile_list_is_as_long_as_we_say() -> None:
    assert len(LOOPBACK_SPELLINGS) + len(USERINFO) + len(PRIVATE_ADDRESSES) >= 150


@pytest.fixture
def any_port(monkeypatch) -> None:
    """So that the port is never the reason for a refusal."""
    monkeypatch.setattr(egress, "HTTPS_PORTS", frozenset(range(1, 65536)))


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_no_spelling_of_this_machine_is_dialled(host, canaries, any_port) -> None:
    v4, v6 = canaries
    for port in (v4.port, v6.port):
        with pytest.raises(EgressError):
            fetch_blocking("GET", f"https://{host}:{port}/", timeout_seconds=5)
    assert (v4.connections, v6.connections) == (0, 0)


@pytest.mark.parametrize("url", USERINFO)
def test_no_trick_with_a_url_reaches_this_machine(url, canaries, any_port) -> None:
    v4, _ = canaries
    for scheme in ("https", "http"):
        crafted = url.format(port=v4.port).replace("https", scheme)
        with pytest.raises(EgressError):
            fetch_blocking("GET", crafted, timeout_seconds=5)
        with pytest.raises(EgressError):
            check_url(crafted)
    assert v4.connections == 0


def test_the_canaries_are_alive(canaries, settings) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1", "::1"]
    for canary in canaries:
        assert fetch_blocking("GET", canary.url).body == b"ok"
        assert canary.connections == 1


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_an_address_that_is_not_public_is_refused_as_literal_and_as_answer(
    address, monkeypatch, dialled
) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(EgressError):
        check_url(f"https://{host}/")
    monkeypatch.setattr(egress, "look_up", answering(PUBLIC, address))
    with pytest.raises(EgressError, match="is not a public address"):
        fetch_blocking("GET", "https://example.com/")
    assert dialled == []


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_may_be_dialled(address, monkeypatch, dialled) -> None:
    parsed = ipaddress.ip_address(address)
    egress.judge("example.com", 443, parsed, (), "https")
    monkeypatch.setattr(egress, "look_up", answering(address))
    with pytest.raises(EgressFailedError):
        fetch_blocking("GET", "https://example.com/")
    assert dialled == [(str(parsed), 443)]


@pytest.mark.parametrize("url", HONEST_URLS)
def test_an_honest_url_may_be_saved(url) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "port", [0, 1, 22, 23, 25, 53, 80, 110, 3306, 5432, 6379, 8000, 9200, 11211, 65535]
)
def test_only_the_ports_of_https_are_dialled(port) -> None:
    with pytest.raises(EgressError):
        check_url(f"https://example.com:{port}/")


@pytest.mark.parametrize(
    "port", ["65536", "99999", "-1", "0x50", "٤٤٣", "4_43", "443a"]
)
def test_a_port_that_is_no_port_is_refused(port) -> None:
    with pytest.raises(EgressError, match="not valid"):
        check_url(f"https://example.com:{port}/")


def test_plain_http_is_refused_with_what_to_do() -> None:
    with pytest.raises(EgressError, match=r"Use https.*CRAFT_OUTBOUND_ALLOW"):
        check_url("http://example.com/")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://user:password@example.com/", "user name or password"),
        ("https://@example.com/", "user name or password"),
        ("https://example.com./", "dot at the end"),
        (" https://example.com/", "spaces around it"),
        ("https://example.com/\n", "control characters"),
        ("https://example.com/\u2028", "control characters"),
        ("https://[2606:4700::1111%25eth0]/", "network zone"),
        ("https://1.1.1/", "four numbers"),
        ("https://exa%6dple.com/", "not a valid host name"),
        ("ftp://example.com/", "begin with https"),
    ],
)
def test_a_url_that_could_be_misread_is_refused_with_the_reason(url, reason) -> None:
    with pytest.raises(EgressError, match=reason):
        check_url(url)


@pytest.mark.parametrize("url", ["", None, 7, ["https://example.com"], "x" * 9_000])
def test_what_is_no_url_is_refused(url) -> None:
    with pytest.raises(EgressError):
        check_url(url)


def test_every_range_of_a_second_opinion_is_refused() -> None:
    ranges = [ipaddress.ip_network(text) for text in IPAddressRanges.recommended_latest]
    assert len(ranges) > 30
    for network in ranges:
        middle = network[network.num_addresses // 2]
        for address in (network[0], middle, network[-1]):
            assert not egress.is_public(address), address


def test_we_are_never_laxer_than_python() -> None:
    chance = random.Random(20260301)  # noqa: S311
    checked = 0
    for _ in range(20_000):
        for address in (
            ipaddress.IPv4Address(chance.getrandbits(32)),
            ipaddress.IPv6Address(chance.getrandbits(128)),
            ipaddress.IPv6Address((0x2001 << 112) | chance.getrandbits(100)),
        ):
            if not address.is_global or address.is_multicast:
                assert not egress.is_public(address), address
                checked += 1
    assert checked > 20_000


def test_our_own_public_address_is_refused(monkeypatch) -> None:
    own = ipaddress.ip_address("127.0.0.1")
    assert egress.is_this_machine(own)
    assert not egress.is_this_machine(ipaddress.ip_address("1.1.1.1"))
    monkeypatch.setattr(egress, "NOT_PUBLIC_V4", ())
    with pytest.raises(EgressError, match="not a public address"):
        egress.judge("example.com", 443, own, (), "https")


# --- Looking up ---


@pytest.fixture
def dialled(monkeypatch) -> list[tuple[str, int]]:
    """What would have been dialled; nothing is, since those addresses are not ours to dial."""
    seen: list[tuple[str, int]] = []

    async def refuse(self, host, port, **options):
        seen.append((host, port))
        raise httpcore2.ConnectError("refused")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", refuse)
    return seen


def test_a_name_that_changes_its_answer_is_looked_up_once_per_dial(
    monkeypatch, dialled
) -> None:
    flips = iter([PUBLIC, "127.0.0.1"] * 1_000)
    asked = []

    def rebind(host: str, port: int) -> list[str]:
        asked.append(host)
        return [next(flips)]

    monkeypatch.setattr(egress, "look_up", rebind)

    async def flip() -> None:
        for _ in range(1_000):
            with pytest.raises(EgressError):
                await egress.fetch("GET", "https://rebind.example.com/")

    asyncio.run(flip())
    assert len(asked) == 1_000
    assert dialled == [(PUBLIC, 443)] * 500


def test_one_private_address_among_several_refuses_them_all(
    monkeypatch, dialled
) -> None:
    monkeypatch.setattr(
        egress, "look_up", answering(PUBLIC, "2606:4700::1111", "10.0.0.5")
    )
    with pytest.raises(EgressError) as caught:
        fetch_blocking("GET", "https://mixed.example.com/")
    assert dialled == []
    assert "10.0.0.5" not in caught.value.message
    assert "mixed.example.com is not a public address" in caught.value.message


def test_a_refusal_tells_the_operator_the_address(monkeypatch, caplog) -> None:
    monkeypatch.setattr(egress, "look_up", answering("10.0.0.5"))
    with caplog.at_level(logging.WARNING), pytest.raises(EgressError):
        fetch_blocking("GET", "https://inside.example.com/")
    assert "inside.example.com: it leads to 10.0.0.5" in caplog.text


def test_the_next_address_is_tried_when_one_does_not_answer(
    monkeypatch, dialled
) -> None:
    addresses = ["2606:4700::1111", "1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4"]
    monkeypatch.setattr(egress, "look_up", answering(*addresses))
    with pytest.raises(EgressFailedError, match=r"Could not connect to example\.com"):
        fetch_blocking("GET", "https://example.com/")
    assert [address for address, _ in dialled] == addresses[:4]


@pytest.mark.parametrize(
    "url",
    [
        "https://printer.local/",
        "https://db/",
        "http://example.com/",
        "https://a.com:22/",
    ],
)
def test_what_is_refused_by_its_url_is_not_even_looked_up(url, monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(egress, "look_up", lambda host, port: asked.append(host) or [])
    with pytest.raises(EgressError):
        fetch_blocking("GET", url)
    assert asked == []


def test_an_unknown_name_is_said_to_be_unknown(monkeypatch) -> None:
    def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(egress, "look_up", fail)
    with pytest.raises(EgressFailedError, match="could not be found"):
        fetch_blocking("GET", "https://nowhere.example.com/")


def test_a_slow_name_server_ends_at_its_own_limit(monkeypatch) -> None:
    asked = threading.Event()
    monkeypatch.setattr(egress, "look_up", lambda host, port: asked.wait(3) or ["x"])
    monkeypatch.setattr(egress, "LOOKUP_SECONDS", 0.2)
    with pytest.raises(EgressTimeoutError, match="name server"):
        fetch_blocking("GET", "https://slow.example.com/")
    asked.set()


def test_a_driver_gets_judged_addresses(monkeypatch, settings) -> None:
    monkeypatch.setattr(egress, "look_up", answering(PUBLIC))
    assert egress.resolve_blocking("db.example.com", 5432) == [PUBLIC]
    monkeypatch.setattr(egress, "look_up", answering(PUBLIC, "10.0.0.5"))
    with pytest.raises(EgressError, match="not a public address"):
        egress.resolve_blocking("db.example.com", 5432)
    for hostile in ("127.1", "localhost.", "/var/run/postgresql", "a b", ""):
        with pytest.raises(EgressError):
            egress.resolve_blocking(hostile, 5432)
    settings.OUTBOUND_ALLOW = ["10.0.0.5:5432", f"{PUBLIC}:5432"]
    assert egress.resolve_blocking("db.example.com", 5432) == [PUBLIC, "10.0.0.5"]


# --- Exceptions ---


@pytest.mark.parametrize(
    ("entry", "is_reached"),
    [
        ("127.0.0.1", True),
        ("127.0.0.0/8", True),
        ("127.0.0.1:{port}", True),
        (" 127.0.0.1:{port} ", True),
        ("127.0.0.1:1", False),
        ("127.0.0.2", False),
        ("10.0.0.0/8", False),
        ("::1", False),
        ("localhost", False),
        ("example.com", False),
    ],
)
def test_an_exception_is_for_what_it_names(
    entry, is_reached, canaries, settings
) -> None:
    canary, _ = canaries
    settings.OUTBOUND_ALLOW = [entry.format(port=canary.port)]
    if is_reached:
        assert fetch_blocking("GET", canary.url).status == 200
    else:
        with pytest.raises(EgressError):
            fetch_blocking("GET", canary.url)
    assert canary.connections == is_reached


@pytest.mark.parametrize(
    ("entry", "is_reached"),
    [
        ("inside.example.com", True),
        ("INSIDE.example.com:{port}", True),
        ("127.0.0.0/8", True),
        ("127.0.0.1:{port}", True),
        ("inside.example.com:1", False),
        ("example.com", False),
        ("10.0.0.0/8", False),
    ],
)
def test_an_exception_holds_for_a_name_by_the_name_or_by_where_it_leads(
    entry, is_reached, canaries, settings, monkeypatch
) -> None:
    canary, _ = canaries
    monkeypatch.setattr(egress, "look_up", answering("127.0.0.1"))
    settings.OUTBOUND_ALLOW = [entry.format(port=canary.port)]
    url = f"http://inside.example.com:{canary.port}/"
    if is_reached:
        check_url(url)
        assert fetch_blocking("GET", url).body == b"ok"
        assert b"Host: inside.example.com:" in canary.heads[0]
    else:
        with pytest.raises(EgressError):
            fetch_blocking("GET", url)
    assert canary.connections == is_reached


def test_an_exception_for_an_address_does_not_open_the_others(
    canaries, settings, monkeypatch
) -> None:
    v4, _ = canaries
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{v4.port}"]
    monkeypatch.setattr(egress, "look_up", answering("127.0.0.1", "127.0.0.2"))
    with pytest.raises(EgressError, match="not a public address"):
        fetch_blocking("GET", f"http://inside.example.com:{v4.port}/")
    monkeypatch.setattr(egress, "look_up", answering("127.0.0.1", PUBLIC))
    with pytest.raises(EgressError, match="Plain http"):
        fetch_blocking("GET", f"http://inside.example.com:{v4.port}/")
    assert v4.connections == 0


def test_an_exception_by_ipv6_address(canaries, settings) -> None:
    _, v6 = canaries
    settings.OUTBOUND_ALLOW = [f"[::1]:{v6.port}"]
    assert fetch_blocking("GET", v6.url).status == 200


@pytest.mark.parametrize(
    "entry",
    [
        "http://minio:9000",
        "10.0.0.5/8",
        "127.1",
        "*.example.com",
        "a b",
        "[::1",
        "host:port",
        "10.0.0.0/8:80:80",
    ],
)
def test_an_exception_that_says_nothing_is_an_error(entry, settings) -> None:
    settings.OUTBOUND_ALLOW = [entry]
    with pytest.raises(ImproperlyConfigured, match="CRAFT_OUTBOUND_ALLOW"):
        check_url("https://example.com/")


def test_an_exception_that_is_taken_back_closes_the_door_to_kept_connections(
    server, settings
) -> None:
    server.expect_request("/").respond_with_data("ok")

    async def twice() -> None:
        assert (await egress.fetch("GET", server.url_for("/"))).status == 200
        settings.OUTBOUND_ALLOW = []
        with pytest.raises(EgressError):
            await egress.fetch("GET", server.url_for("/"))

    asyncio.run(twice())
    assert len(server.log) == 1


# --- Requests ---


def echo(request: Request) -> Response:
    return Response(
        json.dumps(
            {
                "method": request.method,
                "path": request.full_path,
                "headers": {name.lower(): value for name, value in request.headers},
                "body": request.get_data(as_text=True),
            }
        ),
        mimetype="application/json",
    )


@pytest.fixture
def echoed(server) -> Callable[..., dict]:
    server.expect_request("/echo").respond_with_handler(echo)

    def send(method: str = "GET", path: str = "/echo", **options: object) -> dict:
        url = server.url_for("/").rstrip("/") + path
        return json.loads(fetch_blocking(method, url, **options).body)

    return send


def test_a_request_arrives_as_it_was_meant(echoed, server) -> None:
    got = echoed(
        "POST",
        "/echo?a=1",
        params={"b": ["x", "ü&"], "flag": True},
        headers={"X-Key": "secret", "Accept": "application/json"},
        json={"name": "Grüße", "n": [1, None]},
    )
    assert got["path"] == "/echo?a=1&b=x&b=%C3%BC%26&flag=true"
    assert json.loads(got["body"]) == {"name": "Grüße", "n": [1, None]}
    assert got["headers"]["x-key"] == "secret"
    assert got["headers"]["content-type"] == "application/json"
    assert got["headers"]["accept"] == "application/json"
    assert got["headers"]["host"] == f"127.0.0.1:{server.port}"
    assert got["headers"]["user-agent"] == "Craft/1.0"


def test_an_answer_has_status_headers_body_and_url(server) -> None:
    server.expect_request("/x").respond_with_data(
        "né", status=404, content_type="text/plain; charset=latin-1"
    )
    answer = fetch_blocking("GET", server.url_for("/x"))
    assert (answer.status, answer.url) == (404, server.url_for("/x"))
    assert answer.headers["content-type"] == "text/plain; charset=latin-1"
    assert answer.body == "né".encode()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-Evil: 1"},
        {"X-A": "1\nX-Evil: 1"},
        {"X-A": "1\x00"},
        {"X-A": "é"},
        {"X-A": "\ud800"},
        {"X-\ud800": "1"},
        {"X-A\r\nX-Evil": "1"},
        {"X A": "1"},
        {"X-A:": "1"},
        {"": "1"},
        {"Host": "127.0.0.1"},
        {"hOST": "127.0.0.1"},
        {"Content-Length": "0"},
        {"Transfer-Encoding": "chunked"},
        {"Connection": "upgrade"},
        {"Upgrade": "websocket"},
        {"Proxy-Authorization": "x"},
        {"TE": "trailers"},
        {"Expect": "100-continue"},
    ],
)
def test_a_header_that_could_change_the_request_is_refused(
    headers, canaries, settings
) -> None:
    canary, _ = canaries
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with pytest.raises(EgressError):
        fetch_blocking("GET", canary.url, headers=headers)
    assert canary.connections == 0


@pytest.mark.parametrize(
    "method", ["CONNECT", "TRACE", "get", "GET / HTTP/1.1\r\nX", ""]
)
def test_a_method_is_one_of_the_known_ones(method, canaries, settings) -> None:
    canary, _ = canaries
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with pytest.raises(EgressError, match="is not one of"):
        fetch_blocking(method, canary.url)
    assert canary.connections == 0


def test_a_path_can_not_inject_a_header(canaries, settings) -> None:
    canary, _ = canaries
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    fetch_blocking(
        "GET", f"{canary.url}%0d%0aX-Evil:%201 HTTP/1.1", params={"q": "\r\n"}
    )
    assert b"X-Evil" not in canary.heads[0].partition(b"\r\n")[2]
    assert canary.heads[0].startswith(
        b"GET /%0d%0aX-Evil:%201%20HTTP/1.1?q=%0D%0A HTTP"
    )


@pytest.mark.parametrize(
    "options",
    [{"content": "\ud800"}, {"json": "\ud800"}, {"params": {"q": "\ud800"}}],
)
def test_half_a_character_is_refused(options) -> None:
    with pytest.raises(EgressError):
        fetch_blocking("POST", "https://example.com/", **options)


@pytest.mark.parametrize("body", [{1, 2}, float("nan"), {"a": object()}])
def test_a_body_that_is_not_json_is_refused(body, settings) -> None:
    with pytest.raises(EgressError, match="JSON"):
        fetch_blocking("POST", "https://example.com/", json=body)


def test_a_proxy_of_the_environment_is_ignored(echoed, monkeypatch) -> None:
    with Listener(ok) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        assert echoed()["method"] == "GET"

        async def by_client() -> int:
            async with egress.async_client() as client:
                return (await client.get(f"http://127.0.0.1:{proxy.port}/")).status_code

        with pytest.raises(EgressError):
            asyncio.run(by_client())
        assert proxy.connections == 0


# --- Redirects ---


def test_a_redirect_is_an_answer_unless_it_is_asked_for(server) -> None:
    server.expect_request("/a").respond_with_data(
        status=302, headers={"Location": "/b"}
    )
    answer = fetch_blocking("GET", server.url_for("/a"))
    assert (answer.status, answer.headers["location"]) == (302, "/b")


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "//127.0.0.1:{canary}/",
        "http://127.0.0.1:{canary}/",
        "https://[::ffff:127.0.0.1]:{canary}/",
        "http://user@127.0.0.1:{canary}/",
        "https://localhost:{canary}/",
        "http://2130706433:{canary}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{canary}/",
        "http://[",
        "http://127.0.0.1:{canary}\\@example.com/",
    ],
)
def test_each_hop_is_judged_again(location, canaries, settings, any_port) -> None:
    canary, _ = canaries
    target = location.format(canary=canary.port).encode()

    def redirect(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % target
        )

    with Listener(redirect) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]
        with pytest.raises(EgressError):
            fetch_blocking("GET", server.url, redirects=5)
        assert len(server.heads) == 1
    assert canary.connections == 0


def test_a_redirect_may_not_carry_a_user_name(server) -> None:
    target = f"http://user:password@127.0.0.1:{server.port}/b"
    server.expect_request("/a").respond_with_data(
        status=302, headers={"Location": target}
    )
    with pytest.raises(EgressError, match="user name or password"):
        fetch_blocking("GET", server.url_for("/a"), redirects=1)


def test_redirects_are_followed_as_far_as_asked(server, echoed) -> None:
    for step in range(3):
        server.expect_request(f"/{step}").respond_with_data(
            status=302, headers={"Location": f"/{step + 1}"}
        )
    server.expect_request("/3").respond_with_data("there")
    answer = fetch_blocking("GET", server.url_for("/0"), redirects=3)
    assert (answer.body, answer.url) == (b"there", server.url_for("/3"))
    with pytest.raises(EgressFailedError, match="more than 2 times"):
        fetch_blocking("GET", server.url_for("/0"), redirects=2)


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", "x"),
        (308, "POST", "x"),
    ],
)
def test_a_redirected_post(status, method, body, server, echoed) -> None:
    server.expect_request("/a").respond_with_data(
        status=status, headers={"Location": "/echo"}
    )
    got = json.loads(
        fetch_blocking("POST", server.url_for("/a"), content="x", redirects=1).body
    )
    assert (got["method"], got["body"]) == (method, body)


def test_secrets_stay_with_the_host_they_were_meant_for(
    server, settings, echoed
) -> None:
    secrets = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "k"}
    with Listener(ok) as other:
        settings.OUTBOUND_ALLOW = ["127.0.0.1"]
        server.expect_request("/away").respond_with_data(
            status=307, headers={"Location": other.url}
        )
        server.expect_request("/here").respond_with_data(
            status=307, headers={"Location": "/echo"}
        )
        url = server.url_for("/away")
        headers = {**secrets, "Accept": "text/plain"}
        fetch_blocking("GET", url, headers=headers, redirects=1)
        head = other.heads[0].lower()
    assert b"accept: text/plain" in head
    assert b"bearer" not in head
    assert b"cookie" not in head
    assert b"x-api-key" not in head
    here = fetch_blocking("GET", server.url_for("/here"), headers=secrets, redirects=1)
    assert json.loads(here.body)["headers"]["authorization"] == "Bearer x"


# --- Caps ---


def test_a_server_that_drips_ends_at_the_total_time(settings) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    with Listener(drip) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]
        began = time.monotonic()
        with pytest.raises(EgressTimeoutError, match=r"within 0\.5 seconds"):
            fetch_blocking("GET", server.url, timeout_seconds=0.5)
        assert time.monotonic() - began < 2


def test_a_server_that_drips_its_headers_ends_at_the_total_time(settings) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            connection.sendall(b"X-%d: y\r\n" % number)
            time.sleep(0.1)

    with Listener(drip) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]
        with pytest.raises(EgressTimeoutError):
            fetch_blocking("GET", server.url, timeout_seconds=0.5)


def test_redirects_share_the_total_time(settings) -> None:
    def slow(connection: socket.socket) -> None:
        time.sleep(0.2)
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
        )

    with Listener(slow) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]
        with pytest.raises(EgressTimeoutError):
            fetch_blocking("GET", server.url, timeout_seconds=0.5, redirects=10)
        assert len(server.heads) <= 4


def respond(body: bytes, *headers: str) -> Callable[[socket.socket], None]:
    head = "".join(f"{header}\r\n" for header in headers)

    def answer(connection: socket.socket) -> None:
        connection.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode()
            + body
        )

    return answer


def fetched_from(answer: Callable[[socket.socket], None], settings, **options: object):
    with Listener(answer) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]
        return fetch_blocking("GET", server.url, timeout_seconds=5, **options)


def test_an_answer_may_be_as_large_as_the_cap_and_no_larger(settings) -> None:
    assert (
        len(fetched_from(respond(b"x" * 1000), settings, max_bytes=1000).body) == 1000
    )
    with pytest.raises(TooLargeError, match="larger than 999 bytes"):
        fetched_from(respond(b"x" * 1000), settings, max_bytes=999)


def test_an_endless_answer_is_cut_at_the_cap(settings) -> None:
    sent = 0

    def endless(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            sent += 10_000

    with pytest.raises(TooLargeError):
        fetched_from(endless, settings, max_bytes=50_000)
    assert sent < 20_000_000


GZIP = "Content-Encoding: gzip"


def test_a_gzip_bomb_is_refused_at_the_cap(settings) -> None:
    bomb = gzipped(b"\0" * 200_000_000, 9)
    assert len(bomb) < 1_000_000
    began = time.process_time()
    with pytest.raises(TooLargeError):
        fetched_from(respond(bomb, GZIP), settings)
    assert time.process_time() - began < 0.5


def test_a_bomb_of_many_small_members_is_refused(settings) -> None:
    members = gzipped(b"\0" * 10_000) * 2_000
    with pytest.raises(TooLargeError):
        fetched_from(respond(members, GZIP), settings)


def test_bytes_behind_the_compressed_body_count_too(settings) -> None:
    padded = gzipped(b"") * 100_000
    with pytest.raises(TooLargeError):
        fetched_from(respond(padded, GZIP), settings)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzipped(b"hello" * 50_000), "gzip"),
        (gzipped(b"hello" * 25_000) + gzipped(b"hello" * 25_000), "gzip"),
        (gzipped(b"hello" * 50_000), "X-GZip"),
        (zlib.compress(b"hello" * 50_000), "deflate"),
        (b"hello" * 50_000, "identity"),
    ],
)
def test_a_compressed_answer_is_unpacked(body, encoding, settings) -> None:
    answer = fetched_from(respond(body, f"Content-Encoding: {encoding}"), settings)
    assert answer.body == b"hello" * 50_000


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"not gzip at all", "gzip"),
        (gzipped(b"hello" * 1000)[:-12], "gzip"),
        (gzipped(gzipped(b"x")), "gzip, gzip"),
        (b"x", "br"),
        (b"x", "zstd"),
        (b"x", "unknown"),
    ],
)
def test_a_damaged_or_unasked_compression_fails(body, encoding, settings) -> None:
    with pytest.raises(EgressFailedError):
        fetched_from(respond(body, f"Content-Encoding: {encoding}"), settings)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_what_is_not_http_fails_with_a_sentence(raw, settings) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_RDWR)

    with pytest.raises(EgressFailedError):
        fetched_from(answer, settings)


def test_a_closed_port_fails_with_a_sentence(settings) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with Listener(ok) as server:
        url = server.url
    with pytest.raises(EgressFailedError, match=r"Could not connect to 127\.0\.0\.1"):
        fetch_blocking("GET", url)


# --- TLS ---


@pytest.fixture
def tls(tmp_path, monkeypatch) -> ssl.SSLContext:
    """A server's context for api.example.com, whose authority we trust during the test."""
    certificate, key = make_certificate(tmp_path, "api.example.com")
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(egress, "_ssl_context", lambda: trusting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_tls_names_and_verifies_the_host_of_the_url(tls, settings, monkeypatch) -> None:
    named: list[str | None] = []
    tls.sni_callback = lambda connection, name, context: named.append(name)
    monkeypatch.setattr(egress, "look_up", answering("127.0.0.1"))
    with Listener(ok, tls=tls) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]

        async def both() -> None:
            answer = await egress.fetch(
                "GET", f"https://api.example.com:{server.port}/"
            )
            assert answer.body == b"ok"
            with pytest.raises(EgressFailedError, match="certificate is not valid"):
                await egress.fetch("GET", f"https://other.example.com:{server.port}/")

        asyncio.run(both())
        assert named == ["api.example.com", "other.example.com"]
        assert f"Host: api.example.com:{server.port}".encode() in server.heads[0]
        assert len(server.heads) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path, settings, monkeypatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path, "api.example.com"))
    monkeypatch.setattr(egress, "look_up", answering("127.0.0.1"))
    with Listener(ok, tls=context) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]
        with pytest.raises(EgressFailedError, match="certificate is not valid"):
            fetch_blocking("GET", f"https://api.example.com:{server.port}/")
        assert server.heads == []


# --- Connections ---


def test_connections_are_reused_within_a_loop(settings) -> None:
    with Listener(ok) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]

        async def several() -> None:
            for _ in range(20):
                await egress.fetch("GET", server.url)

        asyncio.run(several())
        assert (server.connections, len(server.heads)) == (1, 20)
        for _ in range(20):
            fetch_blocking("GET", server.url)
        assert server.connections == 2


def test_loops_that_end_leave_nothing_behind(settings) -> None:
    with Listener(ok) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]

        async def once() -> None:
            await egress.fetch("GET", server.url)
            await egress.aclose()

        async def leaving_it_open() -> None:
            await egress.fetch("GET", server.url)

        for _ in range(5):
            asyncio.run(once())
            asyncio.run(leaving_it_open())
        asyncio.run(once())
        assert [loop for loop in egress._pools if loop.is_closed()] == []
        assert server.connections == 11


def test_cookies_of_one_answer_are_not_sent_with_the_next_request(settings) -> None:
    with Listener(respond(b"ok", "Set-Cookie: session=secret; Path=/")) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]

        async def twice() -> None:
            async with egress.async_client() as client:
                for _ in range(2):
                    await client.get(server.url)
                    await egress.fetch("GET", server.url)

        asyncio.run(twice())
        assert len(server.heads) == 4
        assert all(b"secret" not in head for head in server.heads)


def test_urls_and_headers_are_not_logged(settings, caplog) -> None:
    with Listener(ok) as server, caplog.at_level(logging.DEBUG):
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]
        fetch_blocking("GET", f"{server.url}?key=canary", headers={"X-Key": "canary"})
        by_client(f"{server.url}?key=canary", settings)
    assert len(server.heads) == 2
    assert "canary" not in caplog.text


# --- The client for SDKs ---


def by_client(url: str, settings, **options: float):
    async def get() -> httpx2.Response:
        async with egress.async_client(**options) as client:
            return await client.get(url)

    return asyncio.run(get())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "[::1]", "localhost", "169.254.169.254"]
)
def test_the_client_refuses_what_fetch_refuses(
    host, canaries, settings, any_port
) -> None:
    canary, _ = canaries
    with pytest.raises(EgressError):
        by_client(f"https://{host}:{canary.port}/", settings)
    assert canary.connections == 0


def test_the_client_judges_each_hop_that_an_sdk_follows(
    server, canaries, settings
) -> None:
    canary, _ = canaries
    server.expect_request("/a").respond_with_data(
        status=307, headers={"Location": canary.url}
    )

    async def follow() -> None:
        async with egress.async_client() as client:
            await client.get(server.url_for("/a"), follow_redirects=True)

    with pytest.raises(EgressError):
        asyncio.run(follow())
    assert canary.connections == 0


def test_the_client_reads_and_streams_unpacked_answers(settings) -> None:
    body = gzipped(b"data: 1\n\n" * 1000)
    with Listener(respond(body, GZIP)) as server:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}"]
        assert by_client(server.url, settings).text == "data: 1\n\n" * 1000

        async def stream() -> int:
            async with (
                egress.async_client() as client,
                client.stream("GET", server.url) as response,
            ):
                return len([line async for line in response.aiter_lines() if line])

        assert asyncio.run(stream()) == 1000


def test_the_client_has_caps_on_the_whole_answer(settings) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    bomb = gzipped(b"\0" * 50_000_000, 9)
    with Listener(drip) as slow, Listener(respond(bomb, GZIP)) as large:
        settings.OUTBOUND_ALLOW = ["127.0.0.1"]
        with pytest.raises(httpx2.TimeoutException):
            by_client(slow.url, settings, timeout_seconds=0.5)
        with pytest.raises(TooLargeError):
            by_client(large.url, settings, max_bytes=1_000_000)


def test_the_client_fails_as_sdks_expect_it(settings, monkeypatch) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with Listener(ok) as server:
        url = server.url
    with pytest.raises(httpx2.ConnectError):
        by_client(url, settings)
    monkeypatch.setattr(egress, "look_up", answering())
    with pytest.raises(httpx2.ConnectError, match="could not be found"):
        by_client("https://nowhere.example.com/", settings)
