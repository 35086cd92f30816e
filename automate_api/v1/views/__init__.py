"""The views of /api/v1/, loaded when they are asked for; each lives with the app it belongs to."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automate.api.viewsets import EventIngestView as EventIngestView
    from automate.api.viewsets import EventViewSet as EventViewSet
    from automate.api.viewsets import ExecutionViewSet as ExecutionViewSet

_HOMES = {
    "EventIngestView": "automate.api.viewsets",
    "EventViewSet": "automate.api.viewsets",
    "ExecutionViewSet": "automate.api.viewsets",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
