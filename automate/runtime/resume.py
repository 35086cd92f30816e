"""Rebuilds runs from what is recorded: the way every execution that was not just dispatched begins.

Records are read level by level, the top first and then the iterations still under way: those that are over count
by their own row alone, so that a long loop is not read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from automate.enums import TERMINAL, StepStatus
from automate.executions.rows import ExecutionRow, StepRow
from automate.executions.signals import Answer
from automate.graph import Plan
from automate.runtime import looping, outcomes, plans, records, undoing
from automate.runtime.calls import Spot, Waiting
from automate.runtime.endings import Orders
from automate.runtime.frames import Failure, Frame, Halt
from automate.runtime.retry import RetryPolicy
from automate.runtime.run import Run
from automate.runtime.scope import new_scope
from automate_core import sql
from automate_core.errors import AutomateError, ErrorCodes
from automate_core.outbox.base import ClaimedItem
from automate_core.steps import Effect

_ITERATION = re.compile(r"\[(\d+)\]$")


def load(items: Sequence[ClaimedItem], *, policy: RetryPolicy, now: float) -> dict[int, Run | None]:
    """Return the run of each item; None where there is nothing (left) to run.

    Args:
        items: claimed items of kind `execution`.
        policy: retry policy of steps that name none.
        now: the database's time in seconds since the epoch.
    """
    ids = [str(item.payload["execution_id"]) for item in items]
    rows = records.executions(ids)
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
    for execution_id, pokes, cancel_at, pauses in records.orders(by_id):
        run = by_id[execution_id]
        if pokes != run.row.pokes:
            run.row.pokes = pokes
            run.orders = Orders(cancel_at, pauses)
            spoken.append(run)
    if spoken:
        for execution_id, path, wake_at, answer in records.news([run.row.id for run in spoken]):
            run = by_id[execution_id]
            if answer is not None:
                outcomes.tell(run, path, answer, now)
            elif path in run.waiting and run.waiting[path].at is not None:
                run.waiting[path].at = wake_at
    return spoken


def look_up_undoing(run: Run, now: float) -> None:
    """Find what a failed run has to undo, and what of it was undone already."""
    keys = undoing.keys(run.plan)
    recorded = records.steps_of_nodes(run.row.id, keys)
    answers = {step.path: answer for step, answer in recorded}
    for frame, steps in undoing.begin(run, [step for step, _ in recorded], now):
        restore(run, frame, [(step, answers[step.path]) for step in steps], now)
    # Only one is undone at a time, so the frames do not become lively of themselves.
    run.lively.clear()
    run.lively.append(run.root)


def restore(run: Run, frame: Frame, recorded: Sequence[records.Recorded], now: float) -> list[Frame]:
    """Put recorded steps (ordered by seq) back into a fresh frame; return the iterations found under way.

    Finished steps are not run again. A step that was running when its worker was lost is called again when its
    effect class allows that; an at-most-once step is failed as OUTCOME_UNKNOWN.
    """
    latest: dict[str, records.Recorded] = {}
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
    if row[23] is not None:
        policy = replace(policy, max_attempts=row[23])
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
    levels = records.top_steps(runs)
    while frames:
        following: dict[records.Place, Frame] = {}
        for place, frame in frames.items():
            for inner in restore(runs[place[0]], frame, levels.get(place, ()), now):
                following[(place[0], inner.prefix)] = inner
        frames = following
        levels = records.steps_inside(list(frames)) if frames else {}
    for run in runs.values():
        for loop in list(run.loops.values()):
            looping.go_on(run, loop, now)


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
    if found is None:
        return []
    if loop is None:
        # The loop is over; what its iterations set is not.
        run.recall_variables(frame, step)
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
            outcomes.tell(run, step.path, answer, now)
    elif step.status == StepStatus.FAILED and step.error_code != ErrorCodes.WORKER_LOST:
        outcomes.follow_failure(run, spot, step)
    elif step.status in (StepStatus.RUNNING, StepStatus.FAILED):
        _restore_interrupted(run, spot, step, now)


def _recall(run: Run, spot: Spot, step: StepRow) -> None:
    """Take a recorded success back without running the step again."""
    frame, node = spot
    output = orjson.loads(step.output_data) if step.output_data is not None else None
    frame.scope["steps"][node.key] = {"output": output, "status": StepStatus.SUCCESS.value}
    run.recall_variables(frame, step)
    if node.index in frame.state.ready:
        frame.state.ready.remove(node.index)
    frame.state.succeed(node.index, step.route or None)
    if node.handler.ends_iteration:
        frame.halt = Halt(step.route or Halt.CONTINUE)
    if step.told != step.status and node.effect is Effect.DATABASE:
        run.touch(
            step
        )  # its success was committed with its writes, and the worker stopped before numbering it


def _reopen(run: Run, spot: Spot, step: StepRow, now: float) -> None:
    """Go on with a loop: its items are rendered again, from what was known when it began."""
    try:
        items = looping.items_of(spot.node, spot.node.render(spot.frame.scope))
    except AutomateError as error:
        outcomes.fail_for_good(run, spot, step, Failure(str(error.code), error.message, step.path), now)
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
        outcomes.follow_failure(run, spot, step)
    else:
        run.wanted.append(spot)


__all__ = ["hear", "load", "look_up_undoing", "restore"]
