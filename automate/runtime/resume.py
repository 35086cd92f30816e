"""Rebuilds runs from what is recorded: the way every execution that was not just dispatched begins.

Records are read level by level, the top first and then the iterations still under way: those that are over count
by their own row alone, so that a long loop is not read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from automate.enums import TERMINAL, StepStatus
from automate.executions.rows import ExecutionRow, StepRow
from automate.executions.signals import Answer
from automate.graph import Plan
from automate.runtime import looping, plans, undoing
from automate.runtime.calls import Spot, Waiting
from automate.runtime.endings import Orders
from automate.runtime.frames import Frame, Halt
from automate.runtime.loop_steps import items_of
from automate.runtime.retry import RetryPolicy
from automate.runtime.run import Run
from automate.runtime.scope import new_scope
from automate_core import sql
from automate_core.arrays import plain
from automate_core.errors import AutomateError, ErrorCodes
from automate_core.outbox.base import ClaimedItem
from automate_core.steps import Effect

_EXECUTIONS = """
SELECT x.id::text, x.tenant_id::text, x.automation_id::text, coalesce(x.version_id, a.live_version_id)::text,
  x.event_id::text, x.trigger_id::text, x.status, x.context::text, x.trace_id, x.cause_execution_id::text, x.depth,
  x.priority, x.seq, x.started_at, e.type, e.source, e.payload::text, x.output::text, x.pokes,
  x.parent_execution_id::text, x.key, extract(epoch FROM x.cancel_requested_at)::float8, x.paused_at IS NOT NULL
FROM automate_execution x JOIN automate_automation a ON a.id = x.automation_id
LEFT JOIN automate_event e ON e.id = x.event_id
WHERE x.id = ANY(%(ids)s::uuid[])
"""

_COLUMNS = """s.id::text, s.execution_id::text, s.tenant_id::text, s.path, s.node_key, s.node_type, s.attempt, s.status,
  s.effect, s.route, s.input_data::text, s.output_data::text, s.variables::text, s.error_code, s.error_message, s.seq,
  extract(epoch FROM s.wake_at)::float8, extract(epoch FROM s.started_at)::float8,
  extract(epoch FROM s.finished_at)::float8, s.wake_token, s.wake_event, s.wake_rule::text, s.answer::text"""

_TOP = f"""
SELECT '' AS prefix, {_COLUMNS}
FROM automate_steprun s WHERE s.execution_id = ANY(%(ids)s::uuid[]) AND strpos(s.path, '/') = 0
ORDER BY s.execution_id, s.seq
"""

_INSIDE = f"""
SELECT f.prefix, {_COLUMNS}
FROM unnest(%(ids)s::uuid[], %(prefixes)s::text[]) AS f(execution, prefix)
JOIN automate_steprun s ON s.execution_id = f.execution AND starts_with(s.path, f.prefix)
  AND strpos(substr(s.path, length(f.prefix) + 1), '/') = 0
ORDER BY s.execution_id, s.seq
"""

_OF_NODES = f"""
SELECT '' AS prefix, {_COLUMNS}
FROM automate_steprun s WHERE s.execution_id = %(id)s::uuid AND s.node_key = ANY(%(keys)s::text[]) ORDER BY s.seq
"""

_ORDERS = """
SELECT id::text, pokes, extract(epoch FROM cancel_requested_at)::float8, paused_at IS NOT NULL
FROM automate_execution WHERE id = ANY(%(ids)s::uuid[])
"""

_NEWS = """
SELECT execution_id::text, path, extract(epoch FROM wake_at)::float8, answer::text
FROM automate_steprun WHERE execution_id = ANY(%(ids)s::uuid[])
  AND (status = 'WAITING' OR (status = 'FAILED' AND wake_at IS NOT NULL))
"""

_ITERATION = re.compile(r"\[(\d+)\]$")

Recorded = tuple[StepRow, "Answer | None"]


def load(items: Sequence[ClaimedItem], *, policy: RetryPolicy, now: float) -> dict[int, Run | None]:
    """Return the run of each item; None where there is nothing (left) to run.

    Args:
        items: claimed items of kind `execution`.
        policy: retry policy of steps that name none.
        now: the database's time in seconds since the epoch.
    """
    ids = [str(item.payload["execution_id"]) for item in items]
    rows = {row[0]: row for row in sql.execute(_EXECUTIONS, {"ids": ids})}
    found = plans.load(row[3] for row in rows.values() if row[3])
    runs: dict[int, Run | None] = {}
    begun: dict[str, Run] = {}
    for item, execution_id in zip(items, ids, strict=True):
        row = rows.get(execution_id)
        if row is None or row[6] in TERMINAL:
            runs[item.id] = None
            continue
        run = runs[item.id] = _rebuild(item, row, found.get(row[3]), policy, now)
        if row[12] and not run.is_over:
            begun[execution_id] = run
    if begun:
        _restore_all(begun, now)
    return runs


def hear(runs: Iterable[Run], now: float) -> list[Run]:
    """Bring what was said to running executions into their runs; return those that were spoken to."""
    by_id = {run.row.id: run for run in runs}
    spoken = []
    for execution_id, pokes, cancel_at, pauses in sql.execute(_ORDERS, {"ids": plain(by_id)}):
        run = by_id[execution_id]
        if pokes != run.row.pokes:
            run.row.pokes = pokes
            run.orders = Orders(cancel_at, pauses)
            spoken.append(run)
    if spoken:
        for execution_id, path, wake_at, answer in sql.execute(
            _NEWS, {"ids": plain(run.row.id for run in spoken)}
        ):
            run = by_id[execution_id]
            if answer is not None:
                run.told(path, Answer.of_data(orjson.loads(answer)), now)
            elif path in run.waiting and run.waiting[path].at is not None:
                run.waiting[path].at = wake_at
    return spoken


def look_up_undoing(run: Run, now: float) -> None:
    """Find what a failed run has to undo, and what of it was undone already."""
    keys = undoing.keys(run.plan)
    recorded = [_recorded(row) for row in sql.execute(_OF_NODES, {"id": run.row.id, "keys": keys})]
    answers = {step.path: answer for step, answer in recorded}
    for frame, steps in undoing.begin(run, [step for step, _ in recorded], now):
        restore(run, frame, [(step, answers[step.path]) for step in steps], now)
    # Only one is undone at a time, so the frames do not become lively of themselves.
    run.lively.clear()
    run.lively.append(run.root)


def restore(run: Run, frame: Frame, recorded: Sequence[Recorded], now: float) -> list[Frame]:
    """Put recorded steps (ordered by seq) back into a fresh frame; return the iterations found under way.

    Finished steps are not run again. A step that was running when its worker was lost is called again when its
    effect class allows that; an at-most-once step is failed as OUTCOME_UNKNOWN.
    """
    latest: dict[str, Recorded] = {}
    for step, answer in recorded:
        run.row.seq = max(run.row.seq, step.seq)
        held = latest.get(step.path)
        if held is None or step.attempt > held[0].attempt:
            latest[step.path] = (step, answer)
        if step.path == frame.prefix + step.node_key:
            _count_try(frame, step)
    inside: list[Frame] = []
    for step, answer in sorted(latest.values(), key=lambda one: one[0].seq):
        if step.path == frame.prefix + step.node_key:
            place = frame.plan.places.get(step.node_key)
            if place is not None:
                _restore_step(run, Spot(frame, frame.plan.nodes[place]), step, answer, now)
        else:
            inside += _restore_iteration(run, frame, step, now)
    run.lively.append(frame)
    return inside


def _rebuild(
    item: ClaimedItem, row: sql.Row, live: plans.LivePlan | None, policy: RetryPolicy, now: float
) -> Run:
    execution = ExecutionRow(*row[:13])
    execution.started_at = row[13].timestamp() if row[13] else None
    execution.output, execution.pokes, execution.parent_execution_id, execution.key = row[17:21]
    plan = live.plan if live and live.plan else Plan((), ())
    workflow = live.workflow if live else {}
    run = Run(plan=plan, row=execution, scope=new_scope(event=_event(row), row=execution, workflow=workflow),
              policy=policy, fresh=False)  # fmt: skip
    run.item = item
    run.orders = Orders(row[21], row[22])
    if live is None:
        run.give_up(ErrorCodes.NOT_FOUND, "The automation has no workflow version to run", now)
    elif live.plan is None:
        run.give_up(ErrorCodes.VALIDATION_ERROR, live.error, now)
    return run


def _event(row: sql.Row) -> dict[str, Any]:
    if row[4] is None or row[16] is None:
        context = orjson.loads(row[7])
        return {"id": row[4], "type": "manual", "source": "", "payload": context}
    return {"id": row[4], "type": row[14], "source": row[15], "payload": orjson.loads(row[16])}


def _restore_all(runs: dict[str, Run], now: float) -> None:
    frames = {(execution_id, ""): run.root for execution_id, run in runs.items()}
    rows = sql.execute(_TOP, {"ids": plain(runs)})
    while frames:
        levels: dict[tuple[str, str], list[Recorded]] = {}
        for row in rows:
            levels.setdefault((row[2], row[0]), []).append(_recorded(row))
        following: dict[tuple[str, str], Frame] = {}
        for key, frame in frames.items():
            for inner in restore(runs[key[0]], frame, levels.get(key, ()), now):
                following[(key[0], inner.prefix)] = inner
        frames = following
        if frames:
            params = {"ids": plain(key[0] for key in frames), "prefixes": [key[1] for key in frames]}
            rows = sql.execute(_INSIDE, params)
    for run in runs.values():
        for loop in list(run.loops.values()):
            looping.go_on(run, loop, now)


def _recorded(row: sql.Row) -> Recorded:
    answer = Answer.of_data(orjson.loads(row[23])) if row[23] is not None else None
    return StepRow(*row[1:23]), answer


def _count_try(frame: Frame, step: StepRow) -> None:
    key = step.node_key
    frame.attempts[key] = max(frame.attempts.get(key, 0), step.attempt)
    if step.started_at is not None:
        frame.first_tried[key] = min(frame.first_tried.get(key, step.started_at), step.started_at)
    lost = step.status == StepStatus.FAILED and step.error_code == ErrorCodes.WORKER_LOST
    if step.status == StepStatus.FAILED and not lost:
        frame.tries[key] = frame.tries.get(key, 0) + 1


def _restore_iteration(run: Run, frame: Frame, step: StepRow, now: float) -> list[Frame]:
    """Put an iteration back into its loop: counted when it is over, else to be restored itself."""
    found = _ITERATION.search(step.path)
    loop = run.loops.get(frame.prefix + step.node_key)
    if found is None or loop is None:
        return []
    index = int(found[1])
    loop.following = max(loop.following, index + 1)
    if step.status != StepStatus.RUNNING:
        looping.note_ended(run, loop, index, step)
        return []
    return [looping.start(run, loop, index, now, step)]


def _restore_step(run: Run, spot: Spot, step: StepRow, answer: Answer | None, now: float) -> None:
    frame, node = spot
    if step.status == StepStatus.SUCCESS:
        _recall(run, spot, step)
        return
    if node.index in frame.state.ready:
        frame.state.ready.remove(node.index)
    if step.status == StepStatus.SKIPPED:
        frame.scope["steps"][node.key] = {"output": None, "status": StepStatus.SKIPPED.value}
    elif step.status == StepStatus.RUNNING and node.body is not None:
        _reopen(run, spot, step, now)
    elif step.status == StepStatus.WAITING or (
        step.status == StepStatus.FAILED
        and step.wake_at is not None
        and step.error_code != ErrorCodes.WORKER_LOST
    ):
        again = step.status == StepStatus.FAILED or bool(step.error_code)
        run.waiting[step.path] = Waiting(spot, step, step.wake_at, again, step.awaits)
        if answer is not None:
            run.told(step.path, answer, now)
    elif step.status == StepStatus.FAILED and step.error_code != ErrorCodes.WORKER_LOST:
        run.follow_failure(spot, step)
    elif step.status in (StepStatus.RUNNING, StepStatus.FAILED):
        _restore_interrupted(run, spot, step, now)


def _recall(run: Run, spot: Spot, step: StepRow) -> None:
    """Take a recorded success back without running the step again."""
    frame, node = spot
    output = orjson.loads(step.output_data) if step.output_data is not None else None
    frame.scope["steps"][node.key] = {"output": output, "status": StepStatus.SUCCESS.value}
    if step.variables:
        run.set_variables(frame, orjson.loads(step.variables))
    if node.index in frame.state.ready:
        frame.state.ready.remove(node.index)
    frame.state.succeed(node.index, step.route or None)
    if node.handler.ends_iteration:
        frame.halt = Halt(step.route or Halt.CONTINUE)


def _reopen(run: Run, spot: Spot, step: StepRow, now: float) -> None:
    """Go on with a loop: its items are rendered again, from what was known when it began."""
    try:
        items = items_of(spot.node.render(spot.frame.scope))
    except AutomateError as error:
        run.fail_for_good(spot, step, looping.Failure(str(error.code), error.message, step.path), now)
        return
    looping.attach(run, spot, step, items)


def _restore_interrupted(run: Run, spot: Spot, step: StepRow, now: float) -> None:
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
    if unknown:
        run.follow_failure(spot, step)
    else:
        run.wanted.append(spot)


__all__ = ["hear", "load", "look_up_undoing", "restore"]
