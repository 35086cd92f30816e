"""Where the socket is, for an ASGI application of Channels: `URLRouter(websocket_urlpatterns)`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from channels.routing import URLRouter
from django.urls import path

from automate.realtime.consumers import deny, workflow_socket
from automate.realtime.handshake import NOT_FOUND, RateLimited, count_stray, without_token

App = Callable[[Any, Any, Any], Awaitable[None]]

# Channels' router takes an application where Django takes a view.
websocket_urlpatterns = [path("ws/workflow/<uuid:workflow_id>/", cast(Any, workflow_socket))]


def hide_tokens(app: App) -> App:
    """Wrap an ASGI application so that no server logs the `?token=` of a socket."""

    async def hidden(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            without_token(scope)
        await app(scope, receive, send)

    return hidden


def sockets() -> App:
    """Return the application for the protocol `websocket`; a path without a socket is closed as unknown."""
    router = URLRouter(websocket_urlpatterns)

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        try:
            await router(scope, receive, send)
        except ValueError as error:
            if "No route found" not in str(error):
                raise
            await receive()
            try:
                await count_stray(scope)
            except RateLimited as limited:
                await deny(scope, send, limited.failure)
                return
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": NOT_FOUND, "reason": "Not found"})

    return hide_tokens(routed)
