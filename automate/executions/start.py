"""Starting executions: of a workflow by its name, with a given input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models.fields.json import KeyTransform

from automate.forms import filled
from automate.limits import gate
from automate.models import Automation, Execution
from automate_core import conf
from automate_core.context import current_cause, current_trace_id
from automate_core.errors import Conflict, NotFound, Problem, ValidationFailed


class ExecutionTooDeep(ValidationFailed):
    """The chain of executions started from inside executions is too long; the workflows probably form a loop."""


def start_execution(
    *,
    slug: str,
    payload: Mapping[str, Any],
    parent_execution_id: UUID | None = None,
    parent_path: str = "",
    max_attempts: int | None = None,
) -> Execution:
    """Create an execution of the workflow's live version and queue it, in one transaction.

    Where the workflow limits how many run at once, it waits for its place. Where its trigger has a form, the input
    has to satisfy it and gets its defaults.

    Args:
        slug: of the workflow, in the tenant in context.
        payload: its input, a JSON object.
        parent_execution_id: the execution one of whose steps waits for the end of this one.
        parent_path: path of that step.
        max_attempts: how often its steps are tried that name no policy; None leaves that to the engine.

    Raises:
        NotFound, Conflict, ValidationFailed: see `automate.events.run_workflow`.
        ExecutionTooDeep: started too far down a chain of executions.
    """
    context = plain_payload(payload)
    form = KeyTransform("form", "live_version__trigger_config")
    automation = Automation.objects.annotate(form=form).filter(slug=slug).first()
    if automation is None:
        raise NotFound(f"There is no workflow {slug!r}")
    if not automation.enabled:
        raise Conflict(f"The workflow {slug!r} is disabled; enable it to run it")
    if automation.live_version_id is None:
        raise Conflict(f"The workflow {slug!r} has no version yet; save a graph first")
    if automation.form is not None:
        context = filled(automation.form, context)
    cause = current_cause()
    if cause and cause.depth > conf.get().MAX_CAUSATION_DEPTH:
        raise ExecutionTooDeep(
            f"The run of {slug!r} would be number {cause.depth} in a chain of events and executions; "
            f"at most {conf.get().MAX_CAUSATION_DEPTH} are allowed"
        )
    with transaction.atomic():
        terms = gate.terms(
            version_id=automation.live_version_id,
            automation_id=automation.id,
            event={"id": None, "type": "manual", "source": "", "payload": context},
        )
        execution = Execution.objects.create(
            automation=automation,
            version_id=automation.live_version_id,
            context=context,
            priority=terms.priority,
            key=terms.key,
            held_at=terms.held_at,
            trace_id=current_trace_id(),
            cause_execution_id=cause.execution_id if cause else None,
            depth=cause.depth if cause else 0,
            parent_execution_id=parent_execution_id,
            parent_path=parent_path,
            max_attempts=max_attempts,
        )
        gate.queue(execution)
    return execution


def plain_payload(payload: Any) -> dict[str, Any]:
    """Return the payload as JSON gives it back; raises ValidationFailed when it is not a JSON object."""
    if not isinstance(payload, Mapping):
        raise ValidationFailed.of([Problem("payload", "must be an object")])
    try:
        text = orjson.dumps(dict(payload))
    except TypeError as error:
        raise ValidationFailed.of([Problem("payload", f"must be JSON: {error}")]) from error
    if b"\\u0000" in text.replace(b"\\\\", b""):
        raise ValidationFailed.of([Problem("payload", "must not contain the NUL character")])
    plain: dict[str, Any] = orjson.loads(text)
    return plain
