"""A web server and workers to watch: uvicorn and the drain loop on threads of the test, a socket client beside them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from django.db import connection
from websockets.sync.client import ClientConnection, connect

from automate_core.outbox.doorbell import Listener
from automate_core.outbox.drain import Drain, Ring
from config.processes import SOCKETS

PATIENCE_SECONDS = 60.0

Follow = Callable[[str], ClientConnection]


class Site:
    """A running web server; `url` begins with http, `socket_url` with ws."""

    def __init__(self, server: uvicorn.Server, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._server = server

    @property
    def port(self) -> int:
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def follow(self, workflow_id: Any, *, key: str = "", query: str = "", **more: Any) -> ClientConnection:
        """Open a socket to a workflow."""
        headers = {"X-API-Key": key} if key else {}
        headers |= more.pop("headers", {})
        return connect(
            f"{self.socket_url}/ws/workflow/{workflow_id}/{query}",
            additional_headers=headers,
            proxy=None,
            **{"open_timeout": PATIENCE_SECONDS, "ping_timeout": PATIENCE_SECONDS, **more},
        )

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_SECONDS)


@contextmanager
def serving(app: str = "config.asgi:application") -> Iterator[Site]:
    """Serve the project on a free port from a thread."""
    started = threading.Event()
    site: list[Site] = []

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            site.append(Site(self, asyncio.get_running_loop()))
            started.set()

    server = Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=2,
            **SOCKETS,
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(_serve(server)), name="site", daemon=True)
    thread.start()
    assert started.wait(PATIENCE_SECONDS), "the server did not start"
    try:
        yield site[0]
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        _hang_up()


def _hang_up() -> None:
    """Close what messages were sent over; the thread that sends them lives as long as the process."""
    from automate.realtime import layers, sender

    sending = sender.current()

    async def flush() -> None:
        # What is still sent would open the connection anew.
        for _ in range(1_000):
            if not sending._batches and len(asyncio.all_tasks()) <= 2:
                break
            await asyncio.sleep(0.01)
        await layers.current().flush()

    if sending._loop is not None:
        asyncio.run_coroutine_threadsafe(flush(), sending._loop).result(PATIENCE_SECONDS)


async def _serve(server: uvicorn.Server) -> None:
    from automate.realtime import hub

    await server.serve()
    await hub.current().close()
    await asyncio.get_running_loop().shutdown_default_executor()


@contextmanager
def working() -> Iterator[Drain]:
    """Run a worker on a thread."""
    drain = Drain()
    stop = threading.Event()
    bell = Listener(lambda: drain.inbox.put(Ring()))

    def work() -> None:
        try:
            drain.run(stop)
        finally:
            connection.close()

    thread = threading.Thread(target=work, name="worker", daemon=True)
    bell.start()
    thread.start()
    try:
        yield drain
    finally:
        stop.set()
        bell.stop()
        thread.join(PATIENCE_SECONDS)
        bell.join(PATIENCE_SECONDS)


def hear(socket: ClientConnection, timeout: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """Return the next message of a socket."""
    said = json.loads(socket.recv(timeout=timeout))
    assert isinstance(said, dict)
    return said


def hear_until(socket: ClientConnection, *kinds: str) -> list[dict[str, Any]]:
    """Return the messages of a socket up to the first of a kind."""
    heard = [hear(socket)]
    while heard[-1]["type"] not in kinds:
        heard.append(hear(socket))
    return heard
