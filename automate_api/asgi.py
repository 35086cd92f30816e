"""The ASGI wrapper that stops a body at the limit while it arrives, whatever its headers say."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from automate_api import errors
from automate_api.middleware import ApiMiddleware, TraceMiddleware
from automate_core import conf

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

DRAIN_SECONDS = 2.0
"""How long a refused body is read on, so that the client is listening when the connection closes."""


def limit_body(app: App) -> App:
    """Wrap an ASGI application: a request to the API whose body passes the limit is answered 413 at once.

    Django reads a whole body to disk before any middleware runs, and a chunked body announces no length, so
    only this place can refuse it before it is read.
    """

    async def limited(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not errors.is_api(scope["path"]):
            await app(scope, receive, send)
            return
        limit = conf.get().BODY_LIMIT_BYTES
        if _announced_length(scope) > limit:
            await _refuse(scope, receive, send)
            return
        seen = 0
        is_answered = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            # To the application it looks as if the client had gone: it closes what it holds and returns.
            return message if seen <= limit else {"type": "http.disconnect"}

        async def noted(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        await app(scope, counted, noted)
        if seen > limit and not is_answered:
            await _refuse(scope, receive, send)

    return limited


async def _refuse(scope: Any, receive: Receive, send: Send) -> None:
    """Answer 413 as the middleware would, then read on for a moment.

    Closing a connection with unread data resets it, and the client may lose the answer (RFC 9112, section 9.6).
    """
    response = await sync_to_async(_refusal)(ASGIRequest(_over_limit(scope), io.BytesIO()))
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.items()]
    body = response.content
    headers += [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


def _announced_length(scope: Any) -> int:
    length = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"")
    return int(length) if length.isdigit() else 0


def _over_limit(scope: Any) -> dict[str, Any]:
    """Return the scope with a length the middleware refuses: what arrived was longer than it may be."""
    others = [(name, value) for name, value in scope["headers"] if name.lower() != b"content-length"]
    length = str(conf.get().BODY_LIMIT_BYTES + 1).encode()
    return {**scope, "headers": [*others, (b"content-length", length)]}


def _refusal(request: HttpRequest) -> HttpResponse:
    response = TraceMiddleware(ApiMiddleware(_unreachable))(request)
    assert isinstance(response, HttpResponse)
    return response


def _unreachable(request: HttpRequest) -> HttpResponseBase:
    raise AssertionError("a request over the body limit passed the middleware")
