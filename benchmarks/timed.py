"""The web applications with a clock around them: how long the server spends on each request.

Served as `uvicorn --factory benchmarks.timed:ours` and `benchmarks.timed:raw`. What was measured is at TIMES_PATH.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.request import urlopen

TIMES_PATH = "/bench/times/"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


class Timed:
    """Times an ASGI application, from its call until its answer is handed over; the network is not in it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._seconds: list[float] = []

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == TIMES_PATH:
            await self._tell(send)
        else:
            start = time.perf_counter()
            await self._app(scope, receive, send)
            self._seconds.append(time.perf_counter() - start)

    async def _tell(self, send: Send) -> None:
        found, self._seconds = self._seconds, []
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(found).encode()})


def ours() -> App:
    """Return our application as the web process serves it, timed."""
    from config.asgi import application

    return Timed(application)


def raw() -> App:
    """Return the raw engine's application, timed."""
    from benchmarks.raw import Web

    return Timed(Web())


def taken(port: int) -> list[float]:
    """Return the seconds of each request since this was last asked."""
    with urlopen(f"http://127.0.0.1:{port}{TIMES_PATH}", timeout=10) as answer:
        found: list[float] = json.load(answer)
    return found
