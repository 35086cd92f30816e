"""What the OpenAPI document says about the engine beyond its views: webhook ingest, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import NoReverseMatch, reverse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.plumbing import ResolvedComponent

from automate.api.examples import EXAMPLES, Example

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
_ANSWER = {
    "description": "where the source waits for its workflow: whether that responded, or why this is no answer of its",
    "schema": {"type": "string", "enum": ["respond", "none", "timeout", "busy"]},
}
_SIGNATURE = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Webhook-Signature",
    "description": "`sha256=<hex HMAC of the raw body>` for generic sources; others sign as their preset says",
}


def describe_webhook(result: dict[str, Any], generator: SchemaGenerator, **_: Any) -> dict[str, Any]:
    """Add the webhook route to the document (a POSTPROCESSING_HOOK)."""
    try:
        path = reverse("webhook", args=["SOURCE"]).replace("SOURCE", "{source}")
    except NoReverseMatch:
        return result
    scheme = ResolvedComponent(  # type: ignore[no-untyped-call]
        "webhookSignature", ResolvedComponent.SECURITY_SCHEMA, schema=_SIGNATURE, object="webhookSignature"
    )
    generator.registry.register_on_missing(scheme)
    result["paths"][path] = {
        "post": {
            "operationId": "automate_webhook",
            "description": "Accept an event from a configured source, signed as its preset says: `X-Webhook-Signature: "
            "sha256=<hex HMAC of the raw body>` for generic ones. A repeat is answered like the first. Where the "
            "source waits for its workflow, the answer is what that responds: any status from 200, any content.",
            "tags": ["automate"],
            "security": [{"webhookSignature": []}],
            "parameters": [{"in": "path", "name": "source", "required": True, "schema": {"type": "string"}}],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object", "additionalProperties": {}}}},
            },
            "responses": {
                "202": {
                    "description": "Durable",
                    "headers": {"Automate-Answer": _ANSWER},
                    "content": {"application/json": {"schema": _ACCEPTED}},
                },
                "200": {
                    "description": "The answer to a sender that checks the URL first",
                    "content": {"application/json": {"schema": _CHALLENGE}},
                },
            },
        }
    }
    return result


def add_examples(result: dict[str, Any], generator: SchemaGenerator, **_: Any) -> dict[str, Any]:
    """Put the examples of the reference on their operations (a POSTPROCESSING_HOOK)."""
    return put_examples(result, EXAMPLES)


def put_examples(result: dict[str, Any], examples: Mapping[str, Example]) -> dict[str, Any]:
    """Put examples on the operations of a document, by operation id; return the document."""
    operations = {
        operation["operationId"]: operation
        for path in result["paths"].values()
        for operation in path.values()
    }
    for name, example in examples.items():
        operation = operations.get(name)
        if operation is None:
            continue
        if example.request is not None:
            operation["requestBody"]["content"]["application/json"]["example"] = example.request
        if example.response is not None:
            operation["responses"][example.status]["content"]["application/json"]["example"] = (
                example.response
            )
    return result
