"""Bearer tokens: short-lived JWTs that end with the user's password or account (RFC 7519, HS256)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils.crypto import constant_time_compare, salted_hmac
from rest_framework_simplejwt import tokens as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings

from automate_core.errors import AutomateError, ErrorCodes

_SESSION_CLAIM = "session"


class InvalidToken(AutomateError):
    """The token is malformed, expired or revoked; obtain a new one at /api/auth/token/."""

    code = ErrorCodes.UNAUTHORIZED


class _OwnKey:
    """Signs with a key derived from SECRET_KEY for this alone, whatever JWTs the host has of its own."""

    @property
    def token_backend(self) -> TokenBackend:
        return _backend(settings.SECRET_KEY)

    def get_token_backend(self) -> TokenBackend:
        return self.token_backend


class AccessToken(_OwnKey, simplejwt.AccessToken):
    """The token sent with each request; good for an hour."""

    lifetime = timedelta(hours=1)


class RefreshToken(_OwnKey, simplejwt.RefreshToken):
    """The token that buys the next pair, once; good for a day."""

    lifetime = timedelta(days=1)
    access_token_class = AccessToken

    @classmethod
    def for_user(cls, user: Any) -> Any:
        """Return a token for the user; unlike the base class's it is not written down before it is spent."""
        return super(simplejwt.BlacklistMixin, cls).for_user(user)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login returns; `expires_in` is the access token's life in seconds."""

    access: str
    refresh: str
    expires_in: int


def issue(user: Any) -> TokenPair:
    """Return a new pair for a user who has proved who they are."""
    refresh = RefreshToken.for_user(user)
    refresh[_SESSION_CLAIM] = _session_claim(user)
    return TokenPair(
        access=str(refresh.access_token),
        refresh=str(refresh),
        expires_in=int(AccessToken.lifetime.total_seconds()),
    )


def renew(refresh: str) -> TokenPair:
    """Return the next pair and spend the given refresh token.

    Raises:
        InvalidToken: it is not a live refresh token.
    """
    token = _decoded(RefreshToken, refresh)
    user = _user_of(token)
    _spend(token)
    return issue(user)


def revoke(refresh: str) -> None:
    """Spend a refresh token so that it buys nothing any more.

    Raises:
        InvalidToken: it is not a live refresh token.
    """
    _spend(_decoded(RefreshToken, refresh))


def verify(token: str) -> None:
    """Return if the token, access or refresh, is live.

    Raises:
        InvalidToken: it is not.
    """
    try:
        decoded = _decoded(AccessToken, token)
    except InvalidToken:
        decoded = _decoded(RefreshToken, token)
    _user_of(decoded)


def user_of(access: str) -> Any:
    """Return the user an access token stands for.

    Raises:
        InvalidToken: expired, forged, or the account was disabled or its password changed since.
    """
    return _user_of(_decoded(AccessToken, access))


def _decoded(kind: type[Any], text: str) -> Any:
    try:
        return kind(text)
    except TokenError as error:
        raise InvalidToken() from error


def _user_of(token: Any) -> Any:
    model = get_user_model()
    try:
        user = model._default_manager.get(
            **{api_settings.USER_ID_FIELD: token.get(api_settings.USER_ID_CLAIM)}
        )
    except (model.DoesNotExist, ValueError, TypeError) as error:
        raise InvalidToken() from error
    if not user.is_active or not constant_time_compare(str(token.get(_SESSION_CLAIM)), _session_claim(user)):
        raise InvalidToken()
    return user


def _spend(token: Any) -> None:
    blacklist = getattr(token, "blacklist", None)
    if blacklist is not None:
        _, created = blacklist()
        if not created:
            raise InvalidToken()


def _session_claim(user: Any) -> str:
    """Changes with the user's password, and says nothing about it."""
    return salted_hmac("automate_api.tokens.session", user.password, algorithm="sha256").hexdigest()[:32]


@lru_cache(maxsize=4)
def _backend(secret_key: str) -> TokenBackend:
    derived = salted_hmac("automate_api.tokens", "signing", secret=secret_key, algorithm="sha256")
    return TokenBackend("HS256", derived.hexdigest())
