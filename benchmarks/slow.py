"""A slow outside system: answers every request after a while; `python -m benchmarks.slow PORT SECONDS`."""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Slow(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seconds = 0.2

    def do_GET(self) -> None:
        """Wait, then answer."""
        time.sleep(self.seconds)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Write no access log."""


def server(port: int, seconds: float) -> ThreadingHTTPServer:
    """Return a server on the loopback address that takes `seconds` for each answer; port 0 is any free one."""
    made = ThreadingHTTPServer(("127.0.0.1", port), type("Timed", (Slow,), {"seconds": seconds}))
    made.daemon_threads = True
    return made


if __name__ == "__main__":
    server(int(sys.argv[1]), float(sys.argv[2])).serve_forever()
