"""Loops at work: opening them, starting and ending iterations, closing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from automate.enums import StepStatus
from automate.executions.rows import StepRow
from automate.graph import Node
from automate.runtime import outcomes
from automate.runtime.calls import Spot
from automate.runtime.frames import Failure, Frame, Halt, Loop
from automate.runtime.interpreter import State
from automate.runtime.loop_steps import ItemErrors, LoopRules, LoopStep, check_iterations
from automate.runtime.scope import MAX_OUTPUT_BYTES, json_text
from automate.waits.links import give_links
from automate_core.errors import AutomateError, ErrorCodes, PermanentError
from automate_core.ids import uuid7
from automate_core.steps import Effect

if TYPE_CHECKING:
    from automate.runtime.run import Run


def open_loop(run: Run, spot: Spot, now: float) -> None:
    """Begin a loop and its first iterations; a loop whose items are no list fails."""
    row = run.new_row(spot, now)
    try:
        config = spot.node.render(spot.frame.scope)
        items = items_of(spot.node, config)
        row.input_data = json_text({"count": len(items)} if items is not None else {})
    except AutomateError as error:
        outcomes.fail_for_good(run, spot, row, Failure(str(error.code), error.message, row.path), now)
        return
    run.touch(row)
    feed(run, attach(run, spot, row, items), now)


def attach(run: Run, spot: Spot, row: StepRow, items: list[Any] | None) -> Loop:
    """Make a loop part of the run, without starting anything."""
    rules: LoopRules = spot.node.prepared
    loop = run.loops[row.path] = Loop(spot.frame, spot.node, row, items, rules.concurrency)
    return loop


def feed(run: Run, loop: Loop, now: float) -> None:
    """Start as many iterations as may run; close the loop when nothing is left of it."""
    if loop.frame.is_halted or run.loops.get(loop.path) is not loop:
        return
    while not loop.stopped and len(loop.active) < loop.limit:
        try:
            if not _has_more(loop):
                break
        except AutomateError as error:
            _stop(loop, Failure(str(error.code), error.message, loop.path))
            break
        run.lively.append(start(run, loop, loop.following, now))
        loop.following += 1
    if not loop.active:
        _close(run, loop, now)


def go_on(run: Run, loop: Loop, now: float) -> None:
    """Start what comes next; in a loop that failed, end what is still under way."""
    if loop.failure is not None:
        for frame in loop.active.values():
            if frame.halt is None:
                frame.halt = Halt.CANCELLED
                run.lively.append(frame)
    feed(run, loop, now)


def start(run: Run, loop: Loop, index: int, now: float, row: StepRow | None = None) -> Frame:
    """Make the frame of an iteration, new or (with its row) recorded."""
    body = loop.node.body
    assert body is not None
    path = f"{loop.path}[{index}]"
    frame = Frame(body, f"{path}/", loop.scope_for(index), State(body), loop, index)
    give_links(frame.scope, body, execution_id=run.row.id, prefix=frame.prefix)
    if row is None:
        row = _iteration_row(run, loop, path, now)
        run.opened[path] = row
    frame.row = row
    loop.active[index] = frame
    return frame


def close_if_over(run: Run, frame: Frame, now: float) -> None:
    """End an iteration in which nothing can happen any more."""
    loop = frame.loop
    if loop is None or frame.is_closed or loop.frame.is_halted:
        return
    if frame.halt is None:
        if frame.state.is_complete():
            _finish(run, loop, frame, now)
        return
    if any(frame.contains(call.spot.frame) for call in run.calls.values()):
        return
    run.drop_inside(frame, now)
    _finish(run, loop, frame, now)


def items_of(node: Node, config: Mapping[str, Any]) -> list[Any] | None:
    """Return the items of a loop's rendered config, None when only a rule ends it; raises PermanentError."""
    assert isinstance(node.handler, LoopStep)
    return node.handler.items_of(config)


def note_ended(run: Run, loop: Loop, index: int, row: StepRow) -> None:
    """Take back what is recorded of an iteration that is over."""
    loop.following = max(loop.following, index + 1)
    if row.status == StepStatus.SUCCESS:
        _keep(loop, index, orjson.loads(row.output_data) if row.output_data is not None else None)
    elif row.status == StepStatus.FAILED:
        _count_failure(loop, index, Failure(row.error_code, row.error_message, row.path))
    if row.variables:
        run.recall_variables(loop.frame, row)
    if row.status == StepStatus.SUCCESS and row.route == Halt.BREAK:
        loop.stopped = True


def _iteration_row(run: Run, loop: Loop, path: str, now: float) -> StepRow:
    return StepRow(
        id=str(uuid7()), execution_id=run.row.id, tenant_id=run.row.tenant_id, path=path, node_key=loop.node.key,
        node_type=loop.node.type, attempt=1, status=StepStatus.RUNNING, effect=Effect.PURE.value, route="",
        input_data=None, output_data=None, variables=None, error_code="", error_message="", seq=0, wake_at=None,
        started_at=now, finished_at=None,
    )  # fmt: skip


def _has_more(loop: Loop) -> bool:
    rules: LoopRules = loop.node.prepared
    if loop.items is not None:
        return loop.following < len(loop.items)
    scope: Mapping[str, Any] = {
        **loop.frame.scope, "index": loop.following, "loop": {"index": loop.following, "last": loop.last},
    }  # fmt: skip
    if rules.condition is None or not rules.condition.evaluate(scope):
        return False
    check_iterations(loop.following, rules)
    return True


def _finish(run: Run, loop: Loop, frame: Frame, now: float) -> None:
    row = frame.row
    assert row is not None
    del loop.active[frame.index]
    row.finished_at = now
    row.variables = run.variables_of(frame)
    if frame.halt is Halt.CANCELLED:
        row.status = StepStatus.CANCELLED
    elif frame.halt is Halt.FAILED:
        failure = frame.failure or Failure(ErrorCodes.INTERNAL, "", row.path)
        row.status, row.error_code, row.error_message = StepStatus.FAILED, failure.code, failure.message
        _count_failure(loop, frame.index, failure)
    else:
        try:
            result = _result(run, loop, frame)
            row.output_data = json_text(result)
            row.status, row.route = StepStatus.SUCCESS, (frame.halt or "")
            _keep(loop, frame.index, result)
        except AutomateError as error:
            failure = Failure(str(error.code), error.message, row.path)
            row.status, row.error_code, row.error_message = StepStatus.FAILED, failure.code, failure.message
            _stop(loop, failure)
        if frame.halt is Halt.BREAK:
            loop.stopped = True
    run.opened.pop(row.path, None)
    run.touch(row)
    go_on(run, loop, now)


def _result(run: Run, loop: Loop, frame: Frame) -> Any:
    """Return what the loop keeps of an iteration: its `result`, or the output of the one last step that ran."""
    rules: LoopRules = loop.node.prepared
    if rules.result is not None:
        return run.redacted(rules.result.render(frame.scope)["result"])
    return frame.last_output()


def _keep(loop: Loop, index: int, result: Any) -> None:
    loop.last = result
    if loop.items is None or result is None:
        return
    loop.kept_bytes += len(orjson.dumps(result))
    if loop.kept_bytes > MAX_OUTPUT_BYTES:
        raise PermanentError(
            ErrorCodes.PAYLOAD_TOO_LARGE,
            f"The loop's results are larger than {MAX_OUTPUT_BYTES} bytes; keep less of each with `result`",
        )
    loop.results[index] = result
    loop.so_far.append(result)


def _count_failure(loop: Loop, index: int, failure: Failure) -> None:
    rules: LoopRules = loop.node.prepared
    loop.failed += 1
    if rules.on_item_error is ItemErrors.STOP:
        _stop(loop, failure)
    elif rules.on_item_error is ItemErrors.COLLECT:
        loop.errors.append({"index": index, **failure.as_data()})


def _stop(loop: Loop, failure: Failure) -> None:
    loop.stopped = True
    loop.failure = loop.failure or failure


def _close(run: Run, loop: Loop, now: float) -> None:
    del run.loops[loop.path]
    spot = Spot(loop.frame, loop.node)
    failure = loop.failure
    if failure is None:
        try:
            outcomes.finish(run, spot, loop.row, loop.output(), "done", now)
            return
        except AutomateError as error:
            failure = Failure(str(error.code), error.message, loop.path)
    outcomes.fail_for_good(run, spot, loop.row, failure, now)
