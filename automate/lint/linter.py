"""The linter: runs every check over a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from automate.graph import FindHandler, InvalidGraph, compile_graph
from automate.lint import care, flow, paths, references
from automate.lint.drawing import Drawing
from automate.lint.facts import NOTHING, Facts
from automate.lint.findings import Codes, Finding, Severity

MAX_FINDINGS = 200
"""Most findings one check gives; a graph may be made to have any number of them."""

Check = Callable[[Drawing, Facts], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    flow.unreachable,
    flow.unconnected_routes,
    flow.unused_outputs,
    care.missing_timeouts,
    care.endless_waits,
    care.retries_of_single_calls,
    care.unguarded_calls_in_loops,
    paths.unknown_paths,
    paths.steps_not_before,
    references.unknown_secrets,
    references.unknown_connections,
    references.unknown_workflows,
)


def lint_graph(graph: Any, find_handler: FindHandler, facts: Facts = NOTHING) -> list[Finding]:
    """Return what is wrong or doubtful about a graph, in the order of its nodes; never raises for a bad graph.

    Args:
        graph: `{"nodes": [...], "edges": [...], "settings": {...}}`.
        find_handler: returns the step handler of a node type, or None.
        facts: what is known of the world outside; what is not known is not judged.
    """
    try:
        plan = compile_graph(graph, find_handler)
    except InvalidGraph as error:
        return [
            Finding(Codes.INVALID, _node_at(graph, problem.field), f"graph.{problem.field}".rstrip("."),
                    problem.message, Severity.ERROR)
            for problem in error.details
        ]  # fmt: skip
    drawing = Drawing(graph, plan)
    found = [finding for check in CHECKS for finding in islice(check(drawing, facts), MAX_FINDINGS)]
    order = {key: place for place, key in enumerate(drawing.spots)}
    return sorted(found, key=lambda finding: order.get(finding.node, -1))


def _node_at(graph: Any, field: str) -> str:
    """Return the id of the node a problem's field is in, or nothing."""
    if not field.startswith("nodes["):
        return ""
    number = int(field[len("nodes[") : field.index("]")])
    node = graph["nodes"][number]
    key = node.get("id") if isinstance(node, dict) else None
    return key if isinstance(key, str) else ""
