"""The OpenAPI document and the two pages that show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular import views
from drf_spectacular.renderers import OpenApiJsonRenderer
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer

from automate_api.throttling import RateThrottle


class SchemaDocumentView(views.SpectacularAPIView):
    """The OpenAPI document as JSON; it describes routes, not data, so anyone may read it."""

    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = (AllowAny,)
    throttle_classes: Sequence[Any] = (RateThrottle,)
    renderer_classes: list[type[BaseRenderer]] = [OpenApiJsonRenderer]


class SwaggerView(views.SpectacularSwaggerView):
    """Swagger UI, from files shipped with the package."""

    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = (AllowAny,)
    throttle_classes: Sequence[Any] = (RateThrottle,)


class RedocView(views.SpectacularRedocView):
    """ReDoc, from files shipped with the package."""

    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = (AllowAny,)
    throttle_classes: Sequence[Any] = (RateThrottle,)
