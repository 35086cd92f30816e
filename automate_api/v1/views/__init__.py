"""The views of /api/v1/, loaded when they are asked for; each lives with the app it belongs to."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automate.api.viewsets import EventIngestView as EventIngestView
    from automate.api.viewsets import EventViewSet as EventViewSet
    from automate.api.viewsets import ExecutionViewSet as ExecutionViewSet
    from automate_api.v1.views.artifacts import ArtifactViewSet as ArtifactViewSet
    from automate_api.v1.views.endpoints import EndpointViewSet as EndpointViewSet
    from automate_api.v1.views.jobs import JobViewSet as JobViewSet

_HOMES = {
    "ArtifactViewSet": "automate_api.v1.views.artifacts",
    "EndpointViewSet": "automate_api.v1.views.endpoints",
    "EventIngestView": "automate.api.viewsets",
    "EventViewSet": "automate.api.viewsets",
    "ExecutionViewSet": "automate.api.viewsets",
    "JobViewSet": "automate_api.v1.views.jobs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
