"""What is wrong with a drawn graph, told node by node: the 422 of the orchestrator API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from automate import workflows
from automate.models import Automation
from automate_core.errors import Problem, ValidationFailed

WHOLE = "workflow"
"""What problems are told under that belong to no single node."""
MESSAGE = "Workflow validation failed"

_NODE = re.compile(r"graph\.nodes\[(\d+)\]\.?(.*)", re.DOTALL)
_EDGE = re.compile(r"graph\.edges\[(\d+)\]\.?(.*)", re.DOTALL)


class InvalidWorkflow(ValidationFailed):
    """Workflow validation failed."""


def check_ready(automation: Automation, *, by: str, user: Any = None) -> Automation:
    """Return the workflow with what is drawn as its live version.

    Raises:
        InvalidWorkflow: it cannot run yet, with every problem of every node.
    """
    if found := workflows.draft_problems(automation):
        raise InvalidWorkflow.of(by_node(automation.draft or {}, found), MESSAGE)
    return workflows.settle_draft(automation, by=by, user=user)


def by_node(graph: Mapping[str, Any], problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems of a graph with the node each belongs to, fields relative to its form."""
    return [_told(graph, problem) for problem in problems]


def _told(graph: Mapping[str, Any], problem: Problem) -> Problem:
    if found := _NODE.fullmatch(problem.field):
        node = str(graph["nodes"][int(found[1])].get("id"))
        message = problem.message.removeprefix(f"node {node!r}: ").removeprefix(f"node {node!r} ")
        message = "This field is required" if message == "is required" else message
        return Problem(found[2].removeprefix("config.") or "node", message, node)
    if found := _EDGE.fullmatch(problem.field):
        edge = graph["edges"][int(found[1])]
        source = edge.get("source", edge.get("from"))
        known = any(node.get("id") == source for node in graph["nodes"])
        return Problem("connections", problem.message, str(source) if known else WHOLE)
    return Problem(problem.field.removeprefix("graph.") or WHOLE, problem.message, WHOLE)
