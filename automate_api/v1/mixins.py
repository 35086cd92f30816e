"""Mixins for API views; each works on a plain DRF view too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from limits import parse
from rest_framework.exceptions import NotAuthenticated, PermissionDenied, ValidationError
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer
from rest_framework.throttling import BaseThrottle

from automate_api import conf, throttling
from automate_api.permissions import HasRole, IsStaff
from automate_api.principal import TENANT_HEADER, Principal, of_user
from automate_api.throttling import RateThrottle
from automate_core.errors import AccessDenied, NotFound, ValidationFailed

_CORS_HEADERS = ", ".join(
    ("Authorization", "Content-Type", "X-API-Key", "X-Tenant-ID", "X-Trace-ID", "traceparent", "X-Request-ID",
     "Idempotency-Key")
)  # fmt: skip
_CORS_EXPOSED = ", ".join(
    ("X-Trace-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After",
     "Idempotent-Replayed")
)  # fmt: skip


class ConfigurableMixin:
    """Gives a view its settings: `AUTOMATE_API[name]`, then `AUTOMATE_API_<name>`."""

    def get_setting(self, name: str, default: Any = None) -> Any:
        """Return an API setting, or `default` when it is not set."""
        return conf.setting(name, default)


class CORSMixin:
    """Adds CORS headers for the exact origins of `cors_origins` (the setting CORS_ORIGINS when None).

    A preflight from an allowed origin is answered before authentication: it carries no credentials. What is not in
    `cors_methods` is answered without these headers. `"*"` stands for every origin; cookies are never allowed along.
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
        if allowed and self._allows(request.method or ""):
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = _CORS_EXPOSED
        if self._origins():
            patch_vary_headers(response, ["Origin"])
        return response

    def _origins(self) -> Sequence[str]:
        return conf.setting("CORS_ORIGINS") if self.cors_origins is None else self.cors_origins

    def _allowed_origin(self, request: HttpRequest) -> str | None:
        origin, allowed = request.headers.get("Origin"), self._origins()
        if "*" in allowed:
            return "*" if origin else None
        return origin if origin and origin in allowed else None

    def _allows(self, method: str) -> bool:
        return {"HEAD": "GET"}.get(method, method) in {"OPTIONS", *self.cors_methods}


class TenantFilterMixin:
    """Keeps a view inside the caller's tenant by `tenant_field`: what it reads, and what it saves.

    Override point: `get_tenant_id`, for a model whose tenants are a project's own and not these.
    """

    tenant_field: ClassVar[str] = "tenant_id"

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows of the caller's tenant."""
        queryset: QuerySet[Any] = super().get_queryset()  # type: ignore[misc]
        tenant_id = None if getattr(self, "swagger_fake_view", False) else self.get_tenant_id()
        return queryset.none() if tenant_id is None else queryset.filter(**{self.tenant_field: tenant_id})

    def get_tenant_id(self) -> Any:
        """Return what `tenant_field` is in the caller's rows; None: the caller has none."""
        request: Request = self.request  # type: ignore[attr-defined]
        if isinstance(request.auth, Principal):
            return request.auth.tenant_id
        if request.user is None or not request.user.is_authenticated:
            return None
        try:
            return of_user(request.user, wanted=request.headers.get(TENANT_HEADER)).tenant_id
        # A view of the project's own may have a handler of errors that knows nothing of ours.
        except NotFound as error:
            raise Http404(error.message) from error
        except AccessDenied as error:
            raise PermissionDenied(error.message) from error
        except ValidationFailed as error:
            raise ValidationError({TENANT_HEADER: error.message}) from error

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        """Save a new row as the caller's tenant's, whatever the body says."""
        self._keep(serializer)
        super().perform_create(serializer)  # type: ignore[misc]

    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        """Save a row without letting it change tenants."""
        self._keep(serializer)
        super().perform_update(serializer)  # type: ignore[misc]

    def _keep(self, serializer: BaseSerializer[Any]) -> None:
        tenant_id = self.get_tenant_id()
        if tenant_id is None:
            raise NotAuthenticated()
        # A field reached through another row is that row's to keep.
        if "__" not in self.tenant_field:
            keep_in_tenant(serializer, self.tenant_field, tenant_id)


class _LimitedView:
    """Says in its headers where the caller stands."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the rate headers to the response."""
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        throttling.add_headers(request._request, response)
        return response


class RateLimitMixin(_LimitedView):
    """Gives a view a limit of its own: `rate_limit` by `rate_limit_key`."""

    rate_limit: ClassVar[str] = "120/minute"
    rate_limit_key: ClassVar[Literal["user", "ip"]] = "user"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a limit that would only fail at the first request; raises ImproperlyConfigured."""
        super().__init_subclass__(**kwargs)
        _check_rate(cls, "rate_limit")
        if cls.rate_limit_key not in ("user", "ip"):
            raise ImproperlyConfigured(
                f"{cls.__name__}.rate_limit_key must be 'user' or 'ip', not {cls.rate_limit_key!r}"
            )

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the view's own limit in place of the standard one."""
        scope = f"{type(self).__module__}.{type(self).__qualname__}"
        return [RateThrottle(self.rate_limit, scope=scope, by_address=self.rate_limit_key == "ip")]


class StaffOnlyMixin:
    """Opens a view to staff only, on top of its other permissions."""

    def get_permissions(self) -> list[BasePermission]:
        """Return the view's permissions and the one for staff."""
        return [IsStaff(), *super().get_permissions()]  # type: ignore[misc]


class PublicAPIMixin(_LimitedView):
    """Opens a view to everyone, limited by address: `public_rate_limit`."""

    public: ClassVar[bool] = True
    public_rate_limit: ClassVar[str] = "60/minute"
    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = (AllowAny,)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a limit that would only fail at the first request; raises ImproperlyConfigured."""
        super().__init_subclass__(**kwargs)
        _check_rate(cls, "public_rate_limit")

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the limit by address."""
        scope = f"{type(self).__module__}.{type(self).__qualname__}"
        return [RateThrottle(self.public_rate_limit, scope=scope, by_address=True)]


def keep_in_tenant(serializer: BaseSerializer[Any], name: str, tenant_id: Any) -> None:
    """Make a valid serializer save its rows with `tenant_id` in the field `name`, whatever the body says."""
    model = getattr(getattr(serializer, "Meta", None), "model", None)
    field = None if model is None else model._meta.get_field(name)
    rows = serializer.validated_data if isinstance(serializer.validated_data, list) else None
    for row in [serializer.validated_data] if rows is None else rows:
        if field is not None:
            row.pop(field.name, None)
        row[name if field is None else field.attname] = tenant_id


def _check_rate(view: type, name: str) -> None:
    rate = getattr(view, name)
    try:
        parse(rate)
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured(
            f"{view.__name__}.{name} must be like '120/minute', not {rate!r}"
        ) from error


__all__ = [
    "CORSMixin",
    "ConfigurableMixin",
    "HasRole",
    "PublicAPIMixin",
    "RateLimitMixin",
    "StaffOnlyMixin",
    "TenantFilterMixin",
    "keep_in_tenant",
]
