"""What a node that is tried out alone sees: the outputs of the nodes before it, its session, the loops around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from automate.graph.loops import BODY_HANDLE
from automate.models import Automation
from automate.runtime.plans import find_handler
from automate.waits.links import resume_links
from automate.waits.steps import WaitForWebhookStep
from automate_core.context import current_trace_id
from automate_core.steps import folded
from automate_studio.canvas import graph_edit, records
from automate_studio.canvas.sessions import Session


def scope_of(
    automation: Automation,
    graph: Mapping[str, Any],
    node_id: str,
    given: Mapping[str, Any],
    session: Session,
) -> dict[str, Any]:
    """Return what the node's templates and rules see.

    Args:
        automation: the workflow.
        graph: what is drawn.
        node_id: id of the node in it.
        given: its input; what is under the id of a node counts as that node's output.
        session: holds the variables.
    """
    known = {held["id"] for held in graph["nodes"]}
    outputs = records.outputs_of(automation, _before(graph, node_id))
    outputs |= {key: value for key, value in given.items() if key in known}
    live = automation.live_version
    scope: dict[str, Any] = {
        "event": {"id": None, "type": "manual", "source": "", "payload": given},
        "input": given,
        "variables": session.variables,
        "steps": {key: {"output": output, "status": "SUCCESS"} for key, output in outputs.items()},
        "execution": {"id": str(session.id), "trace_id": current_trace_id()},
        "workflow": {
            "id": str(automation.pk),
            "name": automation.name,
            "slug": automation.slug,
            "version": live.number if live else 0,
        },
    }
    links = {held["id"] for held in graph["nodes"] if folded(str(held["type"])) == WaitForWebhookStep.type}
    if links:
        scope["resume"] = resume_links(session.id, "", links)
    for loop in _loops_around(graph, node_id):
        facts = outputs.get(loop)
        if isinstance(facts, Mapping) and "index" in facts:
            scope["index"] = facts["index"]
            scope["loop"] = {"results": [], "last": None, **facts}
            if "item" in facts:
                scope["item"] = facts["item"]
    return scope


def _before(graph: Mapping[str, Any], node_id: str) -> set[str]:
    """Return the nodes some way leads from to this one."""
    found: set[str] = set()
    waiting = [node_id]
    while waiting:
        for source in graph_edit.sources_of(graph, waiting.pop()):
            if source not in found and isinstance(source, str):
                found.add(source)
                waiting.append(source)
    return found - {node_id}


def _loops_around(graph: Mapping[str, Any], node_id: str) -> Iterator[str]:
    """Yield the loops whose body a node is in, the outermost first."""
    following: dict[Any, list[Any]] = {}
    for edge in graph["edges"]:
        source, target = graph_edit.ends(edge)
        following.setdefault(source, []).append(target)
    bodies: dict[str, set[Any]] = {}
    for node in graph["nodes"]:
        handler = find_handler(str(node["type"]))
        if handler is None or not handler.is_loop:
            continue
        heads = [
            graph_edit.ends(edge)[1]
            for edge in graph["edges"]
            if graph_edit.ends(edge)[0] == node["id"] and edge.get("source_handle") == BODY_HANDLE
        ]
        bodies[node["id"]] = _reached(heads, following, without=node["id"])
    around = [loop for loop, body in bodies.items() if node_id in body]
    yield from sorted(around, key=lambda loop: len(bodies[loop]), reverse=True)


def _reached(heads: list[Any], following: Mapping[Any, list[Any]], *, without: str) -> set[Any]:
    found: set[Any] = set()
    waiting = list(heads)
    while waiting:
        key = waiting.pop()
        if key != without and key not in found:
            found.add(key)
            waiting.extend(following.get(key, ()))
    return found
