"""Authentication: Bearer token, API key, or session with CSRF; two that disagree are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from automate_api import keys, principal, tokens
from automate_api.models import ApiKey
from automate_api.principal import KeyUser, Principal

API_KEY_HEADER = "X-API-Key"


@dataclass(frozen=True, slots=True)
class _Credential:
    user: Any
    key: ApiKey | None = None

    @property
    def identity(self) -> tuple[str, str]:
        if self.user is None and self.key is not None:
            return ("key", str(self.key.pk))
        return ("user", str(self.user.pk))


class AutomateAuthentication(BaseAuthentication):
    """Resolve caller, tenant and role; `request.auth` and `request.principal` are the Principal."""

    def authenticate(self, request: Request) -> tuple[Any, Principal] | None:
        """Return (user, principal), or None when the request carries no credential.

        Raises:
            AuthenticationFailed: a credential is not good, or two name different callers.
            PermissionDenied: a session request that changes something lacks its CSRF token.
            NotFound: the tenant asked for is not the caller's.
        """
        session = _from_session(request)
        sent = [found for found in (_from_key(request), _from_bearer(request)) if found]
        every = [*sent, session] if session else sent
        if not every:
            return None
        if len({found.identity for found in every}) > 1 or len({f.key.pk for f in sent if f.key}) > 1:
            raise AuthenticationFailed("The credentials sent name different callers; send one")
        if not sent:
            _enforce_csrf(request)
        caller = _resolve(every[0], request.headers.get(principal.TENANT_HEADER))
        request._request.principal = caller  # type: ignore[attr-defined]
        return (caller.user if caller.key is None or caller.user else KeyUser(caller.key)), caller

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge sent with 401."""
        return 'Bearer realm="api"'


def _enforce_csrf(request: Request) -> None:
    try:
        SessionAuthentication().enforce_csrf(request)
    except PermissionDenied as error:
        raise PermissionDenied(f"{error.detail} Send the token of your session in X-CSRFToken.") from error


def _resolve(credential: _Credential, wanted: str | None) -> Principal:
    if credential.key is not None:
        return principal.of_key(credential.key, wanted=wanted)
    return principal.of_user(credential.user, wanted=wanted)


def _from_bearer(request: Request) -> _Credential | None:
    header = request.headers.get("Authorization", "")
    if not header:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthenticationFailed("Authorization must be 'Bearer <token>'")
    if token.startswith("ak_"):
        return _of_key(token)
    try:
        return _Credential(user=tokens.user_of(token.strip()))
    except tokens.InvalidToken as error:
        raise AuthenticationFailed(error.message) from error


def _from_key(request: Request) -> _Credential | None:
    plain = request.headers.get(API_KEY_HEADER)
    return None if plain is None else _of_key(plain)


def _of_key(plain: str) -> _Credential:
    try:
        key = keys.check_key(plain.strip(), now=timezone.now())
    except keys.InvalidKey as error:
        raise AuthenticationFailed(error.message) from error
    return _Credential(user=key.user, key=key)


def _from_session(request: Request) -> _Credential | None:
    user = getattr(request._request, "user", None)
    if user is None or not user.is_authenticated or not user.is_active:
        return None
    return _Credential(user=user)
