"""A drawn workflow as the canvas shows it, with what is known of each node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automate import workflows
from automate.drawings import drawn_graph
from automate.models import Automation
from automate.runtime.plans import find_handler
from automate_api.errors import messages_by_field
from automate_core.errors import AutomateError
from automate_studio.canvas import graph_edit
from automate_studio.canvas.errors import by_node
from automate_studio.canvas.records import outputs_of

ORIGIN = {"x": 0, "y": 0}


def canvas_data(automation: Automation) -> dict[str, Any]:
    """Return the drawn graph: its nodes with form, data and errors, and its edges."""
    graph = drawn_graph(automation)
    outputs = outputs_of(automation, [node["id"] for node in graph["nodes"]])
    errors = messages_by_field(by_node(graph, workflows.draft_problems(automation)))
    return {
        "id": str(automation.pk),
        "nodes": [_shown(graph, node, outputs, errors.get(node["id"], {})) for node in graph["nodes"]],
        "edges": [graph_edit.shown_edge(edge) for edge in graph["edges"]],
    }


def _shown(
    graph: graph_edit.Graph, node: Mapping[str, Any], outputs: Mapping[str, Any], errors: Mapping[str, Any]
) -> dict[str, Any]:
    sources = graph_edit.sources_of(graph, node["id"])
    output = outputs.get(node["id"])
    return {
        "id": node["id"],
        "node_type": node["type"],
        "label": node.get("label") or _label(node["type"]),
        "form_values": node.get("config") or {},
        "position": node.get("position") or ORIGIN,
        "routes": _routes(node),
        "input_data": {source: outputs[source] for source in sources if source in outputs},
        "output_data": {} if output is None else output,
        "errors": errors,
    }


def _label(kind: str) -> str:
    handler = find_handler(kind)
    return (handler.label if handler else "") or kind


def _routes(node: Mapping[str, Any]) -> list[str]:
    """Return the handles of a node; those every node of its type has when its form is not filled in yet."""
    handler = find_handler(node["type"])
    if handler is None:
        return []
    config = node.get("config") or {}
    try:
        fits = not handler.problems(config)
        return list(handler.routes_of(config) if fits else handler.routes)
    except AutomateError:
        return list(handler.routes)
