"""A server that speaks HTTP on a port, over the ASGI application as it is deployed."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.db import connections

from automate.api.webhooks import serve_webhooks
from automate.webhooks import ingest, sources
from automate_api.asgi import App, limit_body


class ThreadedServer(uvicorn.Server):
    """Serves in a thread of this process, so that it sees the test's database and settings."""

    def __init__(self, front: Callable[[App], App] = lambda app: app) -> None:
        app = front(limit_body(serve_webhooks(get_asgi_application())))
        super().__init__(uvicorn.Config(app, log_config=None, lifespan="off", ws="none", server_header=False))
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.is_up = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve_and_close()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    async def _serve_and_close(self) -> None:
        await self.serve([self.socket])
        connection = ingest.current()._connection
        if connection is not None:
            await connection.close()
        await sync_to_async(connections.close_all)()


@pytest.fixture
def front() -> Callable[[App], App]:
    """What stands in front of the application; a test module may put something there."""
    return lambda app: app


@pytest.fixture
def server_url(transactional_db: None, front: Callable[[App], App]) -> Iterator[str]:
    """URL of a running server, without a trailing slash."""
    sources.forget()
    server = ThreadedServer(front)
    server.thread.start()
    assert server.is_up.wait(60)
    yield server.url
    server.should_exit = True
    server.thread.join(60)
