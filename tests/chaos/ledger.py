"""The ledger: an HTTP server in a process of its own that counts what the outside world received.

`POST /effect/idempotent` with the header `Idempotency-Key` takes effect once for each key; `POST
/effect/at_most_once` takes effect for each request. The JSON body names `execution` and `step`. The effect is
counted when the request has arrived, before any answer, so a caller that dies meanwhile changes nothing.

Query parameters: `delay` (seconds before every answer) and `hold` (seconds before the first answer of a key or
reference; `POST /release` ends all holds, also those to come, until `POST /hold`). `GET /counts` gives everything
counted, `POST /reset` forgets it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

ROOT = Path(__file__).resolve().parents[2]
MODES = ("idempotent", "at_most_once")


@dataclass
class Entry:
    """What arrived about one step of one execution."""

    mode: str
    execution: str
    step: str
    keys: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    effects: int = 0
    arrivals: list[float] = field(default_factory=list)


class Book:
    """The counts, shared by the server's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, str], Entry] = {}
        self._effective: set[str] = set()
        self.released = threading.Event()

    def enter(self, mode: str, execution: str, step: str, key: str | None) -> bool:
        """Count a request and its effect; return whether it is the first about its step."""
        with self._lock:
            entry = self._entries.setdefault((mode, execution, step), Entry(mode, execution, step))
            entry.requests += 1
            entry.arrivals.append(time.time())
            if mode == "at_most_once":
                entry.effects += 1
            else:
                entry.keys[str(key)] = entry.keys.get(str(key), 0) + 1
                if key not in self._effective:
                    self._effective.add(str(key))
                    entry.effects += 1
            return entry.requests == 1

    def counts(self) -> list[dict[str, Any]]:
        """Return every entry as plain data."""
        with self._lock:
            return [
                {
                    "mode": one.mode, "execution": one.execution, "step": one.step, "keys": len(one.keys),
                    "requests": one.requests, "effects": one.effects, "arrivals": list(one.arrivals),
                }
                for one in self._entries.values()
            ]  # fmt: skip

    def hold(self) -> None:
        """Hold again what asks for it."""
        self.released = threading.Event()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._effective.clear()
        self.released.set()
        self.hold()


class Clerk(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    book: Book

    def do_GET(self) -> None:
        """Give the counts."""
        self._answer(200, self.book.counts())

    def do_POST(self) -> None:
        """Take a request in."""
        target = urlsplit(self.path)
        expected = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(expected)
        if len(body) < expected:
            # The caller was killed while it spoke: as with any server, nothing was asked.
            self.close_connection = True
            return None
        orders = {"/release": self.book.released.set, "/hold": self.book.hold, "/reset": self.book.reset}
        if target.path in orders:
            orders[target.path]()
            return self._answer(200, {})
        mode = target.path.removeprefix("/effect/")
        key = self.headers.get("Idempotency-Key")
        if mode not in MODES or (mode == "idempotent" and not key):
            return self._answer(400, {"error": "POST /effect/idempotent with a key, or /effect/at_most_once"})
        entry, query = json.loads(body), parse_qs(target.query)
        released = self.book.released
        first = self.book.enter(mode, str(entry["execution"]), str(entry["step"]), key)
        if first and "hold" in query:
            released.wait(float(query["hold"][0]))
        if "delay" in query:
            time.sleep(float(query["delay"][0]))
        return self._answer(200, {"first": first})

    def log_message(self, format: str, *args: Any) -> None:
        """Write no access log."""

    def _answer(self, status: int, content: Any) -> None:
        encoded = json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)
        except OSError:
            # The caller was killed. What it asked for has been counted all the same.
            self.close_connection = True


class LedgerServer(ThreadingHTTPServer):
    """The server; a caller that disconnects is no error."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about connections that broke, everything about our own faults."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Ledger:
    """A ledger process and the questions one may ask it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.ledger"], cwd=ROOT, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"

    def counts(self) -> list[dict[str, Any]]:
        """Return everything counted since the last reset."""
        entries: list[dict[str, Any]] = httpx.get(f"{self.url}/counts", timeout=30, trust_env=False).json()
        return entries

    def release(self) -> None:
        """Let every held answer go, and hold no more."""
        self._order("release")

    def hold(self) -> None:
        """Hold first answers again."""
        self._order("hold")

    def reset(self) -> None:
        """Forget everything counted, and hold first answers again."""
        self._order("reset")

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _order(self, order: str) -> None:
        httpx.post(f"{self.url}/{order}", timeout=60, trust_env=False).raise_for_status()


def main() -> None:
    """Serve on a free loopback port, whose number is the first line of output, until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    clerk = type("BookedClerk", (Clerk,), {"book": Book()})
    server = LedgerServer(("127.0.0.1", parser.parse_args().port), clerk)
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while os.getppid() == parent:
        time.sleep(0.5)


if __name__ == "__main__":
    main()
