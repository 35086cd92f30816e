"""A loopback server that answers as told, and sockets that count connection attempts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Handle = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Received:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer_port: int


@dataclass
class LoopbackServer:
    """A server on 127.0.0.1; `handle` writes the answer, `received` records the requests."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    handle: Handle = field(default=lambda handler: reply(handler))

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


def reply(
    handler: BaseHTTPRequestHandler,
    status: int = 200,
    body: bytes = b"ok",
    headers: dict[str, str] | None = None,
) -> None:
    """Answer with a status, headers and a body."""
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _start(server: LoopbackServer) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.received.append(Received(self.command, self.path, headers, body, self.client_address[1]))
            try:
                server.handle(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.port = listener.server_address[1]
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return listener


@pytest.fixture
def server(settings: Any) -> Iterator[LoopbackServer]:
    """A loopback server whose exact host:port is on the allow-list."""
    made = LoopbackServer()
    listener = _start(made)
    settings.AUTOMATE = {"HTTP_ALLOW": [f"127.0.0.1:{made.port}"]}
    yield made
    listener.shutdown()
    listener.server_close()


@pytest.fixture
def other_server() -> Iterator[LoopbackServer]:
    """A second loopback server; a test allows it or not."""
    made = LoopbackServer()
    listener = _start(made)
    yield made
    listener.shutdown()
    listener.server_close()


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address a socket was asked to connect to; none of the attempts leaves the process."""
    attempts: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        attempts.append(address)
        raise ConnectionRefusedError("connections are off in this test")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return attempts


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What names resolve to: a list of addresses for each lookup in turn, the last one repeated."""
    table: dict[str, list[list[str]]] = {}

    def getaddrinfo(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if ":" in host or host.replace(".", "").isdigit():
            addresses = [host]
        elif host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        else:
            addresses = table[host].pop(0) if len(table[host]) > 1 else table[host][0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table
