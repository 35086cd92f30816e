"""Ports to give to servers that have to be told theirs before they start."""

from __future__ import annotations

import itertools
import os
import re
import socket

FIRST, EACH = 12_000, 1_000
"""Below those the kernel gives to connections and to port 0: what is free stays free until the server binds it."""

_worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0")) or 0) % 16
_next = itertools.count(os.getpid() % EACH)


def free_port() -> int:
    """Return a loopback port nothing listens on, and no other test will be given soon."""
    for turn in itertools.islice(_next, EACH):
        port = FIRST + _worker * EACH + turn % EACH
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(
        f"No port is free from {FIRST + _worker * EACH} to {FIRST + _worker * EACH + EACH - 1}"
    )
