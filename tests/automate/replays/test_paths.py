"""Addresses of steps: what reads as one, and where in a graph it leads."""

from __future__ import annotations

import pytest

from automate.graph import compile_graph
from automate.replays.paths import Segment, node_at, parse_path, require_node
from automate.runtime.plans import find_handler
from automate_core.errors import ValidationFailed
from tests.factories.engine import edge, node

PLAN = compile_graph(
    {
        "nodes": [
            node("a", "merge"), node("each", "for_each", {"items": [1]}), node("in", "merge"),
            node("inner", "for_each", {"items": [1]}), node("deep", "merge"),
        ],
        "edges": [
            edge("a", "each"), edge("each", "in", "item"), edge("in", "inner"), edge("inner", "deep", "item"),
        ],
    },
    find_handler,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", (Segment("a"),)),
        ("each[3]", (Segment("each", 3),)),
        ("each[0]/in", (Segment("each", 0), Segment("in"))),
        ("each[12]/inner[0]/deep", (Segment("each", 12), Segment("inner", 0), Segment("deep"))),
        ("ein Schritt", (Segment("ein Schritt"),)),
    ],
)
def test_path_is_read(text, path):
    assert parse_path(text) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/a",
        "a[",
        "a[]",
        "a[-1]",
        "a[01]",
        "a[1]b",
        "a[1][2]",
        "a[9999999999]",
        "a/b",
        "x" * 1001,
    ],
)
def test_what_is_no_path_is_refused(text):
    with pytest.raises(ValidationFailed) as refused:
        parse_path(text)
    assert [problem.field for problem in refused.value.details] == ["from"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a", "a"),
        ("each", "each"),
        ("each[7]", "each"),
        ("each[7]/in", "in"),
        ("each[1]/inner[2]/deep", "deep"),
    ],
)
def test_path_leads_to_its_node(text, key):
    assert require_node(PLAN, parse_path(text)).key == key


@pytest.mark.parametrize("text", ["absent", "a[0]", "a[0]/in", "in", "each[0]/a", "each[0]/deep"])
def test_path_that_leads_nowhere_is_refused(text):
    assert node_at(PLAN, parse_path(text)) is None
    with pytest.raises(ValidationFailed):
        require_node(PLAN, parse_path(text))


def test_step_in_a_loop_wants_its_iteration_named():
    with pytest.raises(ValidationFailed) as refused:
        require_node(PLAN, parse_path("in"))
    assert "name the iteration, as in each[0]/in" in refused.value.details[0].message
