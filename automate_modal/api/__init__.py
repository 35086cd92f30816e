"""The views of endpoints, jobs and artifacts, loaded when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automate_modal.api.calls import EndpointJobView as EndpointJobView
    from automate_modal.api.calls import EndpointRunView as EndpointRunView
    from automate_modal.api.calls import EndpointStreamView as EndpointStreamView
    from automate_modal.api.results import ArtifactDownloadView as ArtifactDownloadView
    from automate_modal.api.results import JobEventsView as JobEventsView
    from automate_modal.api.results import JobStatusView as JobStatusView

_HOMES = {
    "ArtifactDownloadView": "automate_modal.api.results",
    "EndpointJobView": "automate_modal.api.calls",
    "EndpointRunView": "automate_modal.api.calls",
    "EndpointStreamView": "automate_modal.api.calls",
    "JobEventsView": "automate_modal.api.results",
    "JobStatusView": "automate_modal.api.results",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
