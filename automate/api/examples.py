"""The examples of the engine's REST routes, as its reference shows them, by OpenAPI operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """A request body and the answer to it; None where there is none."""

    request: dict[str, Any] | None = None
    status: str = "200"
    response: dict[str, Any] | None = None


EXAMPLES: dict[str, Example] = {
    "automate_workflows_list": Example(
        request=None,
        status="200",
        response={
            "count": 42,
            "next": "/api/automate/workflows/?page=2",
            "previous": None,
            "results": [
                {
                    "id": "550e8400-e29b-41d4-a716-446655440000",
                    "name": "Slack Notification",
                    "slug": "slack-notification",
                    "enabled": True,
                    "trigger_type": "webhook",
                    "workflow_version": 3,
                    "created_at": "2024-01-15T10:30:00Z",
                    "updated_at": "2024-01-20T14:45:00Z",
                }
            ],
        },
    ),
    "automate_workflows_retrieve": Example(
        request=None,
        status="200",
        response={
            "id": "550e8400-e29b-41d4-a716-446655440000",
            "name": "Slack Notification",
            "slug": "slack-notification",
            "description": "Send notifications to Slack on new orders",
            "enabled": True,
            "trigger_type": "webhook",
            "trigger_config": {"event_type": "order.created", "source": "stripe"},
            "workflow_version": 3,
            "graph": {
                "nodes": [
                    {
                        "id": "step_1",
                        "type": "slack.send_message",
                        "config": {"channel": "#orders", "message": "{{ event.payload.customer_name }}"},
                    }
                ],
                "edges": [],
            },
            "created_at": "2024-01-15T10:30:00Z",
            "updated_at": "2024-01-20T14:45:00Z",
        },
    ),
    "automate_workflows_create": Example(
        request={
            "name": "Order Processor",
            "slug": "order-processor",
            "description": "Process incoming orders",
            "enabled": True,
            "trigger_type": "webhook",
            "trigger_config": {"event_type": "order.created"},
            "graph": {
                "nodes": [
                    {
                        "id": "step_1",
                        "type": "logging",
                        "config": {"message": "Order received: {{ event.payload.order_id }}"},
                    }
                ]
            },
        },
        status="201",
        response={
            "id": "550e8400-e29b-41d4-a716-446655440001",
            "name": "Order Processor",
            "slug": "order-processor",
            "description": "Process incoming orders",
            "enabled": True,
            "trigger_type": "webhook",
            "trigger_config": {"event_type": "order.created"},
            "workflow_version": 1,
            "graph": {
                "nodes": [
                    {
                        "id": "step_1",
                        "type": "logging",
                        "config": {"message": "Order received: {{ event.payload.order_id }}"},
                    }
                ],
                "edges": [],
            },
            "created_at": "2024-01-15T10:30:00Z",
            "updated_at": "2024-01-20T14:45:00Z",
        },
    ),
    "automate_workflows_update": Example(
        request={"name": "Updated Name", "enabled": False}, status="200", response=None
    ),
    "automate_executions_list": Example(
        request=None,
        status="200",
        response={
            "count": 156,
            "next": "/api/automate/executions/?page=2",
            "previous": None,
            "results": [
                {
                    "id": "0198f2a1-5f6a-7c1e-9b1a-3a2f0d9c4e11",
                    "workflow_id": "550e8400-e29b-41d4-a716-446655440000",
                    "workflow_name": "Slack Notification",
                    "status": "SUCCESS",
                    "attempt": 1,
                    "started_at": "2024-01-20T14:45:00Z",
                    "finished_at": "2024-01-20T14:45:02Z",
                    "duration_ms": 2000,
                    "trigger_event_id": "0198f2a1-4d20-7a90-8f00-1c2b3a4d5e6f",
                }
            ],
        },
    ),
    "automate_executions_retrieve": Example(
        request=None,
        status="200",
        response={
            "id": "0198f2a1-5f6a-7c1e-9b1a-3a2f0d9c4e11",
            "workflow_id": "550e8400-e29b-41d4-a716-446655440000",
            "workflow_name": "Slack Notification",
            "status": "SUCCESS",
            "attempt": 1,
            "context": {"source": "stripe", "event_type": "order.created"},
            "steps": [
                {
                    "id": "0198f2a1-6031-7d44-8c52-5b6a7c8d9e0f",
                    "path": "step_1",
                    "node_key": "step_1",
                    "attempt": 1,
                    "status": "SUCCESS",
                    "route": "main",
                    "input_data": {"channel": "#orders", "message": "***REDACTED***"},
                    "output_data": {"ok": True, "ts": "1234567890.123456"},
                    "error_code": "",
                    "error_message": "",
                    "wake_at": None,
                    "started_at": "2024-01-20T14:45:00Z",
                    "finished_at": "2024-01-20T14:45:02Z",
                    "duration_ms": 2000,
                }
            ],
            "error_summary": None,
            "started_at": "2024-01-20T14:45:00Z",
            "finished_at": "2024-01-20T14:45:02Z",
        },
    ),
    "automate_executions_replay_create": Example(
        request=None,
        status="202",
        response={
            "execution_id": "0198f2a1-5f6a-7c1e-9b1a-3a2f0d9c4e12",
            "message": "Execution queued for replay",
            "trace_id": "abc123",
        },
    ),
    "automate_webhook": Example(
        request={
            "event_type": "order.created",
            "data": {"order_id": "ORD-123", "amount": 99.99, "customer_name": "John Doe"},
        },
        status="202",
        response={
            "event_id": "0198f2a1-4d20-7a90-8f00-1c2b3a4d5e6f",
            "trace_id": "abc123-def456",
            "message": "Event accepted for processing",
        },
    ),
    "automate_events_create": Example(
        request={"type": "custom.event", "payload": {"key": "value"}, "dedupe_key": "unique-key-123"},
        status="201",
        response={"event_id": "0198f2a1-4d20-7a90-8f00-1c2b3a4d5e70", "trace_id": "abc123"},
    ),
}
