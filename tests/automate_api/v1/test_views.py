from __future__ import annotations

import re
from importlib import import_module

import pytest

from automate_api.v1 import views
from tests.contract import documented

TO_COME = {"ProviderViewSet", "PromptEvalViewSet"}
"""Documented views of apps to come."""


def documented_in(heading: str) -> list[str]:
    """Return the names of the views below a heading such as `rag/api/ (1 ViewSet)`."""
    headings = [line for line in documented.VIEWS.splitlines() if re.search(r"\(\d ViewSets?\)$", line)]
    (place,) = [line for line in headings if line.startswith(heading)]
    rest = documented.VIEWS.split(f"{place}\n")[1]
    for other in headings:
        rest = rest.split(f"{other}\n")[0]
    return re.findall(r"^(\w+View(?:Set)?)$", rest, re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "module", "count"),
    [
        ("automate_api/v1/views/", "automate_api.v1.views", 6),
        ("automate/api/viewsets/", "automate.api.viewsets", 4),
    ],
)
def test_documented_views_are_where_the_reference_says(heading: str, module: str, count: int) -> None:
    names = documented_in(heading)
    assert len(names) == count
    found = {name for name in names if hasattr(import_module(module), name)}
    assert found == set(names) - TO_COME


@pytest.mark.parametrize("name", ["EventIngestView", "EventViewSet", "ExecutionViewSet"])
def test_documented_view_is_the_engines_own(name: str) -> None:
    import automate.api.viewsets as home

    assert getattr(views, name) is getattr(home, name)


def test_unknown_view_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Absent"):
        _ = views.Absent
