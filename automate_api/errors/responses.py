"""Turns exceptions into responses, in views and where there is none; Django's error handlers are here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views import csrf, defaults
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import set_rollback

from automate_api import throttling
from automate_api.errors.failures import Failure, failure_of, is_api, is_flat
from automate_api.errors.statuses import CODE_OF_STATUS
from automate_api.rendering import to_json
from automate_core.errors import ErrorCodes

logger = logging.getLogger(__name__)

_INTERNAL_MESSAGE = "Something went wrong on our side; quote the trace id when you report it"


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn an exception of a view into its response (DRF's EXCEPTION_HANDLER)."""
    request = context["request"]
    if isinstance(error, drf.MethodNotAllowed):
        error = _naming_methods(error, request.method or "", context["view"].allowed_methods)
    found = answer_to(error, request.path_info)
    set_rollback()
    response = Response(found.body(request.path_info), status=found.status, headers=dict(found.headers))
    if found.status == HTTPStatus.UNAUTHORIZED:
        # RFC 9110, section 15.5.2: also for a token in a body.
        challenge = context["view"].get_authenticate_header(request)
        response.headers.setdefault("WWW-Authenticate", challenge or "Bearer")
    return response


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
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in CODE_OF_STATUS:
        return _json(_internal(), path)
    default = ErrorCodes.INVALID_REQUEST if is_flat(path) else ErrorCodes.VALIDATION_ERROR
    return _json(Failure(status, CODE_OF_STATUS.get(status, default), HTTPStatus(status).description), path)


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


def _naming_methods(error: drf.MethodNotAllowed, method: str, allowed: Sequence[str]) -> drf.MethodNotAllowed:
    usable = [name for name in allowed if name != "OPTIONS"]
    return drf.MethodNotAllowed(method, f"{method} is not answered here; use {_either(usable)}")


def _either(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


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
