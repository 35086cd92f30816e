"""What an exception is to a client: a status, a code, a message, problems by field, headers."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf

from automate_api.conf import setting
from automate_api.errors.details import messages_by_field, problems_of
from automate_api.errors.statuses import BY_CLASS, CODE_OF_STATUS, STATUS
from automate_core.context import current_trace_id
from automate_core.errors import AutomateError, ErrorCodes, Problem

logger = logging.getLogger(__name__)

FLAT_ROUTES = ("workflow/", "nodes/")
"""Where, below the prefixes of the API, errors are flat."""

_HEADERS = ("X-Tenant-ID", "Idempotency-Key", "X-Request-ID")


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
    if isinstance(error, RequestDataTooBig):
        return Failure(413, ErrorCodes.PAYLOAD_TOO_LARGE, str(PayloadTooLarge()))
    if isinstance(error, TooManyFieldsSent):
        return Failure(400, ErrorCodes.INVALID_REQUEST, "The request names too many parameters; send fewer")
    if isinstance(error, DisallowedHost):
        return Failure(
            400, ErrorCodes.INVALID_REQUEST, "The Host header names no host of this site; use its own name"
        )
    if isinstance(error, SuspiciousOperation):
        return Failure(400, ErrorCodes.INVALID_REQUEST, "The request is malformed")
    if isinstance(error, DataError):
        return Failure(400, ErrorCodes.VALIDATION_ERROR, "A value is outside the range the database accepts")
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("api.database_unavailable", exc_info=error)
        return Failure(503, ErrorCodes.SERVICE_UNAVAILABLE, "The database is not reachable; try again")
    return None


def _of_automate(error: AutomateError) -> Failure | None:
    by_class = next((status for kind, status in BY_CLASS if isinstance(error, kind)), None)
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
    code = CODE_OF_STATUS.get(error.status_code, ErrorCodes.INTERNAL)
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


def _retry_after(seconds: float | None) -> Mapping[str, str]:
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}
