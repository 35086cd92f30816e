"""What a turn has to record of each run, under which item, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from automate.executions import finished
from automate.executions.rows import Change, FollowUp
from automate.runtime.run import Run
from automate_core.outbox.base import ClaimedItem


def of_birth(item: ClaimedItem, runs: Sequence[Run], *, now: float, max_claims: int) -> Change:
    """Return the change that settles an event's item with the runs it started."""
    change = Change(item, settles=True)
    for run in runs:
        run.settle(now)
        run.touch_execution()
        change.about.append(run.row)
        change.made.append(run.row)
        change.steps.extend(run.dirty.values())
        change.follow_ups += _follow_ups(run, max_claims)
    return change


def of_run(run: Run, *, now: float, max_claims: int) -> Change | None:
    """Return the change of a claimed run; None when there is nothing to record."""
    assert run.item is not None
    run.settle(now)
    run.touch_execution()
    over = run.is_over or run.is_parked
    moved = run.row.status != run.stored_status
    if not run.dirty and not over and not moved:
        return None
    change = Change(run.item, settles=over, steps=list(run.dirty.values()), about=[run.row])
    if over or moved:
        change.changed.append(run.row)
    if over:
        change.follow_ups += _follow_ups(run, max_claims)
    return change


def _follow_ups(run: Run, max_claims: int) -> list[FollowUp]:
    """Return what carries the execution on, or tells of its end those who care."""
    row = run.row
    if not run.is_over:
        at = run.wakes_at() if run.is_parked else None
        on_poke = run.is_parked and at is None
        return [FollowUp(row.id, row.tenant_id, row.priority, row.trace_id, at, max_claims, on_poke)]
    wanted = finished.is_wanted(
        parent_execution_id=row.parent_execution_id, key=row.key, status=row.status,
        error_workflow=run.plan.settings.error_workflow, tenant_id=row.tenant_id, automation_id=row.automation_id,
        left_waiting=run.left_waiting,
    )  # fmt: skip
    if not wanted:
        return []
    return [FollowUp(row.id, row.tenant_id, row.priority, row.trace_id, None, max_claims, kind="finished")]
