"""The routes that hand out, renew, check and end bearer tokens."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib.auth import authenticate
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from automate_api import conf, throttling, tokens
from automate_api.bodies import BodySerializer, valid
from automate_api.v1.base import BaseAPIView
from automate_api.v1.mixins import PublicAPIMixin

_CHALLENGE = 'Bearer realm="api"'
_REFUSED = OpenApiResponse(
    {"$ref": "#/components/schemas/Error"}, "The account, the password or the token is not good"
)
_LOGIN_EXAMPLES = [
    OpenApiExample("request", {"username": "admin", "password": "secret"}, request_only=True),
    OpenApiExample(
        "response",
        {"access": "eyJ0eXAiOiJKV1QiLCJhbGc...", "refresh": "eyJ0eXAiOiJKV1QiLCJhbGc...", "expires_in": 3600},
        response_only=True,
        status_codes=["200"],
    ),
]


class LoginSerializer(BodySerializer):
    """A username and its password."""

    username = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False, write_only=True)


class TokenPairSerializer(serializers.Serializer[Any]):
    """A new pair; `expires_in` is the access token's life in seconds."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_in = serializers.IntegerField()


class RefreshSerializer(BodySerializer):
    """A refresh token."""

    refresh = serializers.CharField(max_length=4096)


class VerifySerializer(BodySerializer):
    """Any token of ours."""

    token = serializers.CharField(max_length=4096)


class EmptySerializer(serializers.Serializer[Any]):
    """An empty object."""


class _TokenView(PublicAPIMixin, BaseAPIView):
    """A route anyone may call; the standard limit counts by address."""

    def get_throttles(self) -> list[Any]:
        """Count by address under the standard limit."""
        return [throttling.RateThrottle(by_address=True)]

    def get_authenticate_header(self, request: Request) -> str:
        """Return the challenge sent with 401."""
        return _CHALLENGE


class TokenView(_TokenView):
    """POST a username and password for a token pair."""

    @extend_schema(
        operation_id="auth_token",
        request=LoginSerializer,
        responses={200: TokenPairSerializer, 401: _REFUSED},
        auth=[],
        examples=_LOGIN_EXAMPLES,
    )
    def post(self, request: Request) -> Response:
        """Return a new pair; repeated failures for one name from one address are held back."""
        given = valid(LoginSerializer, request)
        failures = {
            "scope": "LOGIN_FAILURES",
            "identity": f"{throttling.client_address(request._request)}:{given['username'].lower()}",
            "rate": conf.setting("RATE_LOGIN_FAILURES"),
        }
        state = throttling.peek(**failures)
        if not state.allowed:
            request._request.rate_state = state  # type: ignore[attr-defined]
            raise Throttled(state.wait_seconds)
        user = authenticate(request._request, username=given["username"], password=given["password"])
        if user is None or not user.is_active:
            throttling.hit(**failures)
            raise AuthenticationFailed("No active account has this username and password")
        return Response(asdict(tokens.issue(user)))


class TokenRefreshView(_TokenView):
    """POST a refresh token for the next pair."""

    @extend_schema(
        operation_id="auth_token_refresh",
        request=RefreshSerializer,
        responses={200: TokenPairSerializer, 401: _REFUSED},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Spend the refresh token and return a new pair."""
        return Response(asdict(tokens.renew(valid(RefreshSerializer, request)["refresh"])))


class TokenVerifyView(_TokenView):
    """POST a token to learn whether it is live."""

    @extend_schema(
        operation_id="auth_token_verify",
        request=VerifySerializer,
        responses={200: EmptySerializer, 401: _REFUSED},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Answer an empty object when the token is live, 401 otherwise."""
        tokens.verify(valid(VerifySerializer, request)["token"])
        return Response({})


class TokenBlacklistView(_TokenView):
    """POST a refresh token to end it."""

    @extend_schema(
        operation_id="auth_token_blacklist",
        request=RefreshSerializer,
        responses={200: EmptySerializer, 401: _REFUSED},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Spend the refresh token."""
        tokens.revoke(valid(RefreshSerializer, request)["refresh"])
        return Response({})
