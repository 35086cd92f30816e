"""What the OpenAPI document says beyond the views: how to authenticate, and the shape of an error."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator

from automate_core.errors import ErrorCodes

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
                "code": {"type": "string", "enum": sorted(str(code) for code in ErrorCodes)},
                "message": {"type": "string"},
                "details": {"type": "array", "items": _PROBLEM},
                "trace_id": {"type": "string"},
            },
            "required": ["code", "message", "details", "trace_id"],
        }
    },
    "required": ["error"],
}
_FAILURES: dict[str, tuple[ErrorCodes, str]] = {
    "400": (ErrorCodes.VALIDATION_ERROR, "The body, a parameter or a header is not acceptable"),
    "401": (ErrorCodes.UNAUTHORIZED, "No credential, one that is not good, or two that disagree"),
    "403": (
        ErrorCodes.FORBIDDEN,
        "The role or the key's scopes do not allow this, or the CSRF token is missing",
    ),
    "404": (ErrorCodes.NOT_FOUND, "There is no such thing in this tenant, or no such tenant"),
    "409": (ErrorCodes.CONFLICT, "The current state does not allow this"),
    "413": (ErrorCodes.PAYLOAD_TOO_LARGE, "The body is too large"),
    "415": (ErrorCodes.UNSUPPORTED_MEDIA_TYPE, "The body is of a type this route does not read"),
    "429": (ErrorCodes.RATE_LIMITED, "Too many requests; see Retry-After"),
    "500": (ErrorCodes.INTERNAL, "A fault of ours; quote the trace id"),
    "503": (ErrorCodes.SERVICE_UNAVAILABLE, "Temporarily not available; try again"),
}
_ONLY_WITH_BODY = ("409", "413", "415")
_ONLY_WITH_CREDENTIALS = ("401", "403")
_TEXT = {"type": "string"}
_COUNT = {"type": "integer"}
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Trace-ID": {"description": "Names this request in logs and rows", "required": True, "schema": _TEXT},
    "X-RateLimit-Limit": {"description": "Requests per window", "required": True, "schema": _COUNT},
    "X-RateLimit-Remaining": {"description": "Requests left in it", "required": True, "schema": _COUNT},
    "X-RateLimit-Reset": {"description": "Its end, in Unix seconds", "required": True, "schema": _COUNT},
    "Retry-After": {"description": "Seconds to wait", "required": True, "schema": _COUNT},
    "WWW-Authenticate": {"description": "How to authenticate", "schema": _TEXT},
    "Idempotent-Replayed": {
        "description": "`true` when this is the stored response of an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_EVERYWHERE = ("X-Trace-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_KEY_SCHEMA = {"type": "string", "pattern": "^[!-~]{1,255}$"}
_PARAMETERS: dict[str, dict[str, Any]] = {
    "X-Trace-ID": {"description": "Correlation id; one is made when absent or malformed", "schema": _TEXT},
    "X-Tenant-ID": {
        "description": "Id or slug of one of the caller's tenants; needed only with several",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,63}$"},
    },
    "X-Request-ID": {
        "description": "Idempotency key: repeated with the same body, the first response is sent again",
        "schema": _KEY_SCHEMA,
    },
    "Idempotency-Key": {"description": "Another name of X-Request-ID; send one", "schema": _KEY_SCHEMA},
}


class AutomateAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Bearer token, API key or session cookie."""

    target_class = "automate_api.authentication.AutomateAuthentication"
    name = ["bearerAuth", "apiKeyAuth", "sessionAuth"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return one definition per name."""
        return [
            {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "An access token of `/api/auth/token/`, or an API key",
            },
            {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key"},
            {
                "type": "apiKey",
                "in": "cookie",
                "name": settings.SESSION_COOKIE_NAME,
                "description": "The session of an admin user; anything but a GET needs a CSRF token too",
            },
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """Return the alternatives: any one of them is enough."""
        return [{name: []} for name in self.name]


def add_failures(result: dict[str, Any], generator: SchemaGenerator, **_: Any) -> dict[str, Any]:
    """Give every operation the headers and the error responses all of them share (a POSTPROCESSING_HOOK)."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = _ERROR
    components["headers"] = _HEADERS
    components["parameters"] = {
        name: {"in": "header", "name": name, **described} for name, described in _PARAMETERS.items()
    }
    components["responses"] = {_name(status): _error_response(status) for status in _FAILURES}
    for operations in result.get("paths", {}).values():
        for method, operation in operations.items():
            _add_parameters(method, operation)
            _add_errors(method, operation)
            _add_headers(method, operation)
    return result


def _add_parameters(method: str, operation: dict[str, Any]) -> None:
    names = ["X-Trace-ID"]
    if _needs_credentials(operation):
        names += ["X-Tenant-ID"] if method == "get" else ["X-Tenant-ID", "X-Request-ID", "Idempotency-Key"]
    given = operation.setdefault("parameters", [])
    given += [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _add_errors(method: str, operation: dict[str, Any]) -> None:
    for status in _FAILURES:
        if status in _ONLY_WITH_BODY and method == "get":
            continue
        if status in _ONLY_WITH_CREDENTIALS and not operation.get("security"):
            continue
        operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{_name(status)}"})


def _add_headers(method: str, operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if "$ref" in response:
            continue
        is_replayable = status.startswith("2") and method != "get" and _needs_credentials(operation)
        replayed = ("Idempotent-Replayed",) if is_replayable else ()
        response["headers"] = {**response.get("headers", {}), **_headers(*_EVERYWHERE, *replayed)}


def _error_response(status: str) -> dict[str, Any]:
    code, description = _FAILURES[status]
    error = {"code": str(code), "message": description, "details": [], "trace_id": "abc123-def456"}
    content = {"schema": {"$ref": "#/components/schemas/Error"}, "example": {"error": error}}
    own = {"401": ("WWW-Authenticate",), "429": ("Retry-After",)}.get(status, ())
    return {
        "description": description,
        "headers": _headers(*_EVERYWHERE, *own),
        "content": {"application/json": content},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _name(status: str) -> str:
    """Return the name of a failure among the components, such as NotFound."""
    return HTTPStatus(int(status)).phrase.title().replace(" ", "")


def _needs_credentials(operation: dict[str, Any]) -> bool:
    """Tell whether callers of the operation prove who they are with one of the API's own credentials."""
    return any("bearerAuth" in alternative for alternative in operation.get("security", []))
