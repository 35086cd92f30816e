"""The documented names of the views are importable, each from its documented place."""

from __future__ import annotations

import pytest

import automate_api.v1.views
import automate_modal.api
from automate_api.v1.base import BaseAPIView

CALLS = ["EndpointRunView", "EndpointStreamView", "EndpointJobView"]
RESULTS = ["JobStatusView", "JobEventsView", "ArtifactDownloadView"]


@pytest.mark.parametrize("name", CALLS + RESULTS)
def test_views_of_modal_are_importable(name: str) -> None:
    assert issubclass(getattr(automate_modal.api, name), BaseAPIView)


@pytest.mark.parametrize("name", ["EndpointViewSet", "JobViewSet", "ArtifactViewSet"])
def test_viewsets_of_v1_are_importable(name: str) -> None:
    assert issubclass(getattr(automate_api.v1.views, name), BaseAPIView)


@pytest.mark.parametrize("module", [automate_modal.api, automate_api.v1.views])
def test_other_names_are_not(module: object) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        module.Nothing  # type: ignore[attr-defined]  # noqa: B018
