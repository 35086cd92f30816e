"""What the processes of `make run` do, once forked."""

from __future__ import annotations

import gc
import socket
from typing import Any

HOST = "127.0.0.1"
GRACE_SECONDS = 8
"""How long the web process finishes what it is answering; the supervisor kills it two seconds later."""

STUCK_SECONDS = 60

WEB_CONNECTIONS = 16

SOCKETS: dict[str, Any] = {
    "ws": "websockets-sansio",
    "ws_max_size": 262_144,
    "ws_per_message_deflate": False,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
}
"""How uvicorn serves sockets: short messages in, and no memory for compression on each of a thousand of them."""


def preload() -> None:
    """Import what every process needs, and connect to nothing."""
    import django
    import httptools  # noqa: F401
    import uvicorn  # noqa: F401
    import uvloop  # noqa: F401

    django.setup()
    from config import demo, urls  # noqa: F401

    # What exists now is never collected: forks go on sharing its memory.
    gc.collect()
    gc.freeze()


def serve(port: int) -> None:
    """Be the web process."""
    import uvicorn
    from django.conf import settings

    from config import database

    # Many requests at once, on connections that are kept.
    database.add_pool(settings.DATABASES["default"], settings.DATABASE_POOL or WEB_CONNECTIONS)
    config = uvicorn.Config(
        "config.asgi:application",
        host=HOST,
        port=port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **SOCKETS,
    )
    listening = config.bind_socket()
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # A client that takes nothing any more holds its connection no longer than this, whatever it still should get.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_SECONDS * 1000)
    uvicorn.Server(config).run(sockets=[listening])


def work() -> None:
    """Be a worker."""
    from django.core.management import call_command

    from automate_core import telemetry

    telemetry.configure("automate-worker")
    try:
        call_command("automate_worker", processes=1)
    finally:
        telemetry.shutdown()
