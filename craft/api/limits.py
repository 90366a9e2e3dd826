"""Rate limits: GCRA per company and window, exact across processes on Redis and within the one process of the embedded default.

A company's windows come from its plan; a call without a key counts per address. Every answer reports the window that has, in proportion, the least
left. With Redis gone the limit is kept per process: still bounded, and nobody is turned away for our trouble.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from rest_framework.exceptions import PermissionDenied
from rest_framework.exceptions import Throttled as TooManyRequests
from throttled import (
    MemoryStore,
    Quota,
    RateLimiterType,
    RateLimitState,
    RedisStore,
    Throttled,
    per_day,
    per_hour,
    per_min,
)
from throttled.exceptions import StoreUnavailableError

from craft.api.envelopes import dialect_for, is_api_path

if TYPE_CHECKING:
    from accounts.models import Company

logger = logging.getLogger("craft.api")

T = TypeVar("T")

PERIODS = {"minute": per_min, "hour": per_hour, "day": per_day}
RETRY_REDIS_SECONDS = 2.0
CHARGED = "craft.rate"
"""In a request's META: it was counted before Django saw it, and this is its rate."""
REDIS_OPTIONS = {"SOCKET_TIMEOUT": 0.5, "SOCKET_CONNECT_TIMEOUT": 0.5}
"""A Redis that does not answer must not hold every call up."""


@dataclass(frozen=True)
class Window:
    """`limit` calls per `period` (minute, hour, day), of which `burst` may come at once."""

    period: str
    limit: int
    burst: int

    @property
    def quota(self) -> Quota:
        return PERIODS[self.period](self.limit, burst=self.burst)


@dataclass(frozen=True)
class Allowance:
    """What a company's plan allows. Without windows only this installation's own ceiling holds."""

    plan: str = ""
    has_api_access: bool = True
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True)
class Rate:
    """What the headers say."""

    limit: int
    remaining: int
    resets_at: int
    retry_after: float | None = None


def take(scope: str, windows: Sequence[Window], *, calls: int = 1) -> Rate:
    """Count calls of `scope`, all or none, in each window, of which there is one at least. The first window that refuses decides."""
    rates: list[Rate] = []
    for window in windows:
        rate = _take_from(scope, window, calls)
        if rate.retry_after is not None:
            return rate
        rates.append(rate)
    return min(rates, key=lambda rate: rate.remaining / rate.limit)


def peek(scope: str, window: Window) -> Rate:
    """As `take` would find it. Nothing is counted."""
    state = _ask(window, lambda throttle: throttle.peek(_key(scope, window)))
    quota = window.quota
    wait = math.ceil(state.reset_after - (quota.burst - 1) * quota.emission_interval)
    return _rate(window, state, retry_after=wait if wait > 0 else None)


def _take_from(scope: str, window: Window, calls: int) -> Rate:
    key = _key(scope, window)
    result = _ask(window, lambda throttle: throttle.limit(key, cost=calls))
    wait = max(1, math.ceil(result.state.retry_after)) if result.limited else None
    return _rate(window, result.state, retry_after=wait)


def _rate(window: Window, state: RateLimitState, *, retry_after: float | None) -> Rate:
    return Rate(
        limit=window.limit,
        remaining=min(state.remaining, window.limit),
        resets_at=math.ceil(time.time() + state.reset_after),
        retry_after=retry_after,
    )


def _key(scope: str, window: Window) -> str:
    return f"{scope}:{window.period}:{window.limit}:{window.burst}"


def _ask(window: Window, question: Callable[[Throttled], T]) -> T:
    """On Redis, or while that is gone in this process."""
    try:
        return question(_throttle(outage.store_url(), window))
    except StoreUnavailableError as error:
        outage.begin(error)
        return question(_throttle("", window))


class Outage:
    """Redis is gone: for a while nobody waits for it, and each process counts for itself."""

    def __init__(self) -> None:
        self._until = 0.0

    def begin(self, error: Exception) -> None:
        logger.warning(
            "rate limits fall back to this process: %s", type(error).__name__
        )
        self._until = time.monotonic() + RETRY_REDIS_SECONDS

    def end(self) -> None:
        self._until = 0.0

    def store_url(self) -> str:
        return "" if time.monotonic() < self._until else str(settings.REDIS_URL)


outage = Outage()


@cache
def _throttle(redis_url: str, window: Window) -> Throttled:
    return Throttled(
        using=RateLimiterType.GCRA.value, quota=window.quota, store=_store(redis_url)
    )


@cache
def _store(redis_url: str) -> Any:
    return (
        RedisStore(server=redis_url, options=REDIS_OPTIONS)
        if redis_url
        else MemoryStore(options={"MAX_SIZE": 100_000})
    )


@cache
def _allowance_of() -> Callable[[Company], Allowance]:
    found: Callable[[Company], Allowance] = import_string(settings.API_ALLOWANCE)
    return found


def ceiling() -> Window:
    """What this installation bears from one company whose plan sets no limit: high, and kept all the same."""
    limit = settings.API_CEILING_PER_MINUTE
    return Window("minute", limit, limit)


def address_of(request: HttpRequest) -> str:
    """The caller's address; behind a proxy the one that the proxy saw, which it puts last."""
    return address_in(request.META, is_behind_proxy=behind_proxy())


def behind_proxy() -> bool:
    return bool(settings.SECURE_PROXY_SSL_HEADER)


def address_in(meta: Mapping[str, Any], *, is_behind_proxy: bool) -> str:
    seen = meta.get("REMOTE_ADDR")
    if is_behind_proxy:
        seen = meta.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", 1)[-1].strip() or seen
    return str(seen or "unknown")


def charge_call(request: HttpRequest, company: Company | None) -> None:
    """Count the call once, against its company or its address; raise the 429 when nothing is left."""
    inner: Any = getattr(request, "_request", request)
    if getattr(inner, "rate_is_charged", False):
        return
    inner.rate_is_charged = True
    if CHARGED in inner.META:
        return
    if company is None:
        limit = settings.API_PUBLIC_PER_MINUTE
        rate = take(f"address:{address_of(inner)}", [Window("minute", limit, limit)])
    else:
        # A sandbox is a company of its own: test and live count apart.
        windows = _allowance_of()(company).windows or (ceiling(),)
        rate = take(f"company:{company.pk}", windows)
    inner.rate = rate
    if rate.retry_after is not None:
        raise TooManyRequests(
            wait=rate.retry_after,
            detail="Too many requests. Wait as long as Retry-After says.",
        )


def refuse_without_api_access(
    request: HttpRequest, company: Company, *, is_by_key: bool
) -> None:
    """Raise the 403 of a plan that comes without the API: of every key, and of people but where they see to their account and their plan."""
    allowance = _allowance_of()(company)
    if allowance.has_api_access or (not is_by_key and _is_for_every_plan(request)):
        return
    raise PermissionDenied(
        f"The plan {allowance.plan} has no API access. Move to another plan to use the API."
    )


def _is_for_every_plan(request: HttpRequest) -> bool:
    base = dialect_for(request.path).prefix
    resource = request.path.removeprefix(base).strip("/").partition("/")[0]
    return resource in settings.API_WITHOUT_PLAN


def charge_together(metas: Sequence[dict[str, Any]], company: Company) -> bool:
    """Count so many calls of one company at once, whose METAs these are, each told what is left after it; no view counts it again. False when there is no room
    for all of them, or its plan comes without the API: then the views count and refuse one by one. (Where a later window refuses, an earlier one has counted
    them already.)"""
    allowance = _allowance_of()(company)
    if not allowance.has_api_access:
        return False
    windows = allowance.windows or (ceiling(),)
    rate = take(f"company:{company.pk}", windows, calls=len(metas))
    if rate.retry_after is not None:
        return False
    for earlier, meta in enumerate(reversed(metas)):
        left = min(rate.remaining + earlier, rate.limit)
        meta[CHARGED] = replace(rate, remaining=left)
    return True


def count_stray_call(request: HttpRequest) -> None:
    """A call that reached no view counts for its address."""
    with contextlib.suppress(TooManyRequests):
        charge_call(request, None)


class RateHeadersMiddleware:
    """Puts the rate headers on every answer of the API, also on one that no view gave."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_charged = hasattr(request, "rate") or CHARGED in request.META
        if is_api_path(request.path) and not is_charged:
            count_stray_call(request)
        for name, value in rate_headers(request):
            response[name] = value
        return response


def rate_headers(request: HttpRequest) -> list[tuple[str, str]]:
    rate: Rate | None = getattr(request, "rate", request.META.get(CHARGED))
    return headers_of(rate)


def headers_of(rate: Rate | None) -> list[tuple[str, str]]:
    if rate is None:
        return []
    return [
        ("X-RateLimit-Limit", str(rate.limit)),
        ("X-RateLimit-Remaining", str(rate.remaining)),
        ("X-RateLimit-Reset", str(rate.resets_at)),
    ]
