"""A receiver of webhooks: a real HTTP server on loopback that answers as told and keeps what came."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its path, its headers by lower-case name, its body."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        """The event it carries."""
        return orjson.loads(self.body)


@dataclass
class Receiver:
    """Answers each path with its status in `statuses`, 200 when absent; paths in `held` wait for `release`."""

    statuses: dict[str, int] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    under_way: int = 0
    most_under_way: int = 0

    def __post_init__(self) -> None:
        """Start serving."""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Serving", (_Answers,), {"receiver": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://{self.address}{path}"

    def calls_to(self, path: str) -> list[Call]:
        """Return what came to a path, in order."""
        return [call for call in self.calls if call.path == path]

    def take(self, call: Call) -> int:
        """Keep a call and return the status of its answer; called on the server's threads."""
        with self._lock:
            self.calls.append(call)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        if call.path in self.held:
            self.release.wait(PATIENCE_SECONDS)
        with self._lock:
            self.under_way -= 1
        return self.statuses.get(call.path, 200)

    def stop(self) -> None:
        """Answer what waits and stop serving."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.receiver.take(Call(self.path, headers, body))
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.receiver.url("/elsewhere"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Write no access log."""
