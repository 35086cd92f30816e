"""A graph as it is drawn, and what of it a version keeps: positions of nodes belong to the drawing alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeGuard

from automate_core.errors import Problem

POSITION = "position"
_SPELLINGS = {"from": "source", "to": "target"}


class Drawn(Protocol):
    """What knows how it is drawn: a workflow, as it is stored."""

    draft: dict[str, Any] | None
    layout: dict[str, Any]

    @property
    def live_version(self) -> Any:
        """The version new executions run, if there is one."""


def shown_graph(workflow: Drawn) -> dict[str, Any]:
    """Return the graph people see: the draft if there is one, else the live one, with the positions of its nodes."""
    live = workflow.live_version
    graph = (
        workflow.draft if workflow.draft is not None else live.graph if live else {"nodes": [], "edges": []}
    )
    if "nodes" not in graph:
        return dict(graph)
    return {**graph, "nodes": [_placed(node, workflow.layout) for node in graph["nodes"]]}


def drawn_graph(workflow: Drawn) -> dict[str, Any]:
    """Return the graph people see with the lists of its nodes and edges, also where it was saved without them."""
    return whole(shown_graph(workflow))


def whole(graph: Mapping[str, Any]) -> dict[str, Any]:
    """Return a graph with the lists of its nodes and edges, and edges that go from `source` to `target`."""
    edges = [_spelled(edge) for edge in graph.get("edges") or ()]
    return {**graph, "nodes": list(graph.get("nodes") or ()), "edges": edges}


def split(graph: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a graph without the positions of its nodes, and those positions by node id."""
    nodes = graph.get("nodes")
    if not _is_list(nodes):
        return dict(graph), {}
    layout = {node["id"]: node[POSITION] for node in nodes if _has_position(node)}
    return {**graph, "nodes": [_without_position(node) for node in nodes]}, layout


def kept_positions(layout: Mapping[str, Any], graph: Mapping[str, Any]) -> dict[str, Any]:
    """Return the positions of the nodes that are in the graph."""
    ids = {node["id"] for node in graph.get("nodes", [])}
    return {node_id: position for node_id, position in layout.items() if node_id in ids}


def position_problems(graph: Any) -> list[Problem]:
    """Return what is wrong with the positions in a graph; fields are relative to the graph."""
    nodes = graph.get("nodes") if isinstance(graph, Mapping) else None
    return [
        Problem(f"nodes[{number}].{POSITION}", 'must be an object with the numbers "x" and "y"')
        for number, node in enumerate(nodes if _is_list(nodes) else ())
        if isinstance(node, Mapping) and node.get(POSITION) is not None and not is_position(node[POSITION])
    ]


def is_position(value: Any) -> bool:
    """Tell whether a value says where a node is drawn: `{"x": 100, "y": 200}`."""
    return isinstance(value, Mapping) and all(
        isinstance(value.get(axis), int | float) and not isinstance(value[axis], bool) for axis in ("x", "y")
    )


def _spelled(edge: Any) -> Any:
    if not isinstance(edge, Mapping) or not _SPELLINGS.keys() & edge.keys():
        return edge
    renamed = {_SPELLINGS.get(name, name): value for name, value in edge.items()}
    return {**renamed, **{name: edge[name] for name in _SPELLINGS.values() if name in edge}}


def _placed(node: Any, layout: Mapping[str, Any]) -> Any:
    if not isinstance(node, Mapping) or node.get("id") not in layout:
        return node
    return {**node, POSITION: layout[node["id"]]}


def _has_position(node: Any) -> bool:
    return isinstance(node, Mapping) and isinstance(node.get("id"), str) and is_position(node.get(POSITION))


def _without_position(node: Any) -> Any:
    if not isinstance(node, Mapping):
        return node
    return {name: value for name, value in node.items() if name != POSITION}


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
