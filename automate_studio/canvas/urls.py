"""The routes of the orchestrator API, relative to /api/; mount it with `path("api/", include(...))`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from automate_studio.canvas.running_view import NodeExecuteView
from automate_studio.canvas.viewsets import CanvasWorkflowViewSet, NodeTypesView, NodeTypeView

router = SimpleRouter()
router.register("workflow", CanvasWorkflowViewSet, basename="canvas-workflow")

urlpatterns: list[URLPattern | URLResolver] = [
    path("workflow/<str:pk>/execute_and_save_node/", NodeExecuteView.as_view(), name="canvas-node-execute"),
    *router.urls,
    path("nodes/", NodeTypesView.as_view(), name="canvas-node-types"),
    path("nodes/<str:type>/", NodeTypeView.as_view(), name="canvas-node-type"),
]
