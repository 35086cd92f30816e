"""What the OpenAPI document says about the one route that is not a DRF view: webhook ingest."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse
from drf_spectacular.generators import SchemaGenerator

_ACCEPTED = {
    "type": "object",
    "properties": {
        "event_id": {"type": "string", "format": "uuid"},
        "trace_id": {"type": "string"},
        "message": {"type": "string"},
    },
    "required": ["event_id", "trace_id", "message"],
}
_CHALLENGE = {
    "type": "object",
    "properties": {"challenge": {"type": "string"}},
    "required": ["challenge"],
}


def describe_webhook(result: dict[str, Any], generator: SchemaGenerator, **_: Any) -> dict[str, Any]:
    """Add the webhook route to the document (a POSTPROCESSING_HOOK)."""
    try:
        path = reverse("webhook", args=["SOURCE"]).replace("SOURCE", "{source}")
    except NoReverseMatch:
        return result
    result["paths"][path] = {
        "post": {
            "operationId": "automate_webhook",
            "description": "Accept an event from a configured source, signed as its preset says: `X-Webhook-Signature: "
            "sha256=<hex HMAC of the raw body>` for generic ones. A repeat is answered like the first.",
            "tags": ["automate"],
            "parameters": [{"in": "path", "name": "source", "required": True, "schema": {"type": "string"}}],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object", "additionalProperties": {}}}},
            },
            "responses": {
                "202": {"description": "Durable", "content": {"application/json": {"schema": _ACCEPTED}}},
                "200": {
                    "description": "The answer to a sender that checks the URL first",
                    "content": {"application/json": {"schema": _CHALLENGE}},
                },
            },
        }
    }
    return result
