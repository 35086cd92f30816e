"""Routes of the standalone project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from automate_core.health import healthz, metrics, readyz

handler400 = "automate_api.errors.handler400"
handler403 = "automate_api.errors.handler403"
handler404 = "automate_api.errors.handler404"
handler500 = "automate_api.errors.handler500"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("admin/", admin.site.urls),
    path("studio/", include("automate_studio.urls")),
    path("api/", include("automate_studio.canvas.urls")),
    path("api/", include("automate_api.v1.urls")),
]
