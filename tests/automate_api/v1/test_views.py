from __future__ import annotations

import pytest

from automate_api.v1 import views


@pytest.mark.parametrize("name", ["EventIngestView", "EventViewSet", "ExecutionViewSet"])
def test_documented_view_is_the_engines_own(name: str) -> None:
    import automate.api.viewsets as home

    assert getattr(views, name) is getattr(home, name)


def test_unknown_view_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Absent"):
        _ = views.Absent
