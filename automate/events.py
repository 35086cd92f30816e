"""Emit: put an event, or a run of one workflow, into the outbox inside the caller's transaction."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async

from automate.emission import emit
from automate.executions.start import start_execution


def emit_event(
    type: str,
    payload: dict[str, Any],
    dedupe_key: str | None = None,
    *,
    source: str = "",
    tenant_id: UUID | None = None,
) -> str:
    """Store an event in the current transaction; a rollback takes it along.

    Args:
        type: event type, 1 to 255 characters, such as "order.created".
        payload: JSON object.
        dedupe_key: a second event with the same key and source is the first one.
        source: where it comes from; empty for the host's own code.
        tenant_id: owner; the tenant in context when None.

    Returns:
        The event's id as a string: that of the earlier event when the key was used before.

    Raises:
        ValidationFailed: the type, payload or key is not acceptable.
        EventTooDeep: emitted too far down a chain of executions.
    """
    return emit(type, payload, dedupe_key, source=source, tenant_id=tenant_id).event_id


def run_workflow(workflow_slug: str, payload: dict[str, Any]) -> str:
    """Start an execution of one workflow in the current transaction, bypassing triggers and rules.

    Args:
        workflow_slug: slug of the workflow, in the tenant in context.
        payload: its input; templates see it as `input` and `event.payload`.

    Returns:
        The execution's id as a string.

    Raises:
        NotFound: there is no such workflow.
        Conflict: the workflow is disabled or has no version yet.
        ValidationFailed: the payload is not a JSON object, or does not satisfy the form of the workflow's trigger.
    """
    return str(start_execution(slug=workflow_slug, payload=payload).id)


async def aemit_event(
    type: str,
    payload: dict[str, Any],
    dedupe_key: str | None = None,
) -> str:
    """Emit from asynchronous code; see `emit_event`."""
    return await sync_to_async(emit_event)(type, payload, dedupe_key)


async def arun_workflow(workflow_slug: str, payload: dict[str, Any]) -> str:
    """Start a workflow from asynchronous code; see `run_workflow`."""
    return await sync_to_async(run_workflow)(workflow_slug, payload)
