"""What the OpenAPI document says about the orchestrator API beyond its views: examples."""

from __future__ import annotations

from typing import Any

from drf_spectacular.generators import SchemaGenerator

from automate.api.examples import Example
from automate.api.schema import put_examples

_WORKFLOW = "0198f2a0-1c2d-7e3f-9a4b-5c6d7e8f9a0b"
_NODE = "0198f2a1-7a10-7b21-8d41-6a5b4c3d2e1f"
_OTHER = "0198f2a1-7a11-7c32-9e52-7b6c5d4e3f20"
_TASK = "0198f2a2-33aa-7d10-8f00-1a2b3c4d5e6f"
_CREATED = {"id": _WORKFLOW, "name": "My Workflow", "created_at": "2024-01-01T12:00:00Z"}
_UPDATED = {"id": _WORKFLOW, "name": "Updated Workflow", "updated_at": "2024-01-01T12:00:00Z"}
_STARTED = {"task_id": _TASK, "status": "PENDING"}
_STOPPED = {"task_id": _TASK, "status": "REVOKED"}
_EDGE = {
    "id": "3f0c2f5e-8a53-5a9e-9d4f-6f1f6a4f7c11",
    "source": _NODE,
    "target": _OTHER,
    "source_handle": None,
}
_DRAWN = {
    "id": _NODE,
    "node_type": "http-request",
    "label": "HTTP request",
    "form_values": {"url": "https://api.example.com"},
    "position": {"x": 100, "y": 200},
    "routes": [],
    "input_data": {},
    "output_data": {"status": 200},
    "errors": {},
}
_TYPE = {
    "type": "condition",
    "aliases": ["if-condition", "if_condition"],
    "label": "Condition",
    "description": "Leaves by `true` or `false`, as its JSONLogic rule says over the step's scope.",
    "category": "Flow",
    "effect": "pure",
    "routes": ["true", "false"],
    "fields": [
        {
            "name": "rule",
            "label": "Rule",
            "help": "JSONLogic over what templates see, such as input and steps.",
            "type": "json",
            "required": True,
            "options": [],
            "default": None,
            "dependencies": [],
            "is_template": False,
        }
    ],
}

EXAMPLES: dict[str, Example] = {
    "workflow_create": Example(
        {"name": "My Workflow", "description": "Workflow description"}, "201", _CREATED
    ),
    "workflow_retrieve": Example(None, "200", {**_CREATED, "updated_at": "2024-01-01T12:00:00Z"}),
    "workflow_update": Example({"name": "Updated Workflow"}, "200", _UPDATED),
    "workflow_partial_update": Example({"name": "Updated Workflow"}, "200", _UPDATED),
    "workflow_canvas_data_retrieve": Example(
        None, "200", {"id": _WORKFLOW, "nodes": [_DRAWN], "edges": [_EDGE]}
    ),
    "workflow_start_execution_retrieve": Example(None, "200", _STARTED),
    "workflow_start_execution_create": Example({"input": {"order_id": "ORD-123"}}, "200", _STARTED),
    "workflow_stop_execution_retrieve": Example(None, "200", _STOPPED),
    "workflow_stop_execution_create": Example(None, "200", _STOPPED),
    "workflow_task_status_retrieve": Example(None, "200", {"task_id": _TASK, "status": "SUCCESS"}),
    "workflow_nodes_add_create": Example(
        {"nodeTemplate": "http-request", "position": {"x": 100, "y": 200}, "form_values": {}},
        "201",
        {"id": _NODE, "node_type": "http-request", "position": {"x": 100, "y": 200}},
    ),
    "workflow_nodes_partial_update": Example(
        {"form_values": {"url": "https://api.example.com"}}, "200", _DRAWN
    ),
    "workflow_nodes_input_retrieve": Example(None, "200", {"input_data": {_OTHER: {"key": "value"}}}),
    "workflow_nodes_output_retrieve": Example(None, "200", {"output_data": {"status": 200}}),
    "workflow_nodes_position_partial_update": Example(
        {"position": {"x": 150, "y": 250}}, "200", {"id": _NODE, "position": {"x": 150, "y": 250}}
    ),
    "workflow_nodes_remove_destroy": Example(None, "200", {"message": "Node removed successfully"}),
    "workflow_connections_add_create": Example({"source": _NODE, "target": _OTHER}, "201", _EDGE),
    "workflow_connections_remove_destroy": Example(
        None, "200", {"message": "Connection removed successfully"}
    ),
    "nodes_retrieve": Example(None, "200", _TYPE),
}


def add_examples(result: dict[str, Any], generator: SchemaGenerator, **_: Any) -> dict[str, Any]:
    """Put the examples of the reference on their operations (a POSTPROCESSING_HOOK)."""
    return put_examples(result, EXAMPLES)
