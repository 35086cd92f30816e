"""Graphs for the linter's tests, and what it finds in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automate.lint import Facts, Finding, lint_graph
from automate.runtime.plans import find_handler
from tests.factories.engine import edge, node

LOG = {"message": "hello"}
EACH = {"items": "{{ input.lines }}"}
READS_NOTHING = {"==": [1, 1]}
READS_INPUT = {">": [{"var": "input.total"}, 100]}

GET = {"url": "https://api.example.com/orders"}
POST = {**GET, "method": "POST"}


def graph(*nodes: Mapping[str, Any], edges: Any = (), **more: Any) -> dict[str, Any]:
    """Return a graph."""
    return {"nodes": list(nodes), "edges": list(edges), **more}


def log(key: str = "log", message: Any = "hello", **more: Any) -> dict[str, Any]:
    """Return a node that logs a message, a template usually."""
    return node(key, "logging", {"message": message}, **more)


def call(key: str = "call", config: Mapping[str, Any] = GET, **more: Any) -> dict[str, Any]:
    """Return a node that calls an outside system, with a time limit."""
    return node(key, "http.request", config, **{"timeout_seconds": 10, **more})


def looped(
    *body: Mapping[str, Any], loop: Mapping[str, Any] | None = None, after: Any = (), **more: Any
) -> Any:
    """Return a graph of a loop `each` whose body and whose rest are chains."""
    first = loop or node("each", "for_each", EACH, **more)
    handles = [(first, body, "item"), (first, after, "done")]
    edges = []
    for source, chain, handle in handles:
        previous, leave = source["id"], handle
        for one in chain:
            edges.append(edge(previous, one["id"], leave))
            previous, leave = one["id"], None
    return graph(first, *body, *after, edges=edges)


def found(given: Any, facts: Facts | None = None) -> list[Finding]:
    """Return everything the linter finds."""
    return lint_graph(given, find_handler, facts or Facts())


def places(code: str, given: Any, facts: Facts | None = None) -> list[tuple[str, str]]:
    """Return node and field of the findings with this code."""
    return [(one.node, one.field) for one in found(given, facts) if one.code == code]


def message(code: str, given: Any, facts: Facts | None = None) -> str:
    """Return the message of the only finding with this code."""
    (only,) = [one.message for one in found(given, facts) if one.code == code]
    return only
