"""The verb: a new execution with the input of a finished one, which stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction

from automate.enums import ExecutionStatus
from automate.executions.start import plain_payload
from automate.graph import Plan
from automate.limits import gate
from automate.models import Event, Execution, WorkflowVersion
from automate.replays.reuse import Outcome, Reuse, choose
from automate.runtime import plans
from automate_core import audit, conf, sql
from automate_core.arrays import plain, quoted
from automate_core.context import current_trace_id, tenant_scope
from automate_core.errors import Conflict, NotFound, Problem, ValidationFailed
from automate_core.ids import uuid7
from automate_core.steps import step_registry

MOST_NAMED = 10
"""Paths a refusal names before it only counts."""

_OUTCOMES = """
SELECT DISTINCT ON (path) id::text, path, node_type, status, effect, error_code, wake_at IS NOT NULL, seq
FROM automate_steprun WHERE execution_id = %(execution)s::uuid ORDER BY path, attempt DESC
"""

# What is reused is told of after the beginning, each with the one mark of what became of it.
_COPY = """
INSERT INTO automate_steprun (id, tenant_id, execution_id, path, node_key, node_type, attempt, status, effect, route,
  input_data, output_data, variables, error_code, error_message, seq, marks, started_at, finished_at)
SELECT k.fresh, s.tenant_id, %(execution)s::uuid, s.path, s.node_key, s.node_type, 1,
  CASE WHEN k.reopened THEN 'RUNNING' ELSE s.status END, s.effect, CASE WHEN k.reopened THEN '' ELSE s.route END,
  s.input_data, CASE WHEN NOT k.reopened THEN s.output_data END, CASE WHEN NOT k.reopened THEN s.variables END,
  CASE WHEN k.reopened THEN '' ELSE s.error_code END, CASE WHEN k.reopened THEN '' ELSE s.error_message END,
  k.seq + 1, CASE WHEN k.reopened THEN 's' WHEN s.status = 'SUCCESS' THEN 'c' WHEN s.status = 'SKIPPED' THEN 'k'
    WHEN s.status = 'CANCELLED' THEN 'x' ELSE 'f' END || k.seq + 1,
  s.started_at, CASE WHEN NOT k.reopened THEN s.finished_at END
FROM unnest(%(ids)s::uuid[], %(fresh)s::uuid[], %(reopened)s::bool[]) WITH ORDINALITY AS k(id, fresh, reopened, seq)
JOIN automate_steprun s ON s.id = k.id
"""

# The steps of an execution whose outcome rests on what people said: theirs, and those of executions it waited for. What
# a replay reused was waited for by the execution it was copied from.
_CONSENTS = """
WITH RECURSIVE origin AS (
  SELECT id, replay_of_id, 0 AS depth FROM automate_execution WHERE id = %(execution)s::uuid
  UNION ALL
  SELECT x.id, x.replay_of_id, origin.depth + 1 FROM origin JOIN automate_execution x ON x.id = origin.replay_of_id
  WHERE origin.depth < %(deepest)s),
child AS (
  SELECT c.id, c.parent_path AS path, 0 AS depth
  FROM origin JOIN automate_execution c ON c.parent_execution_id = origin.id
  UNION ALL
  SELECT c.id, child.path, child.depth + 1 FROM child JOIN automate_execution c ON c.parent_execution_id = child.id
  WHERE child.depth < %(deepest)s)
SELECT path FROM automate_steprun WHERE execution_id = %(execution)s::uuid AND node_type = ANY(%(types)s::text[])
  AND status <> 'SKIPPED'
UNION
SELECT child.path FROM child JOIN automate_steprun s ON s.execution_id = child.id
WHERE s.node_type = ANY(%(types)s::text[]) AND s.status <> 'SKIPPED'
"""

_CARRY_OUTPUT = """
UPDATE automate_execution x SET seq = %(seq)s, marks = 's1', output = (
  SELECT s.output_data FROM automate_steprun s
  WHERE s.execution_id = x.id AND s.status = 'SUCCESS' AND s.node_type = ANY(%(types)s::text[])
  ORDER BY s.seq DESC LIMIT 1)
WHERE x.id = %(execution)s::uuid
"""


def replay(
    execution: Execution,
    *,
    by: str,
    start: str | None = None,
    version: int | None = None,
    payload: Mapping[str, Any] | None = None,
    force: Collection[str] = (),
) -> Execution:
    """Queue a new execution of a finished one, in one transaction; the original stays as it is.

    Args:
        execution: the original; SUCCESS, FAILED or CANCELLED.
        by: who does it, for the audit trail.
        start: path of the first step to run again, such as `charge` or `orders[3]/charge`; what was recorded before
            it is reused. None runs everything again.
        version: number of the version to run; the live one when None.
        payload: input of the new execution; that of the original when None. Reused outputs stay as they are, but what
            people approved is asked again when the input is another, and what rests on it runs again.
        force: with `start`, paths of steps that may run twice although they must not; naming a loop names what is
            in it.

    Raises:
        Conflict: the original has not finished, there is no version to run, or a step that must not run twice would,
            and `force` does not name it.
        NotFound: the original was deleted.
        ValidationFailed: the path, the version, the input or `force` is not acceptable.
    """
    _check(start, force)
    given = None if payload is None else plain_payload(payload)
    with tenant_scope(execution.tenant_id), transaction.atomic():
        original = Execution.all_tenants.select_for_update().filter(pk=execution.pk).first()
        if original is None:
            raise NotFound(f"Execution {execution.pk} was deleted")
        if not ExecutionStatus(original.status).is_terminal:
            raise Conflict(
                f"Execution {original.id} is {original.status}; only a finished one can be replayed"
            )
        pinned = _version(original, version)
        if start is None:
            copy = _made(original, pinned, given)
        else:
            plan = _plan(pinned)
            void = _consents(original) if given is not None and given != _input(original) else ()
            reuse = choose(plan, start, _outcomes(original), void=void)
            _refuse_repeats(reuse.repeated, force)
            copy = _made(original, pinned, given)
            _reuse(reuse, plan, copy)
        gate.queue(copy)
        audit.record(
            actor=by,
            action="execution.replay",
            target=f"execution:{original.id}",
            before={"status": original.status},
            after={
                "execution": str(copy.id),
                "version": pinned.number,
                "from": start,
                "force": sorted(force),
                "new_input": payload is not None,
            },
        )
    return copy


def _check(start: str | None, force: Collection[str]) -> None:
    if force and start is None:
        raise ValidationFailed.of([Problem("force", "needs `from`: without it every step runs again")])


def _version(original: Execution, number: int | None) -> WorkflowVersion:
    automation = original.automation
    if number is None:
        if automation.live_version is None:
            raise Conflict(f"The workflow {automation.slug!r} has no version to run")
        return automation.live_version
    version = automation.versions.filter(number=number).first()
    if version is None:
        raise ValidationFailed.of(
            [Problem("version", f"the workflow {automation.slug!r} has no version {number}")]
        )
    return version


def _plan(version: WorkflowVersion) -> Plan:
    live = plans.load([str(version.pk)])[str(version.pk)]
    if live.plan is None:
        raise Conflict(f"Version {version.number} cannot run: {live.error}")
    return live.plan


def _outcomes(original: Execution) -> dict[str, Outcome]:
    rows = sql.execute(_OUTCOMES, {"execution": str(original.pk)})
    return {row[1]: Outcome(*row) for row in rows}


def _input(original: Execution) -> Any:
    """Return what the steps of an execution saw as their input."""
    return original.context if original.event is None else original.event.payload


def _consents(original: Execution) -> set[str]:
    """Return the paths of the steps whose outcome is what people said, here or in an execution they waited for."""
    types = [name for name in step_registry if step_registry.get(name).is_consent]
    spellings = sorted({name for kind in types for name in (kind, *step_registry.get(kind).aliases)})
    params = {
        "execution": str(original.pk),
        "types": quoted(spellings),
        "deepest": conf.get().MAX_CAUSATION_DEPTH,
    }
    return {row[0] for row in sql.execute(_CONSENTS, params)}


def _refuse_repeats(repeated: list[str], force: Collection[str]) -> None:
    refused = [path for path in repeated if not any(_covers(name, path) for name in force)]
    if not refused:
        return
    more = f" and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
    raise Conflict(
        f"These steps succeeded and must not run twice: {', '.join(refused[:MOST_NAMED])}{more}; "
        "name them in `force` to run them again"
    )


def _covers(name: str, path: str) -> bool:
    return path == name or path.startswith((f"{name}[", f"{name}/"))


def _made(original: Execution, version: WorkflowVersion, given: dict[str, Any] | None) -> Execution:
    event = original.event
    context = original.context
    if given is not None and event is not None:
        # Steps read the type and source of the event too; the one that happened stays as it is.
        event = Event.all_tenants.create(
            tenant_id=original.tenant_id, type=event.type, source=event.source, payload=given,
            trace_id=current_trace_id(), cause_execution_id=original.id, depth=original.depth,
        )  # fmt: skip
    elif given is not None:
        context = given
    seen = {"type": "manual", "source": "", "payload": context}
    if event is not None:
        seen = {"type": event.type, "source": event.source, "payload": event.payload}
    terms = gate.terms(version_id=version.pk, automation_id=original.automation_id, event=seen)
    return Execution.all_tenants.create(
        tenant_id=original.tenant_id,
        automation_id=original.automation_id,
        version=version,
        event=event,
        event_type=event.type if event else "",
        trigger_id=original.trigger_id,
        context=context,
        replay_of=original,
        attempt=original.attempt + 1,
        priority=terms.priority,
        key=terms.key,
        held_at=terms.held_at,
        trace_id=current_trace_id(),
        depth=original.depth,
    )


def _reuse(reuse: Reuse, plan: Plan, copy: Execution) -> None:
    """Copy what is kept in the order in which it happened; the engine takes it for its own."""
    rows, reopened = reuse.in_order(), {outcome.id for outcome in reuse.reopened}
    if not rows:
        return
    params = {
        "execution": str(copy.pk),
        "ids": plain(outcome.id for outcome in rows),
        "fresh": plain(uuid7() for _ in rows),
        "reopened": plain(outcome.id in reopened for outcome in rows),
    }
    sql.execute(_COPY, params)
    types = sorted({node.type for node in plan.every_node() if node.handler.gives_output})
    sql.execute(_CARRY_OUTPUT, {"execution": str(copy.pk), "seq": len(rows) + 1, "types": types})
    copy.refresh_from_db()
