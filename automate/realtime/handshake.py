"""Who may look on: the handshake of a socket, answered by the same authentication as a request of the API.

A credential is a session cookie, `?token=`, the subprotocol pair `bearer, <token>`, or the headers of the API. A
browser sends cookies whatever page asks, so with a session cookie the page must be one of this site.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import Http404, HttpRequest
from rest_framework.exceptions import APIException, AuthenticationFailed, Throttled
from rest_framework.exceptions import PermissionDenied as ApiPermissionDenied
from rest_framework.request import Request

from automate.models import Automation, Execution
from automate_api import errors, throttling
from automate_api.authentication import AutomateAuthentication
from automate_api.errors import Failure
from automate_api.permissions import HasRole
from automate_api.principal import TENANT_HEADER, Principal
from automate_core.errors import AccessDenied, AutomateError, NotFound

Scope = MutableMapping[str, Any]

SUBPROTOCOL = "bearer"

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY = 4400, 4401, 4403, 4404, 4429


class Refused(AutomateError):
    """The connection is refused; `close_code` says why in the range applications have (RFC 6455, section 7.4.2)."""

    def __init__(self, close_code: int, message: str) -> None:
        super().__init__(message)
        self.close_code = close_code


class WrongOrigin(Refused):
    """A page of another site, or none, asked with the cookie of this one."""


class RateLimited(Refused):
    """Too many requests and handshakes; `failure` is how the API answers that."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(TOO_MANY, failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to watch a workflow, or one execution of it."""

    caller: str
    workflow_id: str
    execution_id: str | None


@dataclass(frozen=True, slots=True)
class _View:
    """What permissions ask a view: looking on is reading."""

    api_scope: str


async def admit(scope: Scope, workflow_id: UUID) -> Ticket:
    """Return leave for a connection to watch a workflow; it counts as a request of its caller, or of its address.

    Raises:
        WrongOrigin: a session cookie came with a foreign Origin, or none.
        RateLimited: the caller, or the address, has made as many requests as one may.
        Refused: no credential, one that is not good, or nothing there that its bearer may see.
    """
    return await sync_to_async(_admit, thread_sensitive=False)(scope, workflow_id)


async def admit_again(scope: Mapping[str, Any], workflow_id: UUID, *, api_scope: str = "workflows") -> Ticket:
    """Return leave for a connection or request that was let in before; see `admit`. It counts for nothing."""
    return await sync_to_async(_admit_again, thread_sensitive=False)(dict(scope), workflow_id, api_scope)


async def count_stray(scope: Scope) -> None:
    """Count a handshake for which there is no socket against its address.

    Raises:
        RateLimited: the address has made as many requests as one may.
    """
    await sync_to_async(_count_address, thread_sensitive=False)(ASGIRequest(_as_request(scope), io.BytesIO()))


def without_token(scope: Scope) -> None:
    """Take `?token=` out of the scope servers log, and keep it where `admit` finds it."""
    query = scope.get("query_string", b"").decode("latin-1")
    if "token=" not in query:
        return
    pairs = parse_qsl(query, keep_blank_values=True)
    scope["automate.token"] = next((value for name, value in pairs if name == "token"), None)
    kept = [pair for pair in pairs if pair[0] != "token"]
    scope["query_string"] = urlencode(kept).encode("latin-1")


def _admit(scope: Scope, workflow_id: UUID) -> Ticket:
    close_old_connections()
    try:
        request = _request(scope)
        try:
            _check_origin(request)
        except WrongOrigin:
            _count_address(request)
            raise
        api_request = Request(request)
        try:
            caller = _caller(api_request)
        except Refused:
            _count(api_request)
            raise
        _count(api_request)
        return _ticket(api_request, caller, workflow_id, "workflows")
    finally:
        close_old_connections()


def _admit_again(scope: Scope, workflow_id: UUID, api_scope: str) -> Ticket:
    close_old_connections()
    try:
        api_request = Request(_request(scope))
        return _ticket(api_request, _caller(api_request), workflow_id, api_scope)
    finally:
        close_old_connections()


def _count(api_request: Request) -> None:
    throttle = throttling.RateThrottle(scope="STANDARD")
    if not throttle.allow_request(api_request, None):
        raise _limited(api_request._request, Throttled(throttle.wait()))


def _count_address(request: ASGIRequest) -> None:
    try:
        throttling.check_address(request)
    except Throttled as throttled:
        raise _limited(request, throttled) from throttled


def _limited(request: HttpRequest, throttled: Throttled) -> RateLimited:
    failure = errors.answer_to(throttled, request.path_info)
    state: throttling.RateState = request.rate_state  # type: ignore[attr-defined]
    return RateLimited(replace(failure, headers={**failure.headers, **state.headers()}))


def _caller(api_request: Request) -> Principal:
    with _refusals():
        found = AutomateAuthentication().authenticate(api_request)
    if found is None:
        raise Refused(UNAUTHORIZED, "Send a credential: a session, a token or an API key")
    api_request.auth = found[1]
    return found[1]


def _ticket(api_request: Request, caller: Principal, workflow_id: UUID, api_scope: str) -> Ticket:
    with _refusals():
        permission = HasRole()
        if not permission.has_permission(api_request, _View(api_scope)):
            raise Refused(FORBIDDEN, str(permission.message))
        automation = Automation.all_tenants.filter(pk=workflow_id, tenant_id=caller.tenant_id)
        if not automation.exists():
            raise Refused(NOT_FOUND, "Not found")
        execution_id = _execution(api_request.query_params.get("execution_id"), workflow_id)
    return Ticket(f"{caller.tenant_id}:{caller.id}", str(workflow_id), execution_id)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what the API answers with an error into the refusal of a connection."""
    try:
        yield
    except AuthenticationFailed as error:
        raise Refused(UNAUTHORIZED, str(error.detail)) from error
    except (AccessDenied, ApiPermissionDenied, PermissionDenied) as error:
        raise Refused(FORBIDDEN, _text(error)) from error
    except (NotFound, Http404) as error:
        raise Refused(NOT_FOUND, "Not found") from error
    except Refused:
        raise
    except (AutomateError, APIException) as error:
        raise Refused(BAD_REQUEST, _text(error)) from error


def _execution(wanted: str | None, workflow_id: UUID) -> str | None:
    if not wanted:
        return None
    try:
        execution_id = UUID(wanted)
    except ValueError:
        raise Refused(NOT_FOUND, "Not found") from None
    if not Execution.all_tenants.filter(pk=execution_id, automation_id=workflow_id).exists():
        raise Refused(NOT_FOUND, "Not found")
    return str(execution_id)


def _request(scope: Scope) -> ASGIRequest:
    """Return the handshake as the request it is (RFC 6455, section 4.1), with the credentials where the API looks."""
    without_token(scope)
    headers = list(scope.get("headers", ()))
    token = scope.get("automate.token") or _offered(scope)
    if token is not None:
        headers.append((b"authorization", b"Bearer " + token.encode("latin-1", "replace")))
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
    tenant = query.get("tenant")
    if tenant and not any(name == TENANT_HEADER.lower().encode() for name, _ in headers):
        headers.append((TENANT_HEADER.lower().encode(), tenant.encode("latin-1", "replace")))
    request = ASGIRequest(_as_request({**scope, "headers": headers}), io.BytesIO())
    engine = import_module(settings.SESSION_ENGINE)
    request.session = engine.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.user = get_user(request)
    return request


def _as_request(scope: Scope) -> dict[str, Any]:
    return {**scope, "type": "http", "method": "GET"}


def _offered(scope: Scope) -> str | None:
    """Return the token among the offered subprotocols: the one after `bearer`."""
    offered = list(scope.get("subprotocols", ()))
    if SUBPROTOCOL in offered:
        following = offered[offered.index(SUBPROTOCOL) + 1 :]
        return following[0] if following else ""
    return None


def _check_origin(request: ASGIRequest) -> None:
    """Refuse a session cookie that a page of another site made the browser send."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return
    origin = request.headers.get("Origin", "")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return
    try:
        parts, host = urlsplit(origin), request.get_host()
    except (ValueError, SuspiciousOperation) as error:
        raise WrongOrigin(FORBIDDEN, "This site has no such name") from error
    schemes = ("https",) if request.is_secure() or request.scheme == "wss" else ("http", "https")
    if parts.scheme not in schemes or parts.netloc != host:
        raise WrongOrigin(FORBIDDEN, "This page may not use the session of this site")


def _text(error: Exception) -> str:
    return str(getattr(error, "message", None) or getattr(error, "detail", None) or error)
