"""Errors of the orchestrator API that no request asks for: limits, and faults of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from automate_core.errors import Problem
from automate_core.steps import step_registry
from automate_studio.canvas.errors import by_node
from tests.automate_studio.canvas.test_node_types import WeighStep

pytestmark = pytest.mark.django_db


class BrokenStep(WeighStep):
    """Breaks when it is asked what is wrong with a config."""

    type = "t.broken"

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        raise ZeroDivisionError


def test_limit_is_answered_flat_with_its_headers(canvas, settings):
    settings.AUTOMATE_API = {**settings.AUTOMATE_API, "RATE_STANDARD": "1/hour"}
    answers = [canvas.get() for _ in range(3)]
    last = answers[-1]
    assert (last.status_code, last.json()["code"], last.json()["details"]) == (429, "RATE_LIMITED", {})
    assert (last["X-RateLimit-Limit"], last["X-RateLimit-Remaining"], "Retry-After" in last) == (
        "1",
        "0",
        True,
    )


def test_fault_of_ours_is_answered_flat_and_without_a_traceback(canvas):
    step_registry.register("t.broken", BrokenStep())
    canvas.client.raise_request_exception = False
    try:
        answer = canvas.post("nodes/add/", {"nodeTemplate": "t.broken", "form_values": {}})
    finally:
        step_registry.unregister("t.broken")
    body = answer.json()
    assert (answer.status_code, body["code"], body["details"]) == (500, "INTERNAL_ERROR", {})
    assert sorted(body) == ["code", "details", "error", "trace_id"]
    assert "Traceback" not in answer.content.decode()


def test_problems_are_told_of_their_nodes():
    graph = {"nodes": [{"id": "a"}, {"id": "b"}], "edges": [{"from": "b", "to": "c"}, {"source": "x"}]}
    problems = [
        Problem("graph.nodes[0].config.cases[0].route", "node 'a': must be a text"),
        Problem("graph.nodes[1].type", "node 'b' has the unknown type 'z'"),
        Problem("graph.edges[0].target", "there is no node 'c'"),
        Problem("graph.edges[1].source", "there is no node 'x'"),
        Problem("graph.settings.priority", "is wrong"),
        Problem("graph.nodes", "has too many"),
    ]
    assert [(found.node, found.field, found.message) for found in by_node(graph, problems)] == [
        ("a", "cases[0].route", "must be a text"),
        ("b", "type", "has the unknown type 'z'"),
        ("b", "connections", "there is no node 'c'"),
        ("workflow", "connections", "there is no node 'x'"),
        ("workflow", "settings.priority", "is wrong"),
        ("workflow", "nodes", "has too many"),
    ]
