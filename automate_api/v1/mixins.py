"""Mixins for API views; each works on a plain DRF view too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.serializers import BaseSerializer
from rest_framework.throttling import BaseThrottle

from automate_api import conf
from automate_api.permissions import HasRole, IsStaff
from automate_api.throttling import RateThrottle

_CORS_HEADERS = (
    "Authorization, Content-Type, X-API-Key, X-Tenant-ID, X-Trace-ID, X-Request-ID, Idempotency-Key"
)
_CORS_EXPOSED = "X-Trace-ID, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After"


class ConfigurableMixin:
    """Gives a view its settings: `AUTOMATE_API[name]`, then `AUTOMATE_API_<name>`."""

    def get_setting(self, name: str, default: Any = None) -> Any:
        """Return an API setting, or `default` when it is not set."""
        return conf.setting(name, default)


class CORSMixin:
    """Adds CORS headers for the exact origins of `cors_origins` (the setting CORS_ORIGINS when None).

    A preflight from an allowed origin is answered before authentication: it carries no credentials.
    """

    cors_origins: ClassVar[Sequence[str] | None] = None
    cors_methods: ClassVar[Sequence[str]] = ("GET", "POST", "PUT", "PATCH", "DELETE")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer the request, with CORS headers when its origin is allowed."""
        allowed = self._allowed_origin(request)
        response: HttpResponseBase
        if allowed and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response = HttpResponse(status=204)
            response.headers["Access-Control-Allow-Methods"] = ", ".join(self.cors_methods)
            response.headers["Access-Control-Allow-Headers"] = _CORS_HEADERS
            response.headers["Access-Control-Max-Age"] = "600"
        else:
            response = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        if allowed:
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = _CORS_EXPOSED
        if self._origins():
            patch_vary_headers(response, ["Origin"])
        return response

    def _origins(self) -> Sequence[str]:
        return conf.setting("CORS_ORIGINS") if self.cors_origins is None else self.cors_origins

    def _allowed_origin(self, request: HttpRequest) -> str | None:
        origin = request.headers.get("Origin")
        return origin if origin and origin in self._origins() else None


class TenantFilterMixin:
    """Keeps a view inside the caller's tenant by `tenant_field`: what it reads, and what it saves."""

    tenant_field: ClassVar[str] = "tenant_id"

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows of the caller's tenant."""
        queryset: QuerySet[Any] = super().get_queryset()  # type: ignore[misc]
        tenant_id = getattr(self.request.auth, "tenant_id", None)  # type: ignore[attr-defined]
        return queryset.none() if tenant_id is None else queryset.filter(**{self.tenant_field: tenant_id})

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        """Save a new row as the caller's tenant's, whatever the body says."""
        serializer.save(**self._owner())

    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        """Save a row without letting it change tenants."""
        serializer.save(**self._owner())

    def _owner(self) -> dict[str, Any]:
        tenant_id = getattr(self.request.auth, "tenant_id", None)  # type: ignore[attr-defined]
        if tenant_id is None:
            raise NotAuthenticated()
        # A field reached through another row is that row's to keep.
        return {} if "__" in self.tenant_field else {self.tenant_field: tenant_id}


class RateLimitMixin:
    """Gives a view a limit of its own: `rate_limit` by `rate_limit_key`."""

    rate_limit: ClassVar[str] = "120/minute"
    rate_limit_key: ClassVar[Literal["user", "ip"]] = "user"

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the view's own limit in place of the standard one."""
        scope = f"{type(self).__module__}.{type(self).__qualname__}"
        return [RateThrottle(self.rate_limit, scope=scope, by_address=self.rate_limit_key == "ip")]


class StaffOnlyMixin:
    """Opens a view to staff only, on top of its other permissions."""

    def get_permissions(self) -> list[BasePermission]:
        """Return the view's permissions and the one for staff."""
        return [IsStaff(), *super().get_permissions()]  # type: ignore[misc]


class PublicAPIMixin:
    """Opens a view to everyone, limited by address: `public_rate_limit`."""

    public: ClassVar[bool] = True
    public_rate_limit: ClassVar[str] = "60/minute"
    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = (AllowAny,)

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the limit by address."""
        scope = f"{type(self).__module__}.{type(self).__qualname__}"
        return [RateThrottle(self.public_rate_limit, scope=scope, by_address=True)]


__all__ = [
    "CORSMixin",
    "ConfigurableMixin",
    "HasRole",
    "PublicAPIMixin",
    "RateLimitMixin",
    "StaffOnlyMixin",
    "TenantFilterMixin",
]
