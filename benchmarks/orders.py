"""The order webhook every workload posts: its body, its signature, and the request bytes."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

EVENT_TYPE = "order.created"
SIGNATURE_HEADER = "X-Webhook-Signature"


def data(number: int, at: float) -> dict[str, Any]:
    """Return order `number`."""
    return {
        "order_id": f"ORD-{number}",
        "amount": 90 + number % 20,
        "customer_name": "John Doe",
        "i": number,
        "t": at,
    }


def body(number: int, at: float) -> bytes:
    """Return the JSON of an order; `at` (epoch seconds) tells it from the same order of another run."""
    return json.dumps({"event_type": EVENT_TYPE, "data": data(number, at)}).encode()


def signature(content: bytes, secret: str) -> str:
    """Sign a body as the preset `generic` wants it: HMAC-SHA256, hex, prefixed with `sha256=`."""
    return "sha256=" + hmac.digest(secret.encode(), content, hashlib.sha256).hex()


def emitted(number: int, at: float) -> bytes:
    """Return the JSON that emits an order over REST."""
    return json.dumps({"type": EVENT_TYPE, "payload": data(number, at)}).encode()


def started(number: int, at: float) -> bytes:
    """Return the JSON that starts a workflow with an order over REST."""
    return json.dumps({"payload": data(number, at)}).encode()


BODIES = {"webhook": body, "emit": emitted, "run": started}
"""What a request may carry, by the name a load knows it by."""


def requests(
    *,
    path: str,
    secret: str,
    count: int,
    first: int = 0,
    method: str = "POST",
    carries: str = "webhook",
    key: str = "",
) -> list[bytes]:
    """Return `count` complete HTTP/1.1 requests, signed or with an API key, ready to be written to a socket."""
    at = time.time()
    made = []
    for number in range(first, first + count):
        content = BODIES[carries](number, at) if method == "POST" else b""
        shown = f"X-API-Key: {key}" if key else f"{SIGNATURE_HEADER}: {signature(content, secret)}"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"{shown}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        made.append(head.encode() + content)
    return made
