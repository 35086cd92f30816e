"""Every route under /api/ of the apps that are installed; mount it with `path("api/", include(...))`."""

from __future__ import annotations

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from automate_api.v1.views import documents, tokens

urlpatterns: list[URLPattern | URLResolver] = [
    path("auth/token/", tokens.TokenView.as_view(), name="auth-token"),
    path("auth/token/refresh/", tokens.TokenRefreshView.as_view(), name="auth-token-refresh"),
    path("auth/token/verify/", tokens.TokenVerifyView.as_view(), name="auth-token-verify"),
    path("schema/", documents.SchemaDocumentView.as_view(), name="schema"),
    path("schema/swagger-ui/", documents.SwaggerView.as_view(url_name="schema"), name="swagger-ui"),
    path("schema/redoc/", documents.RedocView.as_view(url_name="schema"), name="redoc"),
]

if apps.is_installed("rest_framework_simplejwt.token_blacklist"):
    urlpatterns.append(
        path("auth/token/blacklist/", tokens.TokenBlacklistView.as_view(), name="auth-token-blacklist")
    )

if apps.is_installed("automate"):
    from automate_api.v1.views import EventViewSet, ExecutionViewSet

    router = SimpleRouter()
    router.register("events", EventViewSet, basename="v1-event")
    router.register("executions", ExecutionViewSet, basename="v1-execution")
    urlpatterns += [
        path("automate/", include("automate.api.urls")),
        path("v1/", include(router.urls)),
    ]

if apps.is_installed("automate_modal"):
    from automate_api.v1.views import ArtifactViewSet, EndpointViewSet, JobViewSet

    modal_router = SimpleRouter()
    modal_router.register("endpoints", EndpointViewSet, basename="v1-endpoint")
    modal_router.register("jobs", JobViewSet, basename="v1-job")
    modal_router.register("artifacts", ArtifactViewSet, basename="v1-artifact")
    urlpatterns += [
        path("modal/", include("automate_modal.api.urls")),
        path("v1/", include(modal_router.urls)),
    ]
