"""The engine's viewsets, loaded when they are asked for: importing this needs no app to be ready."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automate.api.viewsets.approvals import ApprovalViewSet as ApprovalViewSet
    from automate.api.viewsets.events import EventIngestView as EventIngestView
    from automate.api.viewsets.events import EventViewSet as EventViewSet
    from automate.api.viewsets.executions import ExecutionViewSet as ExecutionViewSet
    from automate.api.viewsets.schema import SchemaViewSet as SchemaViewSet
    from automate.api.viewsets.workflows import WorkflowViewSet as WorkflowViewSet
    from automate.api.viewsets.zapier import ZapierViewSet as ZapierViewSet

_HOMES = {
    "ApprovalViewSet": "automate.api.viewsets.approvals",
    "EventIngestView": "automate.api.viewsets.events",
    "EventViewSet": "automate.api.viewsets.events",
    "ExecutionViewSet": "automate.api.viewsets.executions",
    "SchemaViewSet": "automate.api.viewsets.schema",
    "WorkflowViewSet": "automate.api.viewsets.workflows",
    "ZapierViewSet": "automate.api.viewsets.zapier",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
