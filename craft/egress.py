"""Every outgoing request leaves by this door: webhooks, the http node, stores, model SDKs, channels.

A tenant chooses the URL, so the question is never whether a URL looks harmless but which address is dialled. A host is looked up once, *every* address
that comes back is judged, and the connection goes to a judged address itself: there is no second look-up that could answer differently. This happens in
the network backend below httpx2's connection pools, so nothing above it (a redirect, an SDK, a pooled connection) can dial an address unjudged.

`settings.OUTBOUND_ALLOW` names exceptions, each `host`, `address` or `CIDR`, with or without `:port`. What it names may also be plain http and, where it
names no port, any port.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json as jsonlib
import logging
import os
import re
import socket
import ssl
import threading
import zlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

import httpcore2
import httpx2  # noqa: TID251 - this is the one place
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from craft.exceptions import DomainError

logger = logging.getLogger(__name__)

T = TypeVar("T")

HTTPS_PORTS = frozenset({443, 8443})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_URL_CHARACTERS = 8_192
LOOKUP_SECONDS = 5.0
MAX_ADDRESSES_DIALLED = 4
USER_AGENT = "Craft/1.0"
ASK_THE_OPERATOR = "or ask the operator to allow it (CRAFT_OUTBOUND_ALLOW)"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
QueryValue = str | int | float | bool | None
Query = Mapping[str, QueryValue | list[QueryValue]]


class EgressError(DomainError):
    """The URL or the address behind it is not allowed; the subclasses are requests that were allowed and failed."""

    code: ClassVar[str] = "egress_refused"


class EgressTimeoutError(EgressError):
    code = "egress_timeout"
    status_code = 504


class EgressFailedError(EgressError):
    code = "egress_failed"
    status_code = 502


class TestModeError(EgressError):
    """The request would have left a sandbox."""

    code = "test_mode"
    status_code = 403


class TooLargeError(EgressError):
    code = "egress_too_large"
    status_code = 502


@dataclass(frozen=True)
class Fetched:
    status: int
    headers: dict[str, str]
    """Names in lower case; a repeated header's values are joined by commas."""
    body: bytes
    url: str
    """Where the answer came from, after redirects."""

    @property
    def text(self) -> str:
        charset = re.search(
            r"charset=\"?([\w.:-]+)", self.headers.get("content-type", "")
        )
        try:
            return self.body.decode(charset[1] if charset else "utf-8", "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


# --- Which addresses are public ---

# Python's `is_global` is True for many of these (NAT64, 6to4, multicast, the cloud metadata addresses in public space), so the list is our own.
NOT_PUBLIC_V4: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network; Linux dials loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata is 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform address
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata is 192.0.0.192
        "192.0.2.0/24",
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Only 2000::/3 is handed out as public; of the rest (mapped, compatible, NAT64 64:ff9b::/96, discard, SRv6 5f00::/16, fc00::/7, fe80::/10, fec0::/10,
# ff00::/8) nothing is dialled. Within it, these are not hosts of the public internet, or carry an IPv4 address that a router would take out again.
PUBLIC_V6 = ipaddress.ip_network("2000::/3")
NOT_PUBLIC_V6: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "2001::/23",  # Teredo, benchmarking, ORCHID and other protocol assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)


def is_public(address: Address) -> bool:
    if address.version == 4:
        return not any(address in network for network in NOT_PUBLIC_V4)
    return address in PUBLIC_V6 and not any(
        address in network for network in NOT_PUBLIC_V6
    )


def is_this_machine(address: Address) -> bool:
    """Whether a public address is our own: what listens on it may count on a firewall in front of it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))  # no packet: it only picks a route
            own = probe.getsockname()[0]
    except OSError:
        return False
    return ipaddress.ip_address(own.partition("%")[0]) == address


# --- What the operator has excepted ---


@dataclass(frozen=True)
class Allowance:
    host: str | None
    network: Network | None
    port: int | None

    def is_for_port(self, port: int) -> bool:
        return self.port is None or self.port == port

    def covers(self, host: str, address: Address | None, port: int) -> bool:
        if not self.is_for_port(port):
            return False
        if self.network is None:
            return self.host == host
        return address is not None and address in self.network


ALLOWANCE = re.compile(
    r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)


@functools.lru_cache(maxsize=16)
def parse_allowances(entries: tuple[str, ...]) -> tuple[Allowance, ...]:
    return tuple(_parse_allowance(entry.strip().lower()) for entry in entries if entry)


def _parse_allowance(entry: str) -> Allowance:
    match = ALLOWANCE.fullmatch(entry)
    subject = (match["v6"] or match["name"]) if match else entry
    port = int(match["port"]) if match and match["port"] else None
    try:
        return Allowance(None, ipaddress.ip_network(subject), port)
    except ValueError:
        if match is None or match["v6"] or _host_fault(subject):
            raise ImproperlyConfigured(
                f"CRAFT_OUTBOUND_ALLOW: {entry!r} is not a host, an address, a CIDR range, host:port or address:port."
            ) from None
    return Allowance(subject, None, port)


def _allowances() -> tuple[Allowance, ...]:
    return parse_allowances(tuple(settings.OUTBOUND_ALLOW))


# --- Test mode: nothing leaves ---

_is_test: ContextVar[bool] = ContextVar("is_test", default=False)


@contextmanager
def test_mode(is_on: bool) -> Iterator[None]:
    """Whether what is done inside is done in a sandbox, from which nothing leaves but to the hosts of `settings.SANDBOX_ALLOW`."""
    token = _is_test.set(is_on)
    try:
        yield
    finally:
        _is_test.reset(token)


def enter_test_mode() -> None:
    """For the rest of this request or task."""
    _is_test.set(True)


def is_test_mode() -> bool:
    return _is_test.get()


def refuse_in_test_mode(what: str) -> None:
    """For what leaves by another door, such as mail."""
    if is_test_mode():
        raise TestModeError(
            f"{what} is not sent in test mode: nothing leaves a sandbox. Use a live key."
        )


def _keep_inside(host: str, port: int) -> None:
    if not is_test_mode():
        return
    allowances = parse_allowances(tuple(settings.SANDBOX_ALLOW))
    if not any(one.covers(host, _literal(host), port) for one in allowances):
        raise TestModeError(
            f"Nothing leaves a sandbox, so {host} was not called. Use a live key, or ask the operator to open it for test mode (CRAFT_SANDBOX_ALLOW)."
        )


# --- Judging ---

LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
NUMBER_AT_THE_END = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$")
LOCAL_NAME = re.compile(
    r"[^.]*|.*\.(?:localhost|localdomain|local|internal|intranet|lan|home|corp|private|home\.arpa)"
)


def judge(
    host: str,
    port: int,
    address: Address,
    allowances: tuple[Allowance, ...],
    scheme: str | None = None,
) -> None:
    """Raise EgressError unless this address may be dialled for this host and port. Without a scheme, as for a database, any port of a public address may."""
    if any(allowance.covers(host, address, port) for allowance in allowances):
        return
    if not is_public(address) or is_this_machine(address):
        logger.warning("egress refused %s: it leads to %s", host, address)
        raise EgressError(
            f"{host} is not a public address. Use one that is, {ASK_THE_OPERATOR}."
        )
    if scheme is not None:
        _judge_scheme_and_port(scheme, port)


def _judge_scheme_and_port(scheme: str, port: int) -> None:
    if scheme != "https":
        raise EgressError(
            f"Plain http is not allowed here. Use https, {ASK_THE_OPERATOR}."
        )
    if port not in HTTPS_PORTS:
        raise EgressError(
            f"Port {port} is not allowed. Use 443 or 8443, {ASK_THE_OPERATOR}."
        )


def _judge_unresolved(
    scheme: str, host: str, port: int, allowances: tuple[Allowance, ...]
) -> None:
    """What can be said before a look-up. A name that might lead to an excepted address is left for the dial."""
    if (address := _literal(host)) is not None:
        return judge(host, port, address, allowances, scheme)
    if any(
        allowance.is_for_port(port)
        and (allowance.host == host or allowance.network is not None)
        for allowance in allowances
    ):
        return None
    if LOCAL_NAME.fullmatch(host):
        raise EgressError(
            f"{host} is not a public host name. Use one that is, {ASK_THE_OPERATOR}."
        )
    return _judge_scheme_and_port(scheme, port)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _host_fault(host: str) -> str:
    """Why this is no host to dial, or nothing. Resolvers read 127.1, 0x7f.1, 2130706433 and 0177.0.0.1 as addresses, so a number must be a plain address."""
    if not host:
        return "The URL names no host."
    if (address := _literal(host)) is not None:
        scoped = isinstance(address, ipaddress.IPv6Address) and address.scope_id
        return "The URL's host may not name a network zone." if scoped else ""
    if host.endswith("."):
        return "Leave out the dot at the end of the URL's host."
    if len(host) > 253 or not all(LABEL.fullmatch(label) for label in host.split(".")):
        return f"{host[:100]!r} is not a valid host name."
    if NUMBER_AT_THE_END.search(host):
        return f"{host!r} is not a valid address. Write it as four numbers from 0 to 255, without leading zeros."
    return ""


def _host_of(url: httpx2.URL) -> str:
    return url.raw_host.decode("ascii").lower()


def _port_of(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


START = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)", re.IGNORECASE)
AUTHORITY = re.compile(r"(?:\[[^\[\]]*\]|[^\[\]:\\\s]*)(?::(?P<port>[0-9]{1,5})?)?")
NOT_A_URL = "The URL is not valid. Check its host and port."


def _parse(url: str) -> httpx2.URL:
    """The one reading of a URL: it must be spelled so that nobody can misread it, and what is judged here is what is sent."""
    if not url or not isinstance(url, str):
        raise EgressError("A URL is missing.")
    if len(url) > MAX_URL_CHARACTERS:
        raise EgressError(
            f"The URL is longer than {MAX_URL_CHARACTERS:,} characters. Send long values in the body."
        )
    if not url.isprintable() or url != url.strip():
        raise EgressError(
            "The URL holds control characters, or spaces around it. Take them out."
        )
    if (start := START.match(url)) is None:
        raise EgressError("The URL must begin with https://.")
    if "@" in start["authority"]:
        raise EgressError(
            "The URL may not carry a user name or password. Send them in the Authorization header."
        )
    authority = AUTHORITY.fullmatch(start["authority"])
    if authority is None or not 0 < int(authority["port"] or 1) < 65_536:
        raise EgressError(NOT_A_URL)
    try:
        parsed = httpx2.URL(url.partition("#")[0])
    except (httpx2.InvalidURL, ValueError):
        raise EgressError(NOT_A_URL) from None
    if fault := _host_fault(_host_of(parsed)):
        raise EgressError(fault)
    return parsed


def check_url(url: str) -> None:
    """What can be told of a URL when it is saved, without a look-up; sending judges it again, with the address that it leads to."""
    parsed = _parse(url)
    _judge_unresolved(parsed.scheme, _host_of(parsed), _port_of(parsed), _allowances())


# --- Looking up and dialling ---


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, by the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@functools.lru_cache(maxsize=1)
def _lookup_threads(process: int) -> ThreadPoolExecutor:
    """Threads of their own, so that slow name servers of one tenant hold up nothing but look-ups. By process: threads don't survive a fork."""
    return ThreadPoolExecutor(max_workers=32, thread_name_prefix="egress-lookup")


async def resolve(
    host: str,
    port: int,
    allowances: tuple[Allowance, ...],
    scheme: str | None = None,
) -> list[Address]:
    """The judged addresses of a host, or EgressError if any of them may not be dialled."""
    if (literal := _literal(host)) is not None:
        addresses = [literal]
    else:
        found = await _looked_up(host, port)
        addresses = [ipaddress.ip_address(address) for address in found]
    for address in addresses:
        judge(host, port, address, allowances, scheme)
    return addresses


async def _looked_up(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            found = await loop.run_in_executor(
                _lookup_threads(os.getpid()), look_up, host, port
            )
    except TimeoutError:
        raise EgressTimeoutError(
            f"The name server did not answer for {host}. Try again in a moment."
        ) from None
    except (OSError, UnicodeError):
        raise EgressFailedError(
            f"{host} could not be found. Check its spelling."
        ) from None
    if not found:
        raise EgressFailedError(f"{host} could not be found. Check its spelling.")
    return found


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Dials judged addresses only. A pool has one per scheme, because a dial is not told the scheme of its request."""

    def __init__(self, scheme: str, allowances: tuple[Allowance, ...]) -> None:
        self.scheme = scheme
        self.allowances = allowances
        self.dialler = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await resolve(host, port, self.allowances, self.scheme)
        *others, last = addresses[:MAX_ADDRESSES_DIALLED]
        for address in others:
            try:
                return await self.dialler.connect_tcp(str(address), port, timeout=3)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self.dialler.connect_tcp(str(last), port, timeout=timeout)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise EgressError("Unix sockets are not dialled.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


# --- Connections, kept per event loop ---


class Pools:
    """The connections of one event loop, all dialled under the same allowances."""

    def __init__(self, allowances: tuple[Allowance, ...]) -> None:
        # They log whole URLs and headers, and those may carry keys.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.allowances = allowances
        self.by_scheme = {
            scheme: httpcore2.AsyncConnectionPool(
                ssl_context=_ssl_context(),
                max_connections=1_000,
                max_keepalive_connections=100,
                keepalive_expiry=5,
                network_backend=GuardedBackend(scheme, allowances),
            )
            for scheme in ("http", "https")
        }

    async def aclose(self) -> None:
        for pool in self.by_scheme.values():
            await pool.aclose()


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pools] = WeakKeyDictionary()
_pools_lock = threading.Lock()


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def _pools_of_this_loop() -> Pools:
    loop, allowances = asyncio.get_running_loop(), _allowances()
    pools = _pools.get(loop)
    if pools is None or pools.allowances != allowances:
        with _pools_lock:
            for ended in [kept for kept in _pools if kept.is_closed()]:
                del _pools[ended]  # its connections hold the loop itself
            pools = _pools[loop] = Pools(allowances)
    return pools


async def aclose() -> None:
    """Close this event loop's idle connections. A loop that is about to end may call it; nothing is lost if it doesn't."""
    with _pools_lock:
        pools = _pools.pop(asyncio.get_running_loop(), None)
    if pools:
        await pools.aclose()


# --- Sending and reading ---

# The transport's own business, or a way to make two servers read one request differently.
OUR_HEADERS = frozenset(
    b"host content-length transfer-encoding connection upgrade te trailer keep-alive expect accept-encoding".split()
)
HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
HEADER_VALUE = re.compile(rb"[\t\x20-\x7e]{0,16384}")
KEPT_ACROSS_HOSTS = frozenset(
    {"accept", "accept-language", "content-type", "user-agent"}
)


async def _exchange(request: httpx2.Request) -> httpcore2.Response:
    url = request.url
    pools = _pools_of_this_loop()
    _keep_inside(_host_of(url), _port_of(url))
    _judge_unresolved(url.scheme, _host_of(url), _port_of(url), pools.allowances)
    request.headers["Accept-Encoding"] = "gzip"
    return await pools.by_scheme[url.scheme].handle_async_request(
        httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=url.raw_scheme,
                host=url.raw_host,
                port=url.port,
                target=url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
    )


async def _read(
    response: httpcore2.Response, max_bytes: int, deadline: float | None = None
) -> AsyncIterator[bytes]:
    """The decoded body, in pieces, counted both as it arrives and as it unpacks."""
    decoder = _decoder(response)
    arrived = unpacked = 0
    async with aclosing(response.aiter_stream()) as stream:
        while (raw := await _next(stream, deadline)) is not None:
            arrived += len(raw)
            for piece in decoder.decode(raw) if decoder else (raw,):
                unpacked += len(piece)
                if unpacked > max_bytes:
                    raise _too_large(max_bytes)
                yield piece
            if arrived > max_bytes:
                raise _too_large(max_bytes)
    if decoder and arrived and not decoder.is_complete:
        raise EgressFailedError("The answer broke off. Try again in a moment.")


async def _next(stream: AsyncIterator[bytes], deadline: float | None) -> bytes | None:
    async with asyncio.timeout_at(deadline):
        return await anext(stream, None)


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"The answer is larger than {max_bytes:,} bytes. Ask for less of it."
    )


class Decoder:
    """gzip and zlib, in pieces of bounded size; a gzip body may be several members."""

    def __init__(self) -> None:
        self.member = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self.is_complete = False

    def decode(self, raw: bytes) -> Iterable[bytes]:
        while raw or not self.is_complete:
            if self.is_complete:
                self.member = zlib.decompressobj(zlib.MAX_WBITS | 32)
                self.is_complete = False
            try:
                piece = self.member.decompress(raw, 65_536)
            except zlib.error:
                raise EgressFailedError(
                    "The answer's compression is damaged. Try again in a moment."
                ) from None
            self.is_complete = self.member.eof
            raw = (
                self.member.unused_data
                if self.is_complete
                else self.member.unconsumed_tail
            )
            if piece:
                yield piece
            elif not raw:
                return


def _decoder(response: httpcore2.Response) -> Decoder | None:
    encodings = [
        value for name, value in response.headers if name.lower() == b"content-encoding"
    ]
    encoding = b",".join(encodings).strip().lower()
    if encoding in (b"", b"identity"):
        return None
    if encoding in (b"gzip", b"x-gzip", b"deflate"):
        return Decoder()
    raise EgressFailedError(
        "The server answered in a compression that it was not asked for."
    )


def _build_request(
    method: str,
    url: httpx2.URL,
    headers: Mapping[str, str] | None,
    content: bytes | str | None,
    json: Any,
) -> httpx2.Request:
    if method not in METHODS:
        raise EgressError(
            f"{str(method)[:20]!r} is not one of {', '.join(sorted(METHODS))}."
        )
    if json is not None:
        try:
            content = jsonlib.dumps(
                json, ensure_ascii=False, allow_nan=False, separators=(",", ":")
            ).encode()
        except (TypeError, ValueError, RecursionError):
            raise EgressError("The body can't be written as JSON.") from None
    if isinstance(content, str):
        content = _encoded(content)
    request = httpx2.Request(method, url, content=content, extensions={"timeout": {}})
    request.headers["User-Agent"] = USER_AGENT
    request.headers["Accept"] = "*/*"
    if json is not None:
        request.headers["Content-Type"] = "application/json"
    for name, value in (headers or {}).items():
        request.headers[name] = _checked_header(name, value)
    return request


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise EgressError(
            "The body holds half a character; it can't be sent."
        ) from None


def _checked_header(name: str, value: str) -> str:
    raw_name = str(name).encode(errors="surrogatepass")
    raw_value = str(value).encode(errors="surrogatepass")
    if not HEADER_NAME.fullmatch(raw_name):
        raise EgressError(f"{str(name)[:100]!r} is not a valid header name.")
    if raw_name.lower() in OUR_HEADERS or raw_name.lower().startswith(b"proxy-"):
        raise EgressError(f"The header {name} is set by Craft. Take it out.")
    if not HEADER_VALUE.fullmatch(raw_value):
        raise EgressError(
            f"The header {name} may only hold printable ASCII characters, at most 16,384."
        )
    return str(value).strip()


def _with_params(url: httpx2.URL, params: Query) -> str:
    try:
        return str(url.copy_merge_params(dict(params)))
    except (httpx2.InvalidURL, UnicodeEncodeError):
        raise EgressError("The query is too long, or holds half a character.") from None


async def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Query | None = None,
    content: bytes | str | None = None,
    json: Any = None,
    timeout_seconds: float = 15,
    max_bytes: int = 1_000_000,
    redirects: int = 0,
) -> Fetched:
    """Send a request and read its answer, whatever its status. The time is for all of it: look-up, redirects and body."""
    target = _parse(url)
    if params:
        target = _parse(_with_params(target, params))
    request = _build_request(method, target, headers, content, json)
    host = _host_of(target)
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _follow(request, max_bytes, redirects)
    except (TimeoutError, httpcore2.TimeoutException):
        raise EgressTimeoutError(
            f"{host} did not answer within {timeout_seconds:g} seconds."
        ) from None
    except httpcore2.ConnectError as error:
        reason = (
            "Its certificate is not valid."
            if isinstance(error.__cause__ or error.__context__, ssl.SSLError)
            else "Check that it is up and listens on this port."
        )
        raise EgressFailedError(f"Could not connect to {host}. {reason}") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise EgressFailedError(
            f"The connection to {host} broke off, or what came was not HTTP."
        ) from error


async def _follow(request: httpx2.Request, max_bytes: int, redirects: int) -> Fetched:
    for hops_left in range(redirects, -1, -1):
        response = await _exchange(request)
        try:
            answer = httpx2.Headers(response.headers)
            if redirects and response.status in (301, 302, 303, 307, 308):
                if "location" in answer and hops_left:
                    request = _redirected(request, response.status, answer["location"])
                    continue
                if "location" in answer:
                    raise EgressFailedError(
                        f"{_host_of(request.url)} redirected more than {redirects} times."
                    )
            body = b"".join([piece async for piece in _read(response, max_bytes)])
        finally:
            await response.aclose()
        return Fetched(response.status, dict(answer), body, str(request.url))
    raise AssertionError("unreachable")


def _redirected(request: httpx2.Request, status: int, location: str) -> httpx2.Request:
    try:
        target = _parse(str(request.url.join(location)))
    except httpx2.InvalidURL:
        raise EgressError(
            "The server redirected to something that is no URL."
        ) from None
    kept = {
        name: value
        for name, value in request.headers.items()
        if name.encode() not in OUR_HEADERS
    }
    if (target.scheme, _host_of(target), _port_of(target)) != (
        request.url.scheme,
        _host_of(request.url),
        _port_of(request.url),
    ):
        kept = {name: kept[name] for name in kept if name in KEPT_ACROSS_HOSTS}
    method, content = request.method, request.content
    if status == 303 or (status in (301, 302) and method == "POST"):
        method, content = "HEAD" if method == "HEAD" else "GET", b""
        kept.pop("content-type", None)
    return _build_request(method, target, kept, content or None, None)


# --- For callers that can't await, and for SDKs ---


@functools.lru_cache(maxsize=1)
def _background_loop(process: int) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="egress", daemon=True).start()
    return loop


def fetch_blocking(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Query | None = None,
    content: bytes | str | None = None,
    json: Any = None,
    timeout_seconds: float = 15,
    max_bytes: int = 1_000_000,
    redirects: int = 0,
) -> Fetched:
    """`fetch` for callers without an event loop: it runs on one that this process keeps in a thread, so connections are reused."""
    call = fetch(
        method,
        url,
        headers=headers,
        params=params,
        content=content,
        json=json,
        timeout_seconds=timeout_seconds,
        max_bytes=max_bytes,
        redirects=redirects,
    )
    return run_blocking(call)


def run_blocking(call: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives, for callers without an event loop."""
    return asyncio.run_coroutine_threadsafe(
        call, _background_loop(os.getpid())
    ).result()


def resolve_blocking(host: str, port: int) -> list[str]:
    """For drivers that dial by themselves, such as a database's: the judged addresses of a host. Dial one of them, never the name."""
    if fault := _host_fault(host.lower()):
        raise EgressError(fault)
    _keep_inside(host.lower(), port)
    addresses = run_blocking(resolve(host.lower(), port, _allowances()))
    return [str(address) for address in addresses]


TLSError = ssl.SSLError


def tls_context() -> ssl.SSLContext:
    """For drivers that speak TLS by themselves: certificates are checked, as for every request."""
    return _ssl_context()


def connect_blocking(
    host: str, port: int, *, timeout_seconds: float, with_tls: bool = False
) -> socket.socket:
    """For protocols that are not HTTP: a connection to one of the judged addresses of a host."""
    addresses = resolve_blocking(host, port)[:MAX_ADDRESSES_DIALLED]
    for place, address in enumerate(addresses, start=1):
        try:
            found = socket.create_connection((address, port), timeout_seconds)
            break
        except OSError:
            if place == len(addresses):
                raise
    if not with_tls:
        return found
    try:
        return tls_context().wrap_socket(found, server_hostname=host)
    except BaseException:
        found.close()
        raise


def refuse_unencrypted(host: str, port: int) -> None:
    """Raise EgressError for a connection without TLS, unless the operator has excepted where it leads."""
    allowances = _allowances()
    for address in resolve_blocking(host, port):
        literal = ipaddress.ip_address(address)
        if not any(one.covers(host.lower(), literal, port) for one in allowances):
            raise EgressError(
                f"A connection to {host} without TLS is not allowed. Use TLS, {ASK_THE_OPERATOR}."
            )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """For an httpx2 client that someone else's SDK holds. Fails with httpx2's own errors, but for EgressError where a request is refused."""

    def __init__(self, timeout_seconds: float, max_bytes: int) -> None:
        self.timeout_seconds = timeout_seconds
        self.max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        _parse(str(request.url))
        deadline = asyncio.get_running_loop().time() + self.timeout_seconds
        try:
            async with asyncio.timeout_at(deadline):
                response = await _exchange(request)
        except Exception as error:
            raise _as_httpx2(error) from error
        return httpx2.Response(
            response.status,
            headers=[
                (name, value)
                for name, value in response.headers
                if name.lower() not in (b"content-encoding", b"content-length")
            ],
            stream=_Body(response, self.max_bytes, deadline),
            extensions=response.extensions,
        )


class _Body(httpx2.AsyncByteStream):
    def __init__(
        self, response: httpcore2.Response, max_bytes: int, deadline: float
    ) -> None:
        self.response = response
        self.max_bytes = max_bytes
        self.deadline = deadline

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in _read(self.response, self.max_bytes, self.deadline):
                yield piece
        except Exception as error:
            raise _as_httpx2(error) from error

    async def aclose(self) -> None:
        await self.response.aclose()


def _as_httpx2(error: Exception) -> Exception:
    if isinstance(error, EgressTimeoutError | TimeoutError):
        return httpx2.ReadTimeout("The request took too long.")
    if isinstance(error, EgressFailedError):
        return httpx2.ConnectError(error.message)
    kind = getattr(httpx2, type(error).__name__, None)
    if isinstance(kind, type) and issubclass(kind, httpx2.TransportError):
        return kind("The connection failed.")
    return error


def async_client(
    timeout_seconds: float = 60, max_bytes: int = 10_000_000
) -> httpx2.AsyncClient:
    """A guarded client for model SDKs. Time and size are caps on each whole answer, streamed or not. It owns no connections: not closing it leaks nothing."""
    return httpx2.AsyncClient(
        transport=GuardedTransport(timeout_seconds, max_bytes),
        timeout=timeout_seconds,
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )
