"""What the OpenAPI document says beyond the views: how to authenticate, and the shape of an error."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator

_PROBLEM = {
    "type": "object",
    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
    "required": ["field", "message"],
}
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "array", "items": _PROBLEM},
                "trace_id": {"type": "string"},
            },
            "required": ["code", "message", "details", "trace_id"],
        }
    },
    "required": ["error"],
}
_FAILURES = {
    "400": "The request is not valid",
    "401": "No credential, or one that is not good",
    "403": "The role does not allow this",
    "404": "There is no such thing in this tenant",
    "405": "The method is not allowed here",
    "409": "The current state does not allow this",
    "413": "The body is too large",
    "415": "The body is not JSON",
    "429": "Too many requests; see Retry-After",
    "503": "Temporarily not available",
}


class AutomateAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Bearer token, API key or session cookie."""

    target_class = "automate_api.authentication.AutomateAuthentication"
    name = ["bearerAuth", "apiKeyAuth", "sessionAuth"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return one definition per name."""
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            {"type": "apiKey", "in": "cookie", "name": "sessionid"},
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """Return the alternatives: any one of them is enough."""
        return [{name: []} for name in self.name]


def add_failures(result: dict[str, Any], generator: SchemaGenerator, **_: Any) -> dict[str, Any]:
    """Give every operation the error responses all of them share (a POSTPROCESSING_HOOK)."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = _ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for operations in result.get("paths", {}).values():
        for operation in operations.values():
            for status, description in _FAILURES.items():
                operation["responses"].setdefault(status, {"description": description, "content": content})
    return result
