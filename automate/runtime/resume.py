"""Rebuilds runs from what is recorded: the way every execution that was not just dispatched begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from automate.enums import TERMINAL, StepStatus
from automate.executions.rows import ExecutionRow, StepRow
from automate.graph import Plan
from automate.runtime import plans
from automate.runtime.calls import Timer
from automate.runtime.retry import RetryPolicy
from automate.runtime.run import Run
from automate.runtime.scope import new_scope
from automate_core import sql
from automate_core.errors import ErrorCodes
from automate_core.outbox.base import ClaimedItem
from automate_core.steps import Effect

_EXECUTIONS = """
SELECT x.id::text, x.tenant_id::text, x.automation_id::text, coalesce(x.version_id, a.live_version_id)::text,
  x.event_id::text, x.trigger_id::text, x.status, x.context::text, x.trace_id, x.cause_execution_id::text, x.depth,
  x.priority, x.seq, x.started_at, e.type, e.source, e.payload::text
FROM automate_execution x JOIN automate_automation a ON a.id = x.automation_id
LEFT JOIN automate_event e ON e.id = x.event_id
WHERE x.id = ANY(%(ids)s::uuid[])
"""

_STEPS = """
SELECT id::text, execution_id::text, tenant_id::text, path, node_key, node_type, attempt, status, effect, route,
  input_data::text, output_data::text, variables::text, error_code, error_message, seq,
  extract(epoch FROM wake_at)::float8, extract(epoch FROM started_at)::float8, extract(epoch FROM finished_at)::float8
FROM automate_steprun WHERE execution_id = ANY(%(ids)s::uuid[]) ORDER BY execution_id, seq
"""


def load(items: Sequence[ClaimedItem], *, policy: RetryPolicy, now: float) -> dict[int, Run | None]:
    """Return the run of each item; None where there is nothing (left) to run.

    Args:
        items: claimed items of kind `execution`.
        policy: retry policy of steps that name none.
        now: the database's time in seconds since the epoch.
    """
    ids = [str(item.payload["execution_id"]) for item in items]
    rows = {row[0]: row for row in sql.execute(_EXECUTIONS, {"ids": ids})}
    steps: dict[str, list[StepRow]] = {}
    if any(row[12] for row in rows.values()):
        for step in sql.execute(_STEPS, {"ids": ids}):
            steps.setdefault(step[1], []).append(StepRow(*step))
    found = plans.load(row[3] for row in rows.values() if row[3])
    runs: dict[int, Run | None] = {}
    for item, execution_id in zip(items, ids, strict=True):
        row = rows.get(execution_id)
        live = found.get(row[3]) if row else None
        if row is None or row[6] in TERMINAL:
            runs[item.id] = None
        else:
            runs[item.id] = _rebuild(item, row, live, steps.get(execution_id, []), policy, now)
    return runs


def _rebuild(
    item: ClaimedItem,
    row: sql.Row,
    live: plans.LivePlan | None,
    steps: list[StepRow],
    policy: RetryPolicy,
    now: float,
) -> Run:
    execution = ExecutionRow(*row[:13])
    execution.started_at = row[13].timestamp() if row[13] else None
    plan = live.plan if live and live.plan else Plan((), ())
    workflow = live.workflow if live else {}
    run = Run(plan=plan, row=execution, scope=new_scope(event=_event(row), row=execution, workflow=workflow),
              policy=policy, fresh=False)  # fmt: skip
    run.item = item
    if live is None:
        run.give_up(ErrorCodes.NOT_FOUND, "The automation has no workflow version to run", now)
    elif live.plan is None:
        run.give_up(ErrorCodes.VALIDATION_ERROR, live.error, now)
    else:
        restore(run, steps, now)
    return run


def _event(row: sql.Row) -> dict[str, Any]:
    if row[4] is None or row[16] is None:
        context = orjson.loads(row[7])
        return {"id": row[4], "type": "manual", "source": "", "payload": context}
    return {"id": row[4], "type": row[14], "source": row[15], "payload": orjson.loads(row[16])}


def restore(run: Run, steps: Sequence[StepRow], now: float) -> None:
    """Put recorded steps (ordered by seq) back into a fresh run.

    Finished steps are not run again. A step that was running when its worker was lost is called again when its
    effect class allows that; an at-most-once step is failed as OUTCOME_UNKNOWN.
    """
    latest: dict[str, StepRow] = {}
    for step in steps:
        run.row.seq = max(run.row.seq, step.seq)
        held = latest.get(step.path)
        if held is None or step.attempt > held.attempt:
            latest[step.path] = step
        place = run.plan.places.get(step.path)
        if place is not None:
            run.attempts[place] = max(run.attempts.get(place, 0), step.attempt)
            lost = step.status == StepStatus.FAILED and step.error_code == ErrorCodes.WORKER_LOST
            if step.status == StepStatus.FAILED and not lost:
                run.tries[place] = run.tries.get(place, 0) + 1
    for step in sorted(latest.values(), key=lambda step: step.seq):
        place = run.plan.places.get(step.path)
        if place is not None:
            _restore_step(run, place, step, now)


def _restore_step(run: Run, place: int, step: StepRow, now: float) -> None:
    if step.status == StepStatus.SKIPPED:
        run.skip_recorded(place)
        return
    if step.status == StepStatus.SUCCESS:
        run.recall(place, step)
    elif step.status == StepStatus.WAITING:
        run.claim_ready(place)
        run.timers.append(Timer(step.wake_at or now, place, step))
    elif step.status == StepStatus.FAILED and step.error_code != ErrorCodes.WORKER_LOST:
        run.claim_ready(place)
        if step.wake_at is None:
            run.give_up_step(step)
        else:
            run.timers.append(Timer(step.wake_at, place, None))
    elif step.status in (StepStatus.RUNNING, StepStatus.FAILED):
        _restore_interrupted(run, place, step, now)


def _restore_interrupted(run: Run, place: int, step: StepRow, now: float) -> None:
    unknown = step.effect == Effect.AT_MOST_ONCE
    if step.status == StepStatus.RUNNING:
        step.status, step.finished_at = StepStatus.FAILED, now
        step.error_code = ErrorCodes.OUTCOME_UNKNOWN if unknown else ErrorCodes.WORKER_LOST
        step.error_message = (
            "The worker stopped during the call; whether it took effect is unknown"
            if unknown
            else "The worker stopped during the call; it is called again with the same key"
        )
        run.touch(step)
    run.claim_ready(place)
    if unknown:
        run.give_up_step(step)
    else:
        run.wanted.append(place)


__all__ = ["load", "restore"]
