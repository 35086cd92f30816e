"""The Studio's pages; mount them with `path("studio/", include("automate_studio.urls"))`."""

from __future__ import annotations

from django.urls import path

from automate_studio.views.live import live

app_name = "automate_studio"

urlpatterns = [path("live/<str:workflow>/", live, name="live")]
