"""What the OpenAPI document says beyond the views: how to authenticate, and the shape of an error."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator

from automate_api.errors import is_flat
from automate_core.errors import ErrorCodes

_TRACE_ID = "abc123-def456"

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
_FLAT_ERROR = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string", "enum": sorted(str(code) for code in ErrorCodes)},
        "details": {"type": "object", "additionalProperties": {}},
        "trace_id": {"type": "string"},
    },
    "required": ["error", "code", "details", "trace_id"],
}
_FAILURES: dict[str, tuple[ErrorCodes, str]] = {
    "400": (ErrorCodes.VALIDATION_ERROR, "The body, a parameter or a header is not acceptable"),
    "401": (ErrorCodes.UNAUTHORIZED, "No credential, one that is not good, or two that disagree"),
    "403": (
        ErrorCodes.FORBIDDEN,
        "The role or the key's scopes do not allow this, or the CSRF token is missing",
    ),
    "404": (ErrorCodes.NOT_FOUND, "There is no such thing in this tenant, or no such tenant"),
    "405": (ErrorCodes.METHOD_NOT_ALLOWED, "This path is asked with another method; see Allow"),
    "409": (
        ErrorCodes.CONFLICT,
        "The current state does not allow this, or a request with this idempotency key is under way",
    ),
    "413": (ErrorCodes.PAYLOAD_TOO_LARGE, "The body is too large"),
    "415": (
        ErrorCodes.UNSUPPORTED_MEDIA_TYPE,
        "The body is of a type this route does not read, or has a Content-Encoding",
    ),
    "429": (ErrorCodes.RATE_LIMITED, "Too many requests; see Retry-After"),
    "500": (ErrorCodes.INTERNAL, "A fault of ours; quote the trace id"),
    "503": (ErrorCodes.SERVICE_UNAVAILABLE, "Temporarily not available; try again"),
}
_INVALID = "422"
_FLAT_FAILURES = {
    **_FAILURES,
    "400": (ErrorCodes.INVALID_REQUEST, "The request is malformed: its JSON, a parameter or a header"),
    _INVALID: (ErrorCodes.VALIDATION_ERROR, "The request is well formed, but what it says is not acceptable"),
}
_NEEDS: dict[str, tuple[str, ...]] = {"401": ("webhookSignature",), "403": (), "409": ()}
"""Failures of operations with credentials alone: with those of the API, or with one of these."""
_TEXT = {"type": "string"}
_COUNT = {"type": "integer"}
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Trace-ID": {"description": "Names this request in logs and rows", "required": True, "schema": _TEXT},
    "X-RateLimit-Limit": {"description": "Requests per window", "required": True, "schema": _COUNT},
    "X-RateLimit-Remaining": {"description": "Requests left in it", "required": True, "schema": _COUNT},
    "X-RateLimit-Reset": {"description": "Its end, in Unix seconds", "required": True, "schema": _COUNT},
    "Retry-After": {"description": "Seconds to wait", "schema": _COUNT},
    "Allow": {"description": "The methods this path answers", "required": True, "schema": _TEXT},
    "Accept-Encoding": {"description": "`identity` when a Content-Encoding was refused", "schema": _TEXT},
    "WWW-Authenticate": {"description": "How to authenticate", "schema": _TEXT},
    "Idempotent-Replayed": {
        "description": "`true` when this is the stored response of an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_EVERYWHERE = ("X-Trace-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_OWN_HEADERS = {
    "401": ("WWW-Authenticate",),
    "405": ("Allow",),
    "409": ("Retry-After",),
    "415": ("Accept-Encoding",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
CHANGES = "x-changes-something"
"""Extension of an operation that changes something though it is a GET."""
_KEY_SCHEMA = {"type": "string", "pattern": "^[!-~]{1,255}$"}
_PARAMETERS: dict[str, dict[str, Any]] = {
    "X-Trace-ID": {
        "description": "Correlation id, 1 to 64 letters, digits and `_.:-`; one is made when absent or malformed",
        "schema": _TEXT,
    },
    "traceparent": {
        "description": "W3C Trace Context, whose trace id is taken when there is no X-Trace-ID",
        "schema": _TEXT,
    },
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
    schemas = components.setdefault("schemas", {})
    schemas["Error"] = _ERROR
    components["headers"] = _HEADERS
    components["parameters"] = {
        name: {"in": "header", "name": name, **described} for name, described in _PARAMETERS.items()
    }
    components["responses"] = {_name(status): _error_response(status) for status in _FAILURES}
    if any(is_flat(path) for path in result.get("paths", {})):
        schemas["FlatError"] = _FLAT_ERROR
        flat = {_name(status, "Flat"): _flat_error_response(status) for status in _FLAT_FAILURES}
        components["responses"].update(flat)
    for path, operations in result.get("paths", {}).items():
        for method, operation in operations.items():
            changes = method != "get" or operation.get(CHANGES, False)
            _add_parameters(changes, operation)
            _add_errors(path, changes, operation)
            _add_headers(changes, operation)
    return result


def _add_parameters(changes: bool, operation: dict[str, Any]) -> None:
    names = ["X-Trace-ID", "traceparent"]
    if _needs_credentials(operation):
        names += ["X-Tenant-ID", "X-Request-ID", "Idempotency-Key"] if changes else ["X-Tenant-ID"]
    given = operation.setdefault("parameters", [])
    given += [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _add_errors(path: str, changes: bool, operation: dict[str, Any]) -> None:
    kind = "Flat" if is_flat(path) else ""
    for status in _FLAT_FAILURES if kind else _FAILURES:
        if _can_happen(status, path, changes, operation):
            ref = f"#/components/responses/{_name(status, kind)}"
            operation["responses"].setdefault(status, {"$ref": ref})
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _can_happen(status: str, path: str, changes: bool, operation: dict[str, Any]) -> bool:
    schemes = {name for alternative in operation.get("security", []) for name in alternative}
    has_credentials = "bearerAuth" in schemes
    if status == "404":
        # A webhook source that is not there is answered like a wrong signature.
        return has_credentials or ("{" in path and not schemes)
    if status == "409" and not changes:
        return False
    return status not in _NEEDS or has_credentials or bool(schemes.intersection(_NEEDS[status]))


def _add_headers(changes: bool, operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if "$ref" in response:
            continue
        is_replayable = status.startswith("2") and changes and _needs_credentials(operation)
        own = ("Idempotent-Replayed",) if is_replayable else _OWN_HEADERS.get(status, ())
        response["headers"] = {**response.get("headers", {}), **_headers(*_EVERYWHERE, *own)}


def _error_response(status: str) -> dict[str, Any]:
    code, description = _FAILURES[status]
    is_validation = code == ErrorCodes.VALIDATION_ERROR
    error = {
        "code": str(code),
        "message": "Invalid input" if is_validation else description,
        "details": [{"field": "name", "message": "This field is required"}] if is_validation else [],
        "trace_id": _TRACE_ID,
    }
    return _response(status, description, "Error", {"error": error})


def _flat_error_response(status: str) -> dict[str, Any]:
    code, description = _FLAT_FAILURES[status]
    is_validation = code == ErrorCodes.VALIDATION_ERROR
    error = {
        "error": "Invalid input" if is_validation else description,
        "code": str(code),
        "details": {"name": ["This field is required"]} if is_validation else {},
        "trace_id": _TRACE_ID,
    }
    return _response(status, description, "FlatError", error)


def _response(status: str, description: str, schema: str, example: Any) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {
        "description": description,
        "headers": _headers(*_EVERYWHERE, *_OWN_HEADERS.get(status, ())),
        "content": {"application/json": content},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _name(status: str, kind: str = "") -> str:
    """Return the name of a failure among the components, such as NotFound or FlatNotFound."""
    return kind + HTTPStatus(int(status)).phrase.title().replace(" ", "")


def _needs_credentials(operation: dict[str, Any]) -> bool:
    """Tell whether callers of the operation prove who they are with one of the API's own credentials."""
    return any("bearerAuth" in alternative for alternative in operation.get("security", []))
