"""What every request passes through: a trace id around it, and the guard in front of /api/."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.exceptions import Throttled

from automate_api import errors, keys, throttling
from automate_core import conf
from automate_core.context import accepted_trace_id, trace_scope
from automate_core.errors import AutomateError

TRACE_HEADER = "X-Trace-ID"
_BODILESS = ("GET", "HEAD", "OPTIONS")
Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class _Middleware:
    """Runs natively under ASGI and WSGI."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)  # type: ignore[type-var]

    def _sync(self, request: HttpRequest) -> HttpResponseBase:
        return cast(HttpResponseBase, self.get_response(request))

    async def _async(self, request: HttpRequest) -> HttpResponseBase:
        return await cast(Awaitable[HttpResponseBase], self.get_response(request))


class TraceMiddleware(_Middleware):
    """Gives the request a trace id (its own if well formed) and names it in the response; put it first."""

    def __call__(self, request: HttpRequest) -> Answer:
        """Answer the request under its trace id."""
        trace_id = accepted_trace_id(request.headers.get(TRACE_HEADER), request.headers.get("traceparent"))
        request.trace_id = trace_id  # type: ignore[attr-defined]
        if self.is_async:
            return self._atraced(request, trace_id)
        with trace_scope(trace_id):
            response = self._sync(request)
        response.headers[TRACE_HEADER] = trace_id
        return response

    async def _atraced(self, request: HttpRequest, trace_id: str) -> HttpResponseBase:
        with trace_scope(trace_id):
            response = await self._async(request)
        response.headers[TRACE_HEADER] = trace_id
        return response


class ApiMiddleware(_Middleware):
    """Refuses what no view should see, and finishes every response under /api/ the same way.

    In front: bodies over the limit (by Content-Length, before a byte is read), encoded bodies, and NUL in the URL.
    Behind: `Cache-Control: no-store`, `nosniff`, rate headers, JSON for errors that are not JSON yet, redirects to
    the slash that keep the method and the body.
    """

    def __call__(self, request: HttpRequest) -> Answer:
        """Answer the request."""
        if not errors.is_api(request.path_info):
            return self.get_response(request)
        problem = _refusal(request)
        if self.is_async:
            return self._aguarded(request, problem)
        response = _finished(request, self._sync(request) if problem is None else _refused(request, problem))
        if not _is_counted(response):
            throttling.add_headers_of_address(request, response)
        return response

    async def _aguarded(self, request: HttpRequest, problem: AutomateError | None) -> HttpResponseBase:
        if problem is None:
            response = _finished(request, await self._async(request))
        else:
            response = _finished(request, await sync_to_async(_refused)(request, problem))
        if not _is_counted(response):
            await sync_to_async(throttling.add_headers_of_address)(request, response)
        return response


def _refusal(request: HttpRequest) -> AutomateError | None:
    limit = conf.get().BODY_LIMIT_BYTES
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit():
        return errors.MalformedBody("Content-Length must be a whole number")
    if int(length) > limit or not _is_measured(request, limit):
        return errors.PayloadTooLarge(f"The body is larger than {limit} bytes")
    if "HTTP_TRANSFER_ENCODING" in request.META and "CONTENT_LENGTH" not in request.META:
        return errors.MalformedBody("This server reads no chunked bodies; send Content-Length")
    if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
        return errors.MalformedBody("The URL contains a NUL character")
    try:
        errors.refuse_encoding(request.META.get("HTTP_CONTENT_ENCODING", ""))
    except errors.EncodedBody as error:
        return error
    return None


def _is_measured(request: HttpRequest, limit: int) -> bool:
    """Give a body the length no header tells, and tell whether it is within the limit.

    Chunked bodies, and those of HTTP/2, may come without one; REST framework then takes them for empty. Under ASGI
    the body has arrived by now; under WSGI Django reads none without a length.
    """
    if (
        not isinstance(request, ASGIRequest)
        or request.META.get("CONTENT_LENGTH")
        or request.method in _BODILESS
    ):
        return True
    body = request.read(limit + 1)
    request._body = body
    request.META["CONTENT_LENGTH"] = str(len(body))
    return len(body) <= limit


def _refused(request: HttpRequest, problem: AutomateError) -> HttpResponseBase:
    try:
        throttling.check_address(request)
    except Throttled as throttled:
        return errors.response_for(throttled, request)
    return errors.response_for(problem, request)


def _finished(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code >= 400 and response.headers.get("Content-Type", "").startswith("text/html"):
        plain = response
        response = errors.response_with_status(plain.status_code, request.path_info)
        for name in ("Allow", "WWW-Authenticate", "Retry-After"):
            if name in plain.headers:
                response.headers[name] = plain.headers[name]
    if response.status_code == HTTPStatus.MOVED_PERMANENTLY and request.method not in ("GET", "HEAD"):
        # A client that follows a 301 sends a GET, and what it meant to change stays as it was (RFC 9110, 15.4.2).
        response.status_code = HTTPStatus.PERMANENT_REDIRECT
    throttling.add_headers(request, response)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    _note_key_use(request, response)
    return response


def _is_counted(response: HttpResponseBase) -> bool:
    return f"{throttling.HEADER_PREFIX}Limit" in response.headers


def _note_key_use(request: HttpRequest, response: HttpResponseBase) -> None:
    principal = getattr(request, "principal", None)
    now = timezone.now()
    if principal is not None and principal.key is not None and keys.needs_touch(principal.key, now=now):
        # runs when the response is closed: after the caller has it
        response._resource_closers.append(partial(keys.touch, principal.key, now=now))  # type: ignore[attr-defined]
