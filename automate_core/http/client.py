"""The guarded HTTP client: one pool per process, redirects checked one by one, size and total time capped."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urljoin

import httpcore
import httpx
import orjson

from automate_core import conf
from automate_core.http import guard
from automate_core.http.backend import GuardedBackend, deadline_scope, remaining
from automate_core.http.body import UnreadableResponse, read_body
from automate_core.http.guard import OutboundFailed, OutboundRefused, OutboundTimeout, ResponseTooLarge

__all__ = ["Response", "UnreadableResponse", "arequest", "request"]

MAX_REDIRECTS = 10
SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key"})
"""Headers that never follow a redirect to another scheme, host or port."""

_METHOD = re.compile(r"[A-Z]{1,20}")
_REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_HEADER_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[\ud800-\udfff]")
_OUR_HEADERS = frozenset(
    {
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer",
        "expect", "proxy-authorization", "proxy-connection",
    }
)  # fmt: skip
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Shorter than the five seconds after which common servers drop an idle connection: the pool should be first.
_IDLE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Response:
    """What the other side answered. `headers` has lower-case names; `content` is decoded and complete."""

    status: int
    headers: dict[str, str]
    content: bytes
    url: str
    elapsed_ms: float

    def text(self) -> str:
        """Return the body as text in its declared charset, else UTF-8; undecodable bytes become U+FFFD."""
        match = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("content-type", ""), re.IGNORECASE)
        try:
            return self.content.decode(match[1] if match else "utf-8", errors="replace")
        except LookupError:
            return self.content.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """Return the body parsed as JSON; raises UnreadableResponse when it is not."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError as error:
            raise UnreadableResponse(f"The response of status {self.status} is not JSON") from error


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    data: Mapping[str, Any] | None = None,
    content: bytes | str | None = None,
    timeout_seconds: float = 30.0,
    max_bytes: int | None = None,
    follow_redirects: bool = True,
    secret_headers: Iterable[str] = (),
) -> Response:
    """Send a request to a public server and return its answer, whatever its status.

    Args:
        method: HTTP method; CONNECT and TRACE are refused.
        url: http or https, no user info.
        headers: names to values; Host and the headers of the connection itself cannot be set.
        params: added to the URL's query.
        json: body sent as JSON. data: body sent as a form. content: body sent as it is. At most one of them.
        timeout_seconds: limit on the whole exchange: name lookup, redirects and body included.
        max_bytes: largest body accepted; `AUTOMATE["HTTP_RESPONSE_LIMIT_BYTES"]` when None.
        follow_redirects: follow up to 10, each checked like the first URL.
        secret_headers: further headers not to send to another scheme, host or port.

    Raises:
        OutboundRefused: the URL, a redirect or a header is not allowed; nothing was sent there.
        OutboundTimeout, OutboundFailed: no complete answer; `performed` is False when nothing had left.
        ResponseTooLarge: the body exceeds `max_bytes`.
        UnreadableResponse: the body's encoding is unknown or damaged.
    """
    started = time.perf_counter()
    limit = conf.get().HTTP_RESPONSE_LIMIT_BYTES if max_bytes is None else max_bytes
    secret = SECRET_HEADERS.union(name.lower() for name in secret_headers)
    target = guard.parse(url)
    if params:
        target = guard.parse(target.copy_merge_params(dict(params)))
    outgoing = _request(method, target, _checked(headers or {}), json=json, data=data, content=content)
    with deadline_scope(timeout_seconds):
        for _ in range(MAX_REDIRECTS + 1):
            status, received, body = _exchange(outgoing, limit, skip_body=follow_redirects)
            if body is not None:
                elapsed = round((time.perf_counter() - started) * 1000, 3)
                return Response(status, received, body, str(outgoing.url), elapsed)
            outgoing = _redirected(outgoing, status, received["location"], secret)
    raise OutboundRefused(f"More than {MAX_REDIRECTS} redirects; use the final URL")


async def arequest(method: str, url: str, **options: Any) -> Response:
    """Do what `request` does without blocking the event loop; same options, same errors.

    The exchange runs in a thread. A cancelled caller stops waiting; the exchange itself ends by its timeout.
    """
    call = partial(copy_context().run, request, method, url, **options)
    return await asyncio.get_running_loop().run_in_executor(_threads(), call)


@lru_cache(maxsize=1)
def _pool() -> httpcore.ConnectionPool:
    return httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(),
        max_connections=128,
        max_keepalive_connections=32,
        keepalive_expiry=_IDLE_SECONDS,
        network_backend=GuardedBackend(),
    )


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=32, thread_name_prefix="automate-http")


def _forget_inherited() -> None:
    # A forked child must not talk on its parent's connections, nor wait for threads that stayed behind.
    _pool.cache_clear()
    _threads.cache_clear()
    guard.resolver.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)


def _checked(headers: Mapping[str, str]) -> httpx.Headers:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or _HEADER_CONTROL.search(value):
            raise OutboundRefused(f"The header {name[:100]!r} is malformed; remove control characters")
        if name.lower() in _OUR_HEADERS:
            raise OutboundRefused(f"The header {name!r} belongs to the connection; leave it out")
    sent = httpx.Headers({name.encode("ascii"): value.encode() for name, value in headers.items()})
    sent["Accept-Encoding"] = "gzip, deflate"
    sent.setdefault("Accept", "*/*")
    sent.setdefault("User-Agent", "django-automate")
    return sent


def _request(
    method: str,
    target: httpx.URL,
    headers: httpx.Headers,
    *,
    json: Any,
    data: Any,
    content: bytes | str | None,
) -> httpx.Request:
    method = method.upper()
    if not _METHOD.fullmatch(method) or method in _REFUSED_METHODS:
        raise OutboundRefused(f"The method {method[:20]!r} is not allowed")
    if json is not None:
        content = orjson.dumps(json)
        headers.setdefault("Content-Type", "application/json")
    return httpx.Request(method, target, headers=headers, data=data, content=content)


def _exchange(
    outgoing: httpx.Request, limit: int, *, skip_body: bool
) -> tuple[int, dict[str, str], bytes | None]:
    """Send one request; the body is None when the answer is a redirect to follow."""
    host = guard.host_of(outgoing.url)
    try:
        answer = _pool().handle_request(
            httpcore.Request(
                outgoing.method,
                httpcore.URL(
                    scheme=outgoing.url.raw_scheme,
                    host=host,
                    port=guard.port_of(outgoing.url),
                    target=outgoing.url.raw_path,
                ),
                headers=outgoing.headers.raw,
                content=outgoing.read(),
                extensions={"timeout": {"pool": max(remaining(), 0.001)}},
            )
        )
        try:
            received = _joined(answer.headers)
            if skip_body and answer.status in _REDIRECTS and "location" in received:
                return answer.status, received, None
            if outgoing.method == "HEAD":
                return answer.status, received, b""
            _refuse_announced(received, limit)
            encoding = received.get("content-encoding", "")
            return answer.status, received, read_body(answer.iter_stream(), encoding, limit)
        finally:
            answer.close()
    except (httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
        raise OutboundTimeout(f"Connecting to {host!r} took too long", performed=False) from error
    except httpcore.TimeoutException as error:
        raise OutboundTimeout(f"{host!r} did not answer in time", performed=None) from error
    except httpcore.ConnectError as error:
        raise OutboundFailed(f"Connecting to {host!r} failed: {error}", performed=False) from error
    except httpcore.LocalProtocolError as error:
        raise OutboundRefused(f"The request to {host!r} is malformed: {error}") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise OutboundFailed(f"The exchange with {host!r} broke off", performed=None) from error


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", errors="replace")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _refuse_announced(received: Mapping[str, str], limit: int) -> None:
    announced = received.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > limit:
        raise ResponseTooLarge(f"The response announces {announced} bytes; the limit is {limit}")


def _redirected(sent: httpx.Request, status: int, location: str, secret: frozenset[str]) -> httpx.Request:
    """Return the next request, as the Fetch standard has it (https://fetch.spec.whatwg.org/#http-redirect-fetch)."""
    try:
        target = guard.parse(urljoin(str(sent.url), location))
    except ValueError as error:
        raise OutboundRefused("The redirect leads to a malformed URL") from error
    headers = sent.headers.copy()
    method, body = sent.method, sent.read()
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", b""
    for name in list(headers):
        ours = name in ("host", "content-length", "transfer-encoding")
        if (
            ours
            or (name.startswith("content-") and not body)
            or (name in secret and not _same_origin(sent, target))
        ):
            del headers[name]
    if body and sent.url.scheme == "https" and target.scheme == "http":
        raise OutboundRefused("The redirect would send the body unencrypted; use the final URL")
    return httpx.Request(method, target, headers=headers, content=body or None)


def _same_origin(sent: httpx.Request, target: httpx.URL) -> bool:
    here = sent.url
    return (here.scheme, guard.host_of(here), guard.port_of(here)) == (
        target.scheme,
        guard.host_of(target),
        guard.port_of(target),
    )
