"""The engine's routes, relative to /api/automate/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from automate.api.resume import ResumeView
from automate.api.viewsets import EventViewSet, ExecutionViewSet, WorkflowViewSet
from automate.api.webhooks import webhook

router = SimpleRouter()
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("executions", ExecutionViewSet, basename="execution")
router.register("events", EventViewSet, basename="event")

urlpatterns: list[URLPattern | URLResolver] = [
    path("webhooks/<str:source>/", webhook, name="webhook"),
    path("resume/<str:token>/", ResumeView.as_view(), name="resume"),
    path("", include(router.urls)),
]
