"""Which HTTP status an error has: by its code, else by its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from automate_core.errors import (
    AccessDenied,
    AutomateError,
    Conflict,
    ErrorCodes,
    NotFound,
    PermanentError,
    TransientError,
    ValidationFailed,
)

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
BY_CLASS: Sequence[tuple[type[AutomateError], int]] = (
    (ValidationFailed, 400),
    (NotFound, 404),
    (Conflict, 409),
    (AccessDenied, 403),
    (TransientError, 503),
    (PermanentError, 400),
)
CODE_OF_STATUS: Mapping[int, str] = {
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
