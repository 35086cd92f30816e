"""Rate limits: counted atomically (in Redis when configured), by identity first, by address otherwise."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from automate_api.conf import setting

logger = logging.getLogger(__name__)

HEADER_PREFIX = "X-RateLimit-"


@dataclass(frozen=True, slots=True)
class RateState:
    """Where a caller stands: `reset_at` in Unix seconds, `wait_seconds` until the next window."""

    limit: int
    remaining: int
    reset_at: int
    allowed: bool
    wait_seconds: float

    def headers(self) -> Mapping[str, str]:
        """Return the X-RateLimit-* headers, and Retry-After when the limit is passed."""
        found = {
            f"{HEADER_PREFIX}Limit": str(self.limit),
            f"{HEADER_PREFIX}Remaining": str(self.remaining),
            f"{HEADER_PREFIX}Reset": str(self.reset_at),
        }
        if not self.allowed:
            found["Retry-After"] = str(max(1, math.ceil(self.wait_seconds)))
        return found


def hit(*, scope: str, identity: str, rate: str) -> RateState:
    """Count one request of `identity` in `scope` against `rate` (`count/unit`) and say where it stands.

    A counter store that cannot be reached is replaced by this process's own count until it answers again.
    """
    return _count(scope, identity, rate, cost=1)


def peek(*, scope: str, identity: str, rate: str) -> RateState:
    """Say where `identity` stands in `scope` without counting a request."""
    return _count(scope, identity, rate, cost=0)


async def ahit(*, scope: str, identity: str, rate: str) -> RateState:
    """Count one request as `hit` does, without blocking the event loop on the counter store."""
    if isinstance(_limiter().storage, MemoryStorage):
        return hit(scope=scope, identity=identity, rate=rate)
    return await asyncio.to_thread(hit, scope=scope, identity=identity, rate=rate)


def client_address(request: HttpRequest) -> str:
    """Return the caller's address; X-Forwarded-For is believed for TRUSTED_PROXIES hops, no more."""
    return address_behind(
        str(request.META.get("REMOTE_ADDR", "")), str(request.META.get("HTTP_X_FORWARDED_FOR", ""))
    )


def address_behind(peer: str, forwarded: str) -> str:
    """Return the caller's address from the peer's and the X-Forwarded-For header, as `client_address` does."""
    trusted = int(setting("TRUSTED_PROXIES"))
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    if trusted and len(hops) >= trusted:
        return hops[-trusted]
    return peer


def check_address(request: HttpRequest) -> None:
    """Count a request that reached no view against its address; raises Throttled past the standard limit."""
    address = client_address(request)
    state = hit(scope="STANDARD", identity=f"ip:{address}", rate=setting("RATE_STANDARD"))
    request.rate_state = state  # type: ignore[attr-defined]
    if not state.allowed:
        raise Throttled(state.wait_seconds)


def add_headers(request: HttpRequest, response: HttpResponseBase) -> None:
    """Put the X-RateLimit-* headers of the request's count on the response."""
    state: RateState | None = getattr(request, "rate_state", None)
    for name, value in state.headers().items() if state else ():
        response.headers.setdefault(name, value)


def add_headers_of_address(request: HttpRequest, response: HttpResponseBase) -> None:
    """Put where the address stands on a response nobody has counted; does not count it either."""
    state = peek(scope="STANDARD", identity=f"ip:{client_address(request)}", rate=setting("RATE_STANDARD"))
    for name, value in state.headers().items():
        if name.startswith(HEADER_PREFIX):
            response.headers[name] = value


def reset() -> None:
    """Forget every count of this process's limiter."""
    _limiter().storage.reset()
    _fallback().storage.reset()


class RateThrottle(BaseThrottle):
    """Counts a request under a view: its `throttle_scope` names RATE_<scope>; `rate` overrides that.

    Args:
        rate: `count/unit`; the setting of the view's scope when None.
        scope: name of the bucket; the view's `throttle_scope` when None.
        by_address: count by address even when the caller is known.
    """

    def __init__(
        self, rate: str | None = None, *, scope: str | None = None, by_address: bool = False
    ) -> None:
        self.rate = rate
        self.scope = scope
        self.by_address = by_address
        self._state: RateState | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the request; tell whether it is within the limit."""
        scope = str(self.scope or getattr(view, "throttle_scope", "STANDARD"))
        rate = str(self.rate or setting(f"RATE_{scope}"))
        self._state = hit(scope=scope, identity=self._identity(request), rate=rate)
        request._request.rate_state = self._state  # type: ignore[attr-defined]
        return self._state.allowed

    def wait(self) -> float | None:
        """Return the seconds until the next window."""
        return self._state.wait_seconds if self._state else None

    def _identity(self, request: Request) -> str:
        principal = getattr(request._request, "principal", None)
        if principal is None or self.by_address:
            user = None if self.by_address else getattr(request._request, "user", None)
            if user is not None and user.is_authenticated:
                return f"user:{user.pk}"
            return f"ip:{client_address(request._request)}"
        return f"{principal.tenant_id}:{principal.id}"


def _count(scope: str, identity: str, rate: str, *, cost: int) -> RateState:
    item = _parsed(rate)
    try:
        return _counted(_limiter(), item, scope, identity, cost)
    except StorageError as error:
        logger.warning("throttle.storage_unreachable", extra={"error": str(error)})
        return _counted(_fallback(), item, scope, identity, cost)


def _counted(
    limiter: FixedWindowRateLimiter, item: RateLimitItem, scope: str, identity: str, cost: int
) -> RateState:
    allowed = limiter.hit(item, scope, identity) if cost else limiter.test(item, scope, identity)
    stats = limiter.get_window_stats(item, scope, identity)
    return RateState(
        limit=item.amount,
        remaining=max(0, stats.remaining),
        reset_at=math.ceil(stats.reset_time),
        allowed=allowed,
        wait_seconds=max(0.0, stats.reset_time - time.time()),
    )


class CalmMemoryStorage(MemoryStorage):
    """Counts in this process, sweeping old counts now and then; its parent starts a thread every 10 ms for that."""

    STORAGE_SCHEME = ["calm-memory"]
    SWEEP_SECONDS = 10.0

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: str) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self._counting = threading.Lock()
        self._sweep_at = 0.0

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Add to the count of a window that ends `expiry` seconds after its first request."""
        now = time.time()
        with self._counting:
            if now >= self._sweep_at:
                self._sweep_at = now + self.SWEEP_SECONDS
                for old in [old for old, ends in self.expirations.items() if ends <= now]:
                    self.clear(old)
            if self.expirations.get(key, 0.0) <= now:
                self.storage[key] = 0
                self.expirations[key] = now + expiry
            self.storage[key] += amount
            return self.storage[key]


@cache
def _parsed(rate: str) -> RateLimitItem:
    return parse(rate)


@cache
def _limiter() -> FixedWindowRateLimiter:
    url = setting("RATE_STORAGE") or getattr(settings, "REDIS_URL", None) or "calm-memory://"
    storage = storage_from_string(url, wrap_exceptions=True)
    assert isinstance(storage, Storage)
    return FixedWindowRateLimiter(storage)


@cache
def _fallback() -> FixedWindowRateLimiter:
    return FixedWindowRateLimiter(CalmMemoryStorage())


def _forget(*, setting: str, **_: Any) -> None:
    if setting in ("AUTOMATE_API", "REDIS_URL"):
        _limiter.cache_clear()


setting_changed.connect(_forget, dispatch_uid="automate_api.throttling")
