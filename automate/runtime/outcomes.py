"""What comes of a step: success, failure, a wait, an answer; the one place that writes a step's status in a run."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from automate.enums import StepStatus
from automate.executions.rows import StepRow
from automate.executions.signals import Answer
from automate.graph import OnError
from automate.runtime.calls import Call, Spot, Waiting
from automate.runtime.frames import Failure, Halt
from automate.runtime.retry import Verdict, judge, policy_of
from automate.runtime.scope import json_text
from automate_core.errors import AutomateError, ErrorCodes, NotYet, PermanentError
from automate_core.redaction import redact
from automate_core.steps import Effect, StepResult, Wait

if TYPE_CHECKING:
    from automate.runtime.run import Run

logger = logging.getLogger(__name__)


def take(run: Run, spot: Spot, row: StepRow, result: StepResult | Wait, now: float) -> None:
    frame, node = spot
    if isinstance(result, Wait):
        begin_wait(row, result, now)
        run.waiting[row.path] = Waiting(spot, row, row.wake_at, awaits=row.awaits)
        run.touch(row)
        return
    if result.variables:
        variables = run.redacted(dict(result.variables))
        row.variables = json_text(variables)
        run.set_variables(frame, variables)
    finish(run, spot, row, result.output, result.route or "", now)
    if node.handler.gives_output:
        run.row.output = row.output_data
    if node.handler.ends_iteration:
        run.halt_iteration(frame, Halt(result.route or Halt.CONTINUE), now)


def finish(run: Run, spot: Spot, row: StepRow, output: Any, route: str, now: float) -> None:
    """Record a step's success and follow its edges."""
    output = run.redacted(output)
    row.output_data = json_text(output)
    row.status, row.route, row.wake_at, row.finished_at = StepStatus.SUCCESS, route, None, now
    frame = spot.frame
    frame.scope["steps"][spot.node.key] = {"output": output, "status": StepStatus.SUCCESS.value}
    frame.state.succeed(spot.node.index, route or None)
    run.touch(row)
    run.lively.append(frame)


def success_row(run: Run, call: Call, result: StepResult | Wait, now: float) -> StepRow:
    """Return the row of a success that is committed on the call's own thread, without touching the run."""
    row = replace(call.row, marks="")  # the run itself numbers what comes of it, with its next record
    if isinstance(result, Wait):
        begin_wait(row, result, now)
        return row
    variables = run.redacted(dict(result.variables)) if result.variables else None
    row.status, row.output_data = StepStatus.SUCCESS, json_text(run.redacted(result.output))
    row.route, row.variables, row.finished_at = result.route or "", json_text(variables), now
    return row


def fail_for_good(run: Run, spot: Spot, row: StepRow, failure: Failure, now: float) -> None:
    """Record a failure that is final, and do what the node says about it."""
    row.status, row.wake_at, row.finished_at = StepStatus.FAILED, None, now
    row.error_code, row.error_message = failure.code, failure.message
    follow_failure(run, spot, row)
    run.touch(row)
    run.lively.append(spot.frame)


def follow_failure(run: Run, spot: Spot, row: StepRow) -> None:
    """Go on after a recorded failure as the node says: by its route, as if nothing were, or not at all."""
    frame, node = spot
    failure = Failure(row.error_code, row.error_message, row.path)
    frame.scope["steps"][node.key] = {
        "output": None, "status": StepStatus.FAILED.value, "error": failure.as_data(),
    }  # fmt: skip
    if node.on_error is OnError.FAIL:
        frame.halt, frame.failure = Halt.FAILED, failure
        if frame is run.root:
            run.row.error_code = failure.code
            run.row.error_summary = f"{row.path}: {failure.message}"
        return
    row.route = "error" if node.on_error is OnError.ROUTE else "continue"
    frame.state.succeed(node.index, "error" if node.on_error is OnError.ROUTE else None)


def fail_call(run: Run, spot: Spot, row: StepRow, error: Exception, now: float) -> None:
    """Record what went wrong in a call: it is begun again later, tried again, or failed for good."""
    frame, node = spot
    if isinstance(error, NotYet):
        row.status, row.wake_at = StepStatus.WAITING, now + error.seconds
        row.error_code, row.error_message = ErrorCodes.RATE_LIMITED, error.message
        run.waiting[row.path] = Waiting(spot, row, row.wake_at, again=True)
        run.touch(row)
        return
    tries = frame.tries[node.key] = frame.tries.get(node.key, 0) + 1
    policy = policy_of(node.retry, run.policy)
    elapsed = now - frame.first_tried.get(node.key, now)
    verdict = judge(error, tries=tries, effect=node.effect, policy=policy, elapsed_seconds=elapsed)
    _fail(run, spot, row, verdict, now)


def crash(run: Run, spot: Spot, row: StepRow, error: Exception, now: float) -> None:
    """Fail a step that went wrong before or after its call: trying again cannot help."""
    if not isinstance(error, AutomateError):
        logger.error("step.crashed", exc_info=error, extra={"step": row.path, "execution": run.row.id})
    verdict = judge(error, tries=1, effect=Effect.PURE, policy=run.policy)
    _fail(run, spot, row, verdict, now)


def tell(run: Run, path: str, answer: Answer, now: float) -> None:
    """Take the answer to a waiting step; one that no longer waits is left alone."""
    waiting = run.waiting.pop(path, None)
    if waiting is None:
        return
    spot, row = waiting.spot, waiting.row
    if answer.error_code:
        failure = Failure(answer.error_code, answer.error_message, path)
        fail_for_good(run, spot, row, failure, now)
        return
    try:
        finish(run, spot, row, answer.output, answer.route or "", now)
    except PermanentError as error:
        crash(run, spot, row, error, now)


def ring(run: Run, now: float) -> None:
    """Go on with the steps whose time has come: ended waits, tries, and answers nobody gave."""
    for waiting in [one for one in run.waiting.values() if one.at is not None and one.at <= now]:
        spot, row = waiting.spot, waiting.row
        if spot.frame.is_halted:
            continue
        if waiting.again:
            waiting.at = None
            run.wanted.append(spot)
        elif not waiting.awaits:
            del run.waiting[row.path]
            finish(run, spot, row, orjson.loads(row.output_data) if row.output_data else None, "", now)
        else:
            del run.waiting[row.path]
            if spot.node.leaves_by("timeout"):
                finish(run, spot, row, {"timed_out": True}, "timeout", now)
            else:
                failure = Failure(ErrorCodes.TIMEOUT, "Nobody answered in time", row.path)
                fail_for_good(run, spot, row, failure, now)


def begin_wait(row: StepRow, wait: Wait, now: float) -> None:
    """Turn a step's row into that of one that waits."""
    row.status = StepStatus.WAITING
    if wait.until is not None:
        row.wake_at = wait.until.timestamp()
    elif wait.seconds is not None or not wait.awaits_answer:
        row.wake_at = now + (wait.seconds or 0.0)
    row.output_data = json_text(redact(wait.output))
    if wait.awaits_answer:
        row.wake_event = wait.event_type or ""
        row.wake_token, row.wake_rule = wait.token_hash, json_text(wait.rule)


def _fail(run: Run, spot: Spot, row: StepRow, verdict: Verdict, now: float) -> None:
    message = str(run.redacted(verdict.message))[:5_000].replace("\x00", "")
    if verdict.retry_in_seconds is None or spot.frame.is_halted:
        fail_for_good(run, spot, row, Failure(verdict.code, message, row.path), now)
        return
    row.status, row.error_code, row.error_message = StepStatus.FAILED, verdict.code, message
    row.finished_at, row.wake_at = now, now + verdict.retry_in_seconds
    run.waiting[row.path] = Waiting(spot, row, row.wake_at, again=True)
    run.touch(row)
