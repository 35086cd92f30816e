"""What somebody starts by hand, over the API or by a command: emitted and run as by code, and audited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from automate.emission import Emitted, emit
from automate.executions.start import start_execution
from automate.models import Execution
from automate_core import audit, sql
from automate_core.errors import NotFound

_KEEP = "SELECT id FROM automate_automation WHERE id = %(automation)s FOR KEY SHARE"


def emit_by(
    by: str, type: str, payload: Mapping[str, Any], dedupe_key: str | None = None, *, source: str = ""
) -> Emitted:
    """Store an event as `emit_event` does, with an audit entry if it is new.

    Args:
        by: who emits it, for the audit trail.
        type, payload, dedupe_key, source: see `automate.events.emit_event`, which also says what is raised.
    """
    with transaction.atomic():
        emitted = emit(type, payload, dedupe_key, source=source)
        if emitted.created:
            audit.record(
                actor=by,
                action="event.emit",
                target=f"event:{emitted.event_id}",
                after={"type": type, "source": source, "dedupe_key": dedupe_key},
            )
    return emitted


def run_by(by: str, slug: str, payload: Mapping[str, Any], **terms: Any) -> Execution:
    """Start an execution of a workflow as `run_workflow` does, with an audit entry.

    Args:
        by: who starts it, for the audit trail.
        slug, payload: see `automate.events.run_workflow`, which also says what is raised.
        terms: what else `start_execution` takes.
    """
    with transaction.atomic():
        execution = start_execution(slug=slug, payload=payload, **terms)
        # Whoever deletes the workflow waits for this run, or this for the deletion.
        if not sql.execute(_KEEP, {"automation": execution.automation_id}):
            raise NotFound(f"There is no workflow {slug!r}")
        audit.record(
            actor=by,
            action="workflow.run",
            target=f"workflow:{execution.automation_id}",
            after={"execution": str(execution.id), "version": str(execution.version_id)},
        )
    return execution
