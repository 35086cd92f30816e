"""The ASGI wrapper that stops a body at the limit while it arrives, whatever its headers say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from automate_api import errors
from automate_core import conf
from automate_core.context import accepted_trace_id, trace_scope

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


def limit_body(app: App) -> App:
    """Wrap an ASGI application: a request under /api/ whose body passes the limit is answered 413 at once.

    Django reads a whole body to disk before any middleware runs; a chunked body announces no length, so only
    this place can refuse it before it is read.
    """

    async def limited(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(errors.API_PREFIX):
            await app(scope, receive, send)
            return
        limit = conf.get().BODY_LIMIT_BYTES
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
            await _refuse(scope, send, limit)

    return limited


async def _refuse(scope: Any, send: Send, limit: int) -> None:
    sent = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    trace_id = accepted_trace_id(sent.get("x-trace-id"), sent.get("traceparent"))
    problem = errors.PayloadTooLarge(f"The body is larger than {limit} bytes")
    found = errors.failure_of(problem, scope["path"])
    assert found is not None
    with trace_scope(trace_id):
        body = orjson.dumps(found.body(scope["path"]))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        (b"x-trace-id", trace_id.encode()),
    ]
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
