"""How errors look and which HTTP status they have: decided here and nowhere else."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views import csrf, defaults
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import set_rollback

from automate_api import throttling
from automate_api.conf import setting
from automate_api.rendering import to_json
from automate_core.context import current_trace_id
from automate_core.errors import (
    AccessDenied,
    AutomateError,
    Conflict,
    ErrorCodes,
    NotFound,
    PermanentError,
    Problem,
    TransientError,
    ValidationFailed,
)

logger = logging.getLogger(__name__)

FLAT_ROUTES = ("workflow/", "nodes/")
"""Where, below the prefixes of the API, errors are flat."""

STATUS: Mapping[str, int] = {
    ErrorCodes.VALIDATION_ERROR: 400,
    ErrorCodes.INVALID_REQUEST: 400,
    ErrorCodes.TEMPLATE_ERROR: 400,
    ErrorCodes.RULE_ERROR: 400,
    ErrorCodes.TENANT_REQUIRED: 400,
    ErrorCodes.PERMANENT: 400,
    ErrorCodes.UNAUTHORIZED: 401,
    ErrorCodes.FORBIDDEN: 403,
    ErrorCodes.NOT_FOUND: 404,
    ErrorCodes.METHOD_NOT_ALLOWED: 405,
    ErrorCodes.CONFLICT: 409,
    ErrorCodes.PAYLOAD_TOO_LARGE: 413,
    ErrorCodes.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCodes.RATE_LIMITED: 429,
    ErrorCodes.INTERNAL: 500,
    ErrorCodes.OUTCOME_UNKNOWN: 500,
    ErrorCodes.WORKER_LOST: 500,
    ErrorCodes.LOOP_LIMIT: 500,
    ErrorCodes.CHILD_FAILED: 500,
    ErrorCodes.DROPPED: 500,
    ErrorCodes.REPLACED: 500,
    ErrorCodes.SERVICE_UNAVAILABLE: 503,
    ErrorCodes.TRANSIENT: 503,
    ErrorCodes.TIMEOUT: 503,
}
_BY_CLASS: Sequence[tuple[type[AutomateError], int]] = (
    (ValidationFailed, 400),
    (NotFound, 404),
    (Conflict, 409),
    (AccessDenied, 403),
    (TransientError, 503),
    (PermanentError, 400),
)
_CODE_OF_STATUS: Mapping[int, str] = {
    400: ErrorCodes.VALIDATION_ERROR,
    401: ErrorCodes.UNAUTHORIZED,
    403: ErrorCodes.FORBIDDEN,
    404: ErrorCodes.NOT_FOUND,
    405: ErrorCodes.METHOD_NOT_ALLOWED,
    409: ErrorCodes.CONFLICT,
    413: ErrorCodes.PAYLOAD_TOO_LARGE,
    415: ErrorCodes.UNSUPPORTED_MEDIA_TYPE,
    429: ErrorCodes.RATE_LIMITED,
    503: ErrorCodes.SERVICE_UNAVAILABLE,
}
_HEADERS = ("X-Tenant-ID", "Idempotency-Key")
_REQUIRED = "This field is required"
_INTERNAL_MESSAGE = "Something went wrong on our side; quote the trace id when you report it"


class PayloadTooLarge(AutomateError):
    """The request body is larger than this server accepts."""

    code = ErrorCodes.PAYLOAD_TOO_LARGE


class MalformedBody(AutomateError):
    """The request body is not the JSON this route reads."""

    code = ErrorCodes.INVALID_REQUEST


class EncodedBody(AutomateError):
    """Content-Encoding is not supported: send the body as it is, neither compressed nor otherwise encoded."""

    code = ErrorCodes.UNSUPPORTED_MEDIA_TYPE


def is_api(path: str) -> bool:
    """Tell whether `path` is under one of `AUTOMATE_API["URL_PREFIXES"]`."""
    return path.startswith(tuple(setting("URL_PREFIXES")))


def is_flat(path: str) -> bool:
    """Tell whether errors under a path have the flat shape."""
    return path.startswith(tuple(p + name for p in setting("URL_PREFIXES") for name in FLAT_ROUTES))


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a client sees it: status, code, message, problems by field, extra headers."""

    status: int
    code: str
    message: str
    details: Sequence[Problem] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, path: str) -> dict[str, Any]:
        """Return the JSON body in the shape of the surface `path` belongs to."""
        trace_id = current_trace_id()
        if is_flat(path):
            details: Any = messages_by_field(self.details)
            return {"error": self.message, "code": self.code, "details": details, "trace_id": trace_id}
        details = [problem.as_dict() for problem in self.details]
        facts = {"details": details, "trace_id": trace_id}
        return {"error": {"code": self.code, "message": self.message, **facts}}


def failure_of(error: BaseException, path: str) -> Failure | None:
    """Return how `error` is answered under `path`; None when it is a fault of ours nobody foresaw."""
    found = _plain_failure(error)
    if found is None or found.code not in (ErrorCodes.VALIDATION_ERROR, ErrorCodes.INVALID_REQUEST):
        return found
    if not is_flat(path):
        return Failure(found.status, ErrorCodes.VALIDATION_ERROR, found.message, found.details, found.headers)
    # A header that is not acceptable is about the request, not about the thing in its body.
    if found.details and all(problem.field in _HEADERS for problem in found.details):
        return Failure(400, ErrorCodes.INVALID_REQUEST, found.message, found.details, found.headers)
    status = 400 if found.code == ErrorCodes.INVALID_REQUEST else HTTPStatus.UNPROCESSABLE_ENTITY
    return Failure(int(status), found.code, found.message, found.details, found.headers)


def refuse_encoding(encoding: str) -> None:
    """Return for a body that is sent as it is; raises EncodedBody for any `Content-Encoding` but identity."""
    if encoding.strip().lower() not in ("", "identity"):
        raise EncodedBody()


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn an exception of a view into its response (DRF's EXCEPTION_HANDLER)."""
    request = context["request"]
    if isinstance(error, drf.MethodNotAllowed):
        error = _naming_methods(error, request.method or "", context["view"].allowed_methods)
    found = failure_of(error, request.path_info)
    if found is None:
        logger.error("api.unhandled", exc_info=error, extra={"path": request.path_info})
        found = _internal()
    set_rollback()
    return Response(found.body(request.path_info), status=found.status, headers=dict(found.headers))


def answer_to(error: Exception, path: str) -> Failure:
    """Return how `error` is answered under `path`; one nobody foresaw is logged and answered 500."""
    found = failure_of(error, path)
    if found is None:
        logger.error("api.unhandled", exc_info=error, extra={"path": path})
        found = _internal()
    return found


def response_for(error: Exception, request: HttpRequest) -> HttpResponse:
    """Turn an exception outside DRF (middleware, an async view) into its response."""
    return _json(answer_to(error, request.path_info), request.path_info)


def response_with_status(status: int, path: str) -> HttpResponse:
    """Return the JSON form of an error of which only the status is known."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _CODE_OF_STATUS:
        return _json(_internal(), path)
    default = ErrorCodes.INVALID_REQUEST if is_flat(path) else ErrorCodes.VALIDATION_ERROR
    return _json(Failure(status, _CODE_OF_STATUS.get(status, default), HTTPStatus(status).description), path)


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a bad request Django itself refused."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return response_for(exception, request)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a refusal raised outside DRF."""
    if not _is_api(request):
        return defaults.permission_denied(request, exception)
    return response_for(exception, request)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an unknown URL; guessing URLs counts against the address's limit."""
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    try:
        throttling.check_address(request)
    except drf.Throttled as throttled:
        return response_for(throttled, request)
    found = Failure(404, ErrorCodes.NOT_FOUND, f"No route answers {request.path_info!r}")
    return _json(found, request.path_info)


def handler500(request: HttpRequest) -> HttpResponse:
    """Answer a fault of ours, without a traceback."""
    if not _is_api(request):
        return defaults.server_error(request)
    return _json(_internal(), request.path_info)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a failed CSRF check (settings.CSRF_FAILURE_VIEW)."""
    if not _is_api(request):
        return csrf.csrf_failure(request, reason=reason)
    return _json(Failure(403, ErrorCodes.FORBIDDEN, f"CSRF check failed: {reason}"), request.path_info)


def messages_by_field(problems: Sequence[Problem]) -> dict[str, Any]:
    """Return messages by field; those of the nodes of a graph by node id, then by field."""
    found: dict[str, Any] = {}
    for problem in problems:
        place = found.setdefault(problem.node, {}) if problem.node else found
        message = "This field is required." if problem.message == _REQUIRED else problem.message
        place.setdefault(problem.field, []).append(message)
    return found


def problems_of(detail: Any, prefix: str = "") -> list[Problem]:
    """Flatten DRF's nested error detail into problems with paths such as `graph.nodes[2].config.url`."""
    if isinstance(detail, Mapping):
        return [p for key, inner in detail.items() for p in problems_of(inner, _joined(prefix, key))]
    if isinstance(detail, list | tuple):
        return [
            problem
            for index, inner in enumerate(detail)
            for problem in problems_of(inner, f"{prefix}[{index}]" if _is_nested(inner) else prefix)
        ]
    return [Problem(prefix or "body", str(detail).rstrip("."))]


def _plain_failure(error: BaseException) -> Failure | None:
    if isinstance(error, AutomateError):
        return _of_automate(error)
    if isinstance(error, drf.APIException):
        return _of_drf(error)
    if isinstance(error, Http404):
        return Failure(404, ErrorCodes.NOT_FOUND, "There is no such thing in this tenant; check the id")
    if isinstance(error, PermissionDenied):
        return Failure(403, ErrorCodes.FORBIDDEN, str(error) or "You may not do this")
    if isinstance(error, DjangoValidationError):
        detail = error.message_dict if hasattr(error, "error_dict") else error.messages
        return Failure(400, ErrorCodes.VALIDATION_ERROR, "Invalid input", problems_of(detail))
    if isinstance(error, RequestDataTooBig | TooManyFieldsSent):
        return Failure(413, ErrorCodes.PAYLOAD_TOO_LARGE, str(PayloadTooLarge()))
    if isinstance(error, SuspiciousOperation):
        return Failure(400, ErrorCodes.INVALID_REQUEST, "The request is malformed")
    if isinstance(error, DataError):
        return Failure(400, ErrorCodes.VALIDATION_ERROR, "A value is outside the range the database accepts")
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("api.database_unavailable", exc_info=error)
        return Failure(503, ErrorCodes.SERVICE_UNAVAILABLE, "The database is not reachable; try again")
    return None


def _of_automate(error: AutomateError) -> Failure | None:
    by_class = next((status for kind, status in _BY_CLASS if isinstance(error, kind)), None)
    status = STATUS.get(error.code, by_class) if error.code != ErrorCodes.INTERNAL else by_class
    if status is None:
        return None
    headers = dict(_retry_after(error.extra.get("retry_after_seconds")))
    if isinstance(error, EncodedBody):
        headers["Accept-Encoding"] = "identity"  # RFC 9110, section 15.5.16
    return Failure(status, error.code, error.message, error.details, headers)


def _of_drf(error: drf.APIException) -> Failure:
    if isinstance(error, drf.ValidationError):
        return Failure(400, ErrorCodes.VALIDATION_ERROR, "Invalid input", problems_of(error.detail))
    if isinstance(error, drf.ParseError):
        return Failure(400, ErrorCodes.INVALID_REQUEST, str(error.detail))
    headers = dict(_retry_after(getattr(error, "wait", None)))
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    code = _CODE_OF_STATUS.get(error.status_code, ErrorCodes.INTERNAL)
    return Failure(error.status_code, code, _advice(error), headers=headers)


def _advice(error: drf.APIException) -> str:
    """Return what to do about an error of DRF's own, whose messages only say what is wrong."""
    if isinstance(error, drf.NotAuthenticated):
        return "Send a credential: a Bearer token or an API key"
    if isinstance(error, drf.UnsupportedMediaType) and str(error.detail).startswith("Unsupported media type"):
        return "Send the body as application/json"
    if isinstance(error, drf.Throttled):
        wait = math.ceil(getattr(error, "wait", None) or 1)
        return f"Too many requests; try again in {wait} second{'s' if wait > 1 else ''}"
    return str(error.detail)


def _naming_methods(error: drf.MethodNotAllowed, method: str, allowed: Sequence[str]) -> drf.MethodNotAllowed:
    usable = [name for name in allowed if name != "OPTIONS"]
    return drf.MethodNotAllowed(method, f"{method} is not answered here; use {' or '.join(usable)}")


def _retry_after(seconds: float | None) -> Mapping[str, str]:
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}


def _internal() -> Failure:
    return Failure(500, ErrorCodes.INTERNAL, _INTERNAL_MESSAGE)


def _json(found: Failure, path: str) -> HttpResponse:
    return HttpResponse(
        to_json(found.body(path)),
        content_type="application/json",
        status=found.status,
        headers=dict(found.headers),
    )


def _is_api(request: HttpRequest) -> bool:
    return is_api(request.path_info)


def _is_nested(detail: Any) -> bool:
    return isinstance(detail, Mapping | list | tuple)


def _joined(prefix: str, key: Any) -> str:
    if isinstance(key, int):
        return f"{prefix}[{key}]"
    if key in ("non_field_errors", "__all__"):
        return prefix
    return f"{prefix}.{key}" if prefix else str(key)
