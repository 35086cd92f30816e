"""The engine's routes, relative to /api/automate/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from automate.api.approval_links import ApprovalLinkView
from automate.api.resume import ResumeView
from automate.api.stream import ExecutionStreamView
from automate.api.viewsets import (
    ApprovalViewSet,
    EventViewSet,
    ExecutionViewSet,
    SchemaViewSet,
    WorkflowViewSet,
    ZapierViewSet,
)
from automate.api.webhooks import webhook

router = SimpleRouter()
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("executions", ExecutionViewSet, basename="execution")
router.register("events", EventViewSet, basename="event")
router.register("approvals", ApprovalViewSet, basename="approval")
router.register("zapier", ZapierViewSet, basename="zapier")
router.register("schema", SchemaViewSet, basename="database-schema")

urlpatterns: list[URLPattern | URLResolver] = [
    path("webhooks/<str:source>/", webhook, name="webhook"),
    path("approvals/links/<str:token>/", ApprovalLinkView.as_view(), name="automate-approval-link"),
    path("resume/<str:token>/", ResumeView.as_view(), name="automate-resume"),
    path("executions/<uuid:pk>/stream/", ExecutionStreamView.as_view(), name="automate-execution-stream"),
    path("", include(router.urls)),
]
