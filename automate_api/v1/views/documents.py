"""The OpenAPI document and the two pages that show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from drf_spectacular import views
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from automate_api.throttling import RateThrottle


class SchemaDocumentView(views.SpectacularAPIView):
    """The OpenAPI document as JSON; it describes routes, not data, so anyone may read it."""

    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = (AllowAny,)
    throttle_classes: Sequence[Any] = (RateThrottle,)
    renderer_classes: list[type[BaseRenderer]] = [OpenApiJsonRenderer]
    http_method_names: Sequence[str] = ("get", "head")


class _Page:
    """A page that may load nothing but what this site serves: no fonts, logos or validators from elsewhere."""

    http_method_names: Sequence[str] = ("get", "head")
    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = (AllowAny,)
    throttle_classes: Sequence[Any] = (RateThrottle,)

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show the page."""
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[misc]
        response.headers["Content-Security-Policy"] = _content_policy()
        return response


class SwaggerView(_Page, views.SpectacularSwaggerView):
    """Swagger UI, from files shipped with the package."""


class RedocView(_Page, views.SpectacularRedocView):
    """ReDoc, from files shipped with the package."""

    template_name = "automate_api/redoc.html"


def _content_policy() -> str:
    static = urlsplit(settings.STATIC_URL or "")
    own = f"'self' {static.scheme}://{static.netloc}" if static.netloc else "'self'"
    return (
        f"default-src {own}; img-src {own} data:; style-src {own} 'unsafe-inline'; "
        f"script-src {own} 'unsafe-inline'; worker-src blob:; frame-ancestors 'self'"
    )
