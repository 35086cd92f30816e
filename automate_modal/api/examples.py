"""Examples of calls and their answers for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

CALL: dict[str, Any] = {"input": {"order_id": "ORD-123", "amount": 99.99}}
OPEN: dict[str, Any] = {
    "id": "0198f2a1-7a10-7b21-8d41-6a5b4c3d2e1f",
    "endpoint_id": "0198f2a0-1c2d-7e3f-9a4b-5c6d7e8f9a0b",
    "endpoint_slug": "price-check",
    "kind": "automation",
    "run_id": "0198f2a1-7a11-7c32-9e52-7b6c5d4e3f20",
    "status": "QUEUED",
    "progress": 0.0,
    "input": CALL["input"],
    "output": None,
    "error": None,
    "artifacts": [],
    "created_at": "2024-01-20T14:45:00Z",
    "started_at": None,
    "finished_at": None,
    "duration_ms": None,
    "cancel_requested_at": None,
    "trace_id": "abc123-def456",
}
ENDED: dict[str, Any] = {
    **OPEN,
    "status": "SUCCESS",
    "progress": 1.0,
    "output": {"approved": True},
    "started_at": "2024-01-20T14:45:00Z",
    "finished_at": "2024-01-20T14:45:02Z",
    "duration_ms": 2000,
}
ENDPOINT: dict[str, Any] = {
    "name": "Price check",
    "slug": "price-check",
    "kind": "automation",
    "config": {"workflow": "order-processor"},
    "input_schema": {
        "type": "object",
        "required": ["order_id"],
        "properties": {"order_id": {"type": "string"}},
    },
}
_EVENT = {
    "id": "2",
    "event": "step",
    "data": '{"path":"step_1","attempt":1,"status":"SUCCESS","at":"2024-01-20T14:45:02Z"}',
}

_CALL = OpenApiExample("Call", CALL, request_only=True)
_QUEUED = OpenApiExample("Goes on", OPEN, response_only=True, status_codes=["202"])
RUN = [_CALL, OpenApiExample("Ended", ENDED, response_only=True, status_codes=["200"]), _QUEUED]
START = [_CALL, _QUEUED]
STREAM = [_CALL, OpenApiExample("Event", _EVENT, response_only=True, media_type="text/event-stream")]
CREATE = [OpenApiExample("Endpoint", ENDPOINT, request_only=True)]
