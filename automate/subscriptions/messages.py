"""What a subscriber receives: an event as JSON, signed as Standard Webhooks has it."""

from __future__ import annotations

import base64
import hmac
import secrets as randomness
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from automate_core.redaction import redact

SECRET_BYTES = 32
_PREFIX = "whsec_"


def new_secret() -> str:
    """Return a fresh signing secret: `whsec_` and base64."""
    return _PREFIX + base64.b64encode(randomness.token_bytes(SECRET_BYTES)).decode("ascii")


def shown_event(
    *, id: str, type: str, source: str, payload: Mapping[str, Any], trace_id: str, created_at: datetime
) -> dict[str, Any]:
    """Return an event as subscribers see it: as the REST API shows it, without secrets."""
    return {
        "id": id,
        "type": type,
        "source": source,
        "payload": redact(dict(payload)),
        "trace_id": trace_id,
        "created_at": created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }


def body_of(event: Mapping[str, Any]) -> bytes:
    """Return the body that carries an event."""
    return orjson.dumps(event)


def signed_headers(*, message_id: str, body: bytes, secret: str, now: float) -> dict[str, str]:
    """Return the headers of one attempt: the message's id, the attempt's time, and the signature over both.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

    Args:
        message_id: the same for every attempt; receivers tell repeats by it.
        body: exactly what is sent.
        secret: `whsec_` and base64.
        now: seconds since the epoch.
    """
    timestamp = str(int(now))
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = b"%b.%b.%b" % (message_id.encode("ascii"), timestamp.encode("ascii"), body)
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode("ascii")
    return {
        "Content-Type": "application/json",
        "User-Agent": "django-automate-webhooks",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
