from __future__ import annotations

from typing import Any

import pytest

from automate.lint import Codes, Finding, Severity
from automate.lint.linter import MAX_FINDINGS
from tests.automate.lint.graphs import call, found, graph, log


def test_graph_without_faults_has_no_findings() -> None:
    assert (
        found(graph(log("a", "{{ input.total }}"), call(), log("b", "{{ steps.call.output.status }}"))) == []
    )


@pytest.mark.parametrize(
    ("given", "node", "field"),
    [
        ([], "", "graph"),
        ({"nodes": 5}, "", "graph.nodes"),
        ({"nodes": [5]}, "", "graph.nodes[0]"),
        ({"nodes": [log("a"), {"id": "b", "type": "absent"}]}, "b", "graph.nodes[1].type"),
        ({"nodes": [{"id": 7, "type": "logging"}]}, "", "graph.nodes[0].id"),
    ],
)
def test_what_does_not_compile_is_an_error(given: Any, node: str, field: str) -> None:
    (only,) = found(given)
    assert (only.code, only.node, only.field, only.severity) == ("invalid", node, field, Severity.ERROR)


def test_findings_come_in_the_order_of_the_nodes() -> None:
    given = graph(log("a", "{{ x }}"), call("b", timeout_seconds=None), log("c", "{{ y }}"))
    assert [one.node for one in found(given)] == ["a", "b", "c"]


def test_findings_of_one_kind_are_bounded() -> None:
    given = graph(log("a", ["{{ x }}"] * (MAX_FINDINGS + 1)))
    assert len(found(given)) == MAX_FINDINGS


def test_finding_is_written_with_all_its_parts() -> None:
    finding = Finding(Codes.UNREACHABLE, "a", "graph.nodes[0]", "draw an edge")
    assert finding.as_dict() == {
        "code": "unreachable", "node": "a", "field": "graph.nodes[0]", "message": "draw an edge",
        "severity": "warning",
    }  # fmt: skip


def test_error_reaches_both_levels_and_a_warning_one() -> None:
    levels = (Severity.WARNING, Severity.ERROR)
    assert [[one.reaches(other) for other in levels] for one in levels] == [[True, False], [True, True]]
