"""Edits of a drawn graph: nodes and edges are added, filled in and removed; each edit is one `workflows.draw`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction

from automate import workflows
from automate.drawings import drawn_graph
from automate.graph import MAX_NODES, graph_problems
from automate.models import Automation
from automate.runtime.plans import find_handler
from automate_core.errors import NotFound, Problem, ValidationFailed
from automate_core.ids import uuid7
from automate_studio.canvas import node_data, node_types

Graph = dict[str, Any]

_EDGE_IDS = UUID("6f2d8a5e-5b1c-4c39-9d0e-2f1f3a1c7b44")


def add_node(
    automation: Automation,
    *,
    node_type: str,
    form_values: Mapping[str, Any],
    position: Mapping[str, Any],
    by: str,
    user: Any = None,
    node_id: str | None = None,
    label: str = "",
) -> dict[str, Any]:
    """Draw one more node and return it as the graph has it.

    Args:
        automation: the workflow.
        node_type: a registered type, in any of its spellings; the graph keeps this one.
        form_values: its config, as far as it is filled in.
        position: where it is drawn, `{"x": ..., "y": ...}`.
        by: who does it, for the audit trail.
        user: the user who does it, when there is one.
        node_id: its id in templates (`steps.<id>.output`); a UUID when None.
        label: what people call it.

    Raises:
        NotFound: the workflow was deleted.
        ValidationFailed: the type is unknown, the id is taken or not usable, or there are too many nodes.
    """
    if find_handler(node_type) is None:
        raise ValidationFailed.of([Problem("nodeTemplate", node_types.unknown(node_type))])
    node: dict[str, Any] = {
        "id": str(uuid7()) if node_id is None else node_id,
        "type": node_type,
        "config": dict(form_values),
        "position": dict(position),
        **({"label": label} if label else {}),
    }

    # An impossible id is refused here: a node that has one could not be addressed any more, not even to remove it.
    wrong = [
        found for found in graph_problems({"nodes": [node]}, find_handler) if found.field == "nodes[0].id"
    ]
    if wrong:
        raise ValidationFailed.of([Problem("id", wrong[0].message)])

    def change(graph: Graph) -> Graph:
        if len(graph["nodes"]) >= MAX_NODES:
            raise ValidationFailed.of([Problem("nodeTemplate", f"a workflow has at most {MAX_NODES} nodes")])
        if any(held["id"] == node["id"] for held in graph["nodes"]):
            raise ValidationFailed.of([Problem("id", f"{node['id']!r} is used by another node")])
        return {**graph, "nodes": [*graph["nodes"], node]}

    workflows.draw(automation, change, by=by, user=user)
    return node


def change_node(
    automation: Automation,
    node_id: str,
    *,
    by: str,
    user: Any = None,
    form_values: Mapping[str, Any] | None = None,
    label: str | None = None,
) -> dict[str, Any]:
    """Fill in a node anew, or call it otherwise, and return it; what is None stays as it is.

    Raises:
        NotFound: the workflow was deleted, or has no such node.
    """
    changed: dict[str, Any] = {}
    if form_values is not None:
        changed["config"] = dict(form_values)
    if label is not None:
        changed["label"] = label

    def change(graph: Graph) -> Graph:
        find_node(graph, node_id)
        nodes = [{**node, **changed} if node["id"] == node_id else node for node in graph["nodes"]]
        return {**graph, "nodes": nodes}

    return find_node(drawn_graph(workflows.draw(automation, change, by=by, user=user)), node_id)


def remove_node(automation: Automation, node_id: str, *, by: str, user: Any = None) -> None:
    """Take a node off the drawing with its edges, and forget what it was tried out with.

    Raises:
        NotFound: the workflow was deleted, or has no such node.
    """

    def change(graph: Graph) -> Graph:
        find_node(graph, node_id)
        nodes = [node for node in graph["nodes"] if node["id"] != node_id]
        edges = [edge for edge in graph["edges"] if node_id not in ends(edge)]
        return {**graph, "nodes": nodes, "edges": edges}

    with transaction.atomic():
        workflows.draw(automation, change, by=by, user=user)
        node_data.forget(automation, [node_id])


def connect(
    automation: Automation, source: str, target: str, handle: str | None, *, by: str, user: Any = None
) -> tuple[dict[str, Any], bool]:
    """Draw an edge; return it with its id, and whether it is new.

    Args:
        automation: the workflow.
        source: id of the node it leaves.
        target: id of the node it leads to.
        handle: the route it leaves by; None for a node without routes.
        by: who does it, for the audit trail.
        user: the user who does it, when there is one.

    Raises:
        NotFound: the workflow was deleted.
        ValidationFailed: there is no such node.
    """
    edge = {"source": source, "target": target, **({"source_handle": handle} if handle else {})}
    is_new = True

    def change(graph: Graph) -> Graph:
        nonlocal is_new
        known = {node["id"] for node in graph["nodes"]}
        absent = [
            Problem(name, f"there is no node {end!r}")
            for name, end in (("source", source), ("target", target))
            if end not in known
        ]
        if absent:
            raise ValidationFailed.of(absent)
        is_new = edge_id(edge) not in map(edge_id, graph["edges"])
        return {**graph, "edges": [*graph["edges"], edge]} if is_new else graph

    workflows.draw(automation, change, by=by, user=user)
    return shown_edge(edge), is_new


def disconnect(automation: Automation, connection_id: str, *, by: str, user: Any = None) -> None:
    """Take an edge off the drawing.

    Raises:
        NotFound: the workflow was deleted, or has no such edge.
    """

    def change(graph: Graph) -> Graph:
        edges = [edge for edge in graph["edges"] if edge_id(edge) != connection_id]
        if len(edges) == len(graph["edges"]):
            raise NotFound(f"The workflow has no connection {connection_id!r}")
        return {**graph, "edges": edges}

    workflows.draw(automation, change, by=by, user=user)


def find_node(graph: Mapping[str, Any], node_id: str) -> dict[str, Any]:
    """Return a node of a graph; raises NotFound."""
    for node in graph["nodes"]:
        if node["id"] == node_id:
            return dict(node)
    raise NotFound(f"The workflow has no node {node_id!r}")


def ends(edge: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the ids of the nodes an edge leaves and leads to, however it names them."""
    return edge.get("source", edge.get("from")), edge.get("target", edge.get("to"))


def edge_id(edge: Mapping[str, Any]) -> str:
    """Return the id of an edge, which is made from its ends and its route."""
    return str(uuid5(_EDGE_IDS, "\0".join(map(str, (*ends(edge), edge.get("source_handle") or "")))))


def shown_edge(edge: Mapping[str, Any]) -> dict[str, Any]:
    """Return an edge as the canvas sees it."""
    source, target = ends(edge)
    handle = edge.get("source_handle") or None
    return {"id": edge_id(edge), "source": source, "target": target, "source_handle": handle}


def sources_of(graph: Mapping[str, Any], node_id: str) -> Iterator[str]:
    """Yield the nodes an edge leads from to this one; without any edge, nodes follow each other in order."""
    if graph["edges"]:
        yield from dict.fromkeys(ends(edge)[0] for edge in graph["edges"] if ends(edge)[1] == node_id)
        return
    ids = [node["id"] for node in graph["nodes"]]
    place = ids.index(node_id)
    yield from ids[place - 1 : place] if place else ()
