"""The clock around an application: what it tells, and that it leaves the application alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from benchmarks.timed import TIMES_PATH, Timed


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "answer to", "path": scope["path"]})


def asked(*paths: str) -> list[dict[str, Any]]:
    timed, sent = Timed(app), []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def ask() -> None:
        for path in paths:
            await timed({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]

    asyncio.run(ask())
    return sent


def test_each_request_is_timed_and_told_once() -> None:
    first, second, _, told, _, again = asked("/a/", "/b/", TIMES_PATH, TIMES_PATH)
    assert (first["path"], second["path"]) == ("/a/", "/b/")
    seconds = json.loads(told["body"])
    assert (len(seconds), all(value > 0 for value in seconds)) == (2, True)
    assert json.loads(again["body"]) == []
