"""Ready values for a project's settings module; reading them needs no app to be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MIDDLEWARE_FIRST = ["automate_api.middleware.TraceMiddleware", "automate_api.middleware.ApiMiddleware"]
"""Put these before every other middleware, in this order."""

CSRF_FAILURE_VIEW = "automate_api.errors.csrf_failure"

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["automate_api.authentication.AutomateAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["automate_api.permissions.HasRole"],
    "DEFAULT_THROTTLE_CLASSES": ["automate_api.throttling.RateThrottle"],
    "DEFAULT_PARSER_CLASSES": ["automate_api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["automate_api.rendering.ORJSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "automate_api.parsing.JSONNegotiation",
    "DEFAULT_PAGINATION_CLASS": "automate_api.pagination.StandardPagination",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "automate_api.errors.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Django Automate",
    "DESCRIPTION": "Durable workflow automation inside a Django project.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # Without this the page sends the document's address to a validator elsewhere.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "automate_api.schema.add_failures",
    ],
}


def rates_from(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the AUTOMATE_API entries of `AUTOMATE_RATE_STANDARD` and its siblings, where set."""
    names = ("STANDARD", "DATACHAT", "RAG", "EMBED", "WEBHOOK")
    found = {f"RATE_{name}": environ.get(f"AUTOMATE_RATE_{name}", "") for name in names}
    return {name: rate for name, rate in found.items() if rate}
