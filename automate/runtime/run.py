"""One execution in memory: advances through pure steps, says which outside calls are next, keeps what to record."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from automate.enums import ExecutionStatus, StepStatus
from automate.executions.rows import ExecutionRow, StepRow
from automate.executions.signals import Answer
from automate.graph import Node, OnError, Plan
from automate.runtime import endings, looping, undoing
from automate.runtime.calls import Call, Spot, Waiting
from automate.runtime.frames import Failure, Frame, Halt, Loop
from automate.runtime.interpreter import State
from automate.runtime.retry import RetryPolicy, Verdict, judge, policy_of
from automate.runtime.scope import idempotency_key, json_text
from automate_core import conf
from automate_core.errors import AutomateError, ErrorCodes, NotYet, PermanentError
from automate_core.ids import uuid7
from automate_core.outbox.base import ClaimedItem
from automate_core.redaction import redact
from automate_core.steps import Effect, StepContext, StepResult, Wait

logger = logging.getLogger(__name__)

Clock = Callable[[], float]
"""Tells the database's time in Unix seconds."""

TURN_STEPS = 1_000
TURN_BYTES = 2_000_000
"""How far a run goes before what it did is recorded: neither memory nor a commit grows with the length of a loop."""


class Run:
    """The state of one execution while a worker holds its lease."""

    def __init__(
        self, *, plan: Plan, row: ExecutionRow, scope: dict[str, Any], policy: RetryPolicy, fresh: bool
    ) -> None:
        self.plan = plan
        self.row = row
        self.tenant_id = UUID(row.tenant_id)
        self.execution_id = UUID(row.id)
        self.item: ClaimedItem | None = None
        self.root = Frame(plan, "", scope, State(plan))
        self.lively: deque[Frame] = deque([self.root])
        self.loops: dict[str, Loop] = {}
        self.wanted: deque[Spot] = deque()
        self.calls: dict[str, Call] = {}
        self.waiting: dict[str, Waiting] = {}
        self.opened: dict[str, StepRow] = {}
        self.dirty: dict[tuple[str, int], StepRow] = {}
        self.dirty_bytes = 0
        self.undo: undoing.Undoing | None = None
        self.orders = endings.Orders()
        self.stored_status: str = "" if fresh else row.status
        self.left_waiting = False
        self._policy = policy
        self._ended: ExecutionStatus | None = None

    @property
    def scope(self) -> dict[str, Any]:
        """What the steps at the top see."""
        return self.root.scope

    @property
    def failed(self) -> bool:
        """Whether a step failed for good, and with it the execution."""
        return bool(self.row.error_code)

    def advance(self, clock: Clock) -> None:
        """Run pure steps that are ready, up to a turn's worth; outside calls join `wanted`."""
        now = clock()
        if self.row.started_at is None:
            self.row.started_at = now
        endings.enforce(self, now)
        if self.waiting:
            self._ring(now)
        steps = 0
        while self.lively and not self.orders.holds and steps < TURN_STEPS and self.dirty_bytes < TURN_BYTES:
            frame = self.lively[0]
            if frame.is_closed or frame.is_halted or not frame.state.ready:
                self.lively.popleft()
                looping.close_if_over(self, frame, clock())
                undoing.go_on(self)
                continue
            steps += 1
            self._step(Spot(frame, frame.plan.nodes[frame.state.ready.pop(0)]), clock)
            if frame.state.skipped:
                self._record_skips(frame, clock())

    def next_wanted(self) -> Spot | None:
        """Return the next call to begin, if one may: within the graph's limit and while nothing holds the run."""
        while self.wanted and not self.orders.holds and len(self.calls) < self.plan.settings.max_parallel:
            spot = self.wanted.popleft()
            if not (spot.frame.is_halted or spot.frame.is_closed):
                return spot
        return None

    def begin(self, spot: Spot, now: float) -> Call | None:
        """Render a step and note the intent to call it; None when rendering fails the step."""
        held = self.waiting.pop(spot.path, None)
        row = held.row if held and held.row.status == StepStatus.WAITING else self.new_row(spot, now)
        try:
            config = spot.node.render(spot.frame.scope)
            row.input_data = json_text(redact(config))
        except Exception as error:
            self._crashed(spot, row, error, now)
            return None
        row.status, row.wake_at, row.error_code = StepStatus.RUNNING, None, ""
        spot.frame.first_tried.setdefault(spot.node.key, now)
        call = self.calls[row.path] = Call(self, spot, config, self._context(spot, row.attempt), row)
        self.touch(row)
        return call

    def succeed(self, call: Call, result: StepResult | Wait, now: float) -> None:
        """Take the result of a call."""
        if self.calls.pop(call.row.path, None) is None:
            return
        try:
            self._take(call.spot, call.row, result, now)
        except PermanentError as error:
            self._crashed(call.spot, call.row, error, now)
        self._enliven(call.spot.frame)

    def success_row(self, call: Call, result: StepResult | Wait, now: float) -> StepRow:
        """Return the row of a success that is committed on the call's own thread, without touching the run."""
        row = replace(call.row, seq=call.row.seq + 1)
        if isinstance(result, Wait):
            _wait(row, result, now)
            return row
        variables = redact(dict(result.variables)) if result.variables else None
        row.status, row.output_data = StepStatus.SUCCESS, json_text(redact(result.output))
        row.route, row.variables, row.finished_at = result.route or "", json_text(variables), now
        return row

    def fail(self, call: Call, error: Exception, now: float) -> None:
        """Take the failure of a call: try again later, or fail the step for good."""
        if self.calls.pop(call.row.path, None) is None:
            return
        self._failed_call(call.spot, call.row, error, now)
        self._enliven(call.spot.frame)

    def finish(self, spot: Spot, row: StepRow, output: Any, route: str, now: float) -> None:
        """Record a step's success and follow its edges."""
        output = redact(output)
        row.output_data = json_text(output)
        row.status, row.route, row.wake_at, row.finished_at = StepStatus.SUCCESS, route, None, now
        frame = spot.frame
        frame.scope["steps"][spot.node.key] = {"output": output, "status": StepStatus.SUCCESS.value}
        frame.state.succeed(spot.node.index, route or None)
        self.touch(row)
        self.lively.append(frame)

    def fail_for_good(self, spot: Spot, row: StepRow, failure: Failure, now: float) -> None:
        """Record a failure that is final, and do what the node says about it."""
        row.status, row.wake_at, row.finished_at = StepStatus.FAILED, None, now
        row.error_code, row.error_message = failure.code, failure.message
        self.follow_failure(spot, row)
        self.touch(row)
        self.lively.append(spot.frame)

    def follow_failure(self, spot: Spot, row: StepRow) -> None:
        """Go on after a recorded failure as the node says: by its route, as if nothing were, or not at all."""
        frame, node = spot
        failure = Failure(row.error_code, row.error_message, row.path)
        frame.scope["steps"][node.key] = {
            "output": None, "status": StepStatus.FAILED.value, "error": failure.as_data(),
        }  # fmt: skip
        if node.on_error is OnError.FAIL:
            frame.halt, frame.failure = Halt.FAILED, failure
            if frame is self.root:
                self.row.error_code = failure.code
                self.row.error_summary = f"{row.path}: {failure.message}"
            return
        row.route = "error" if node.on_error is OnError.ROUTE else "continue"
        frame.state.succeed(node.index, "error" if node.on_error is OnError.ROUTE else None)

    def told(self, path: str, answer: Answer, now: float) -> None:
        """Take the answer to a waiting step; one that no longer waits is left alone."""
        waiting = self.waiting.pop(path, None)
        if waiting is None:
            return
        spot, row = waiting.spot, waiting.row
        if answer.error_code:
            failure = Failure(answer.error_code, answer.error_message, path)
            self.fail_for_good(spot, row, failure, now)
            return
        try:
            self.finish(spot, row, answer.output, answer.route or "", now)
        except PermanentError as error:
            self._crashed(spot, row, error, now)

    def settle(self, now: float) -> None:
        """Set the execution's status from what is left to do."""
        for row in self.opened.values():
            self.touch(row)
        self.opened.clear()
        row = self.row
        row.started_at = row.started_at or now
        if self.calls:
            row.status = ExecutionStatus.RUNNING
        elif self._ended is not None or self.orders.cancels:
            endings.close(self, self._ended or ExecutionStatus.CANCELLED, now)
        elif self.orders.pauses:
            row.status = ExecutionStatus.WAITING
        elif self.is_busy or (self.failed and undoing.is_due(self)):
            row.status = ExecutionStatus.RUNNING
        elif self.failed and not self.undoing_waits:
            endings.close(self, ExecutionStatus.FAILED, now)
        elif self.waiting:
            row.status = ExecutionStatus.WAITING
        else:
            endings.close(self, ExecutionStatus.SUCCESS, now)

    @property
    def is_busy(self) -> bool:
        """Whether there are steps to run or to call now."""
        self.wanted = deque(
            spot for spot in self.wanted if not (spot.frame.is_halted or spot.frame.is_closed)
        )
        return bool(self.lively or self.wanted)

    @property
    def undoing_waits(self) -> bool:
        """Whether a step that undoes another waits to be tried again."""
        return self.undo is not None and self.undo.current is not None

    @property
    def is_over(self) -> bool:
        """Whether the execution reached its end."""
        return self.row.finished_at is not None

    @property
    def is_parked(self) -> bool:
        """Whether the execution waits and holds no worker."""
        return self.row.status == ExecutionStatus.WAITING

    def wakes_at(self) -> float | None:
        """Return when the run has something to do by itself, in seconds since the epoch; None for never."""
        times = [waiting.at for waiting in self.waiting.values() if waiting.at is not None]
        if (deadline := endings.deadline(self)) is not None:
            times.append(deadline)
        return None if self.orders.pauses else min(times, default=None)

    def is_due(self, now: float) -> bool:
        """Tell whether a held run has to be looked at by now: a time came, or a cancel's grace is over."""
        if self.orders.cancel_at is not None and self.calls:
            return now >= self.orders.cancel_at + conf.get().CANCEL_GRACE_SECONDS
        if not self.waiting and self.plan.settings.timeout_seconds is None:
            return False
        at = self.wakes_at()
        return at is not None and at <= now

    def give_up(self, code: str, message: str, now: float) -> None:
        """Fail the execution for a reason outside its steps."""
        self.row.error_code, self.row.error_summary = code, message
        self.root.halt = Halt.FAILED
        self.settle(now)

    def end_as(self, status: ExecutionStatus) -> None:
        """Say how the execution ends once its calls are over."""
        self._ended = status

    def set_variables(self, frame: Frame, values: Mapping[str, Any]) -> None:
        """Set variables of the execution, remembering in which iterations that was."""
        self.scope["variables"].update(values)
        for around in frame.outward():
            around.variables.update(values)

    def drop_inside(self, frame: Frame, now: float) -> None:
        """Record that what waits in a halted frame, and the loops in it, will not go on."""
        for path, waiting in list(self.waiting.items()):
            if frame.contains(waiting.spot.frame):
                del self.waiting[path]
                if waiting.row.status == StepStatus.WAITING:
                    self.left_waiting = self.left_waiting or waiting.awaits
                    self._cancel_row(waiting.row, now)
        for path, loop in list(self.loops.items()):
            if frame.contains(loop.frame):
                del self.loops[path]
                self._cancel_row(loop.row, now)
                for inner in loop.active.values():
                    assert inner.row is not None
                    self.opened.pop(inner.row.path, None)
                    self._cancel_row(inner.row, now)
                loop.active.clear()

    def touch(self, row: StepRow) -> None:
        """Mark a step's row to be recorded, as the next thing that happened."""
        if (row.path, row.attempt) not in self.dirty:
            self.row.seq += 1
            row.seq = self.row.seq
        self.dirty[(row.path, row.attempt)] = row
        self.dirty_bytes += 200 + len(row.output_data or "") + len(row.input_data or "")

    def recorded(self) -> None:
        """Forget what is on record now."""
        self.dirty.clear()
        self.dirty_bytes = 0
        self.stored_status = self.row.status

    def new_row(self, spot: Spot, now: float) -> StepRow:
        """Return the row of a step's next attempt."""
        frame, node = spot
        attempt = frame.attempts[node.key] = frame.attempts.get(node.key, 0) + 1
        return StepRow(
            id=str(uuid7()), execution_id=self.row.id, tenant_id=self.row.tenant_id, path=frame.path(node),
            node_key=node.key, node_type=node.type, attempt=attempt, status=StepStatus.RUNNING,
            effect=node.effect.value, route="", input_data=None, output_data=None, variables=None,
            error_code="", error_message="", seq=0, wake_at=None, started_at=now, finished_at=None,
        )  # fmt: skip

    def _cancel_row(self, row: StepRow, now: float) -> None:
        row.status, row.wake_at, row.finished_at = StepStatus.CANCELLED, None, now
        self.touch(row)

    def _enliven(self, frame: Frame) -> None:
        """Look at a frame again after a call in it returned, and at those around it that may now close."""
        self.lively.extend(frame.outward())

    def _ring(self, now: float) -> None:
        for waiting in [one for one in self.waiting.values() if one.at is not None and one.at <= now]:
            spot, row = waiting.spot, waiting.row
            if spot.frame.is_halted:
                continue
            if waiting.again:
                waiting.at = None
                self.wanted.append(spot)
            elif not waiting.awaits:
                del self.waiting[row.path]
                self.finish(spot, row, orjson.loads(row.output_data) if row.output_data else None, "", now)
            else:
                del self.waiting[row.path]
                if spot.node.leaves_by("timeout"):
                    self.finish(spot, row, {"timed_out": True}, "timeout", now)
                else:
                    failure = Failure(ErrorCodes.TIMEOUT, "Nobody answered in time", row.path)
                    self.fail_for_good(spot, row, failure, now)

    def _step(self, spot: Spot, clock: Clock) -> None:
        if spot.node.body is not None:
            looping.open_loop(self, spot, clock())
        elif spot.node.effect is Effect.PURE:
            self._run_pure(spot, clock)
        else:
            self.wanted.append(spot)

    def _run_pure(self, spot: Spot, clock: Clock) -> None:
        node = spot.node
        row = self.new_row(spot, clock())
        try:
            config = node.render(spot.frame.scope)
            row.input_data = json_text(redact(config))
            result = node.handler.run(config, self._context(spot, row.attempt))
            if not isinstance(result, StepResult | Wait):
                raise PermanentError(
                    f"{node.type} returned {type(result).__name__}; return a StepResult or a Wait"
                )
            self._take(spot, row, result, clock())
        except Exception as error:
            self._crashed(spot, row, error, clock())

    def _take(self, spot: Spot, row: StepRow, result: StepResult | Wait, now: float) -> None:
        frame, node = spot
        if isinstance(result, Wait):
            _wait(row, result, now)
            self.waiting[row.path] = Waiting(spot, row, row.wake_at, awaits=row.awaits)
            self.touch(row)
            return
        if result.variables:
            variables = redact(dict(result.variables))
            row.variables = json_text(variables)
            self.set_variables(frame, variables)
        self.finish(spot, row, result.output, result.route or "", now)
        if node.handler.gives_output:
            self.row.output = row.output_data
        if node.handler.ends_iteration:
            self.halt_iteration(frame, Halt(result.route or Halt.CONTINUE), now)

    def halt_iteration(self, frame: Frame, halt: Halt, now: float) -> None:
        """Start nothing more in an iteration; the steps that will not run are recorded as skipped."""
        frame.halt = halt
        under_way = {call.spot.path for call in self.calls.values()} | set(self.waiting) | set(self.loops)
        for place in frame.state.unfinished():
            node = frame.plan.nodes[place]
            if frame.path(node) not in under_way and node.key not in frame.attempts:
                frame.state.skipped.append(place)
        self._record_skips(frame, now)

    def _crashed(self, spot: Spot, row: StepRow, error: Exception, now: float) -> None:
        """Fail a step that went wrong before or after its call: trying again cannot help."""
        if not isinstance(error, AutomateError):
            logger.exception("step.crashed", extra={"step": row.path, "execution": self.row.id})
        verdict = judge(error, tries=1, effect=Effect.PURE, policy=self._policy)
        self._fail(spot, row, verdict, now)

    def _failed_call(self, spot: Spot, row: StepRow, error: Exception, now: float) -> None:
        frame, node = spot
        if isinstance(error, NotYet):
            row.status, row.wake_at = StepStatus.WAITING, now + error.seconds
            row.error_code, row.error_message = ErrorCodes.RATE_LIMITED, error.message
            self.waiting[row.path] = Waiting(spot, row, row.wake_at, again=True)
            self.touch(row)
            return
        tries = frame.tries[node.key] = frame.tries.get(node.key, 0) + 1
        policy = policy_of(node.retry, self._policy)
        elapsed = now - frame.first_tried.get(node.key, now)
        verdict = judge(error, tries=tries, effect=node.effect, policy=policy, elapsed_seconds=elapsed)
        self._fail(spot, row, verdict, now)

    def _fail(self, spot: Spot, row: StepRow, verdict: Verdict, now: float) -> None:
        message = str(redact(verdict.message))[:5_000].replace("\x00", "")
        if verdict.retry_in_seconds is None or spot.frame.is_halted:
            self.fail_for_good(spot, row, Failure(verdict.code, message, row.path), now)
            return
        row.status, row.error_code, row.error_message = StepStatus.FAILED, verdict.code, message
        row.finished_at, row.wake_at = now, now + verdict.retry_in_seconds
        self.waiting[row.path] = Waiting(spot, row, row.wake_at, again=True)
        self.touch(row)

    def _record_skips(self, frame: Frame, now: float) -> None:
        while frame.state.skipped:
            node = frame.plan.nodes[frame.state.skipped.pop(0)]
            if node.key in frame.attempts:
                continue
            frame.scope["steps"][node.key] = {"output": None, "status": StepStatus.SKIPPED.value}
            row = self.new_row(Spot(frame, node), now)
            row.status, row.finished_at = StepStatus.SKIPPED, now
            self.touch(row)

    def _context(self, spot: Spot, attempt: int) -> StepContext:
        frame, node = spot
        path = frame.path(node)
        taken, others = frame.state.arrived(node.index) if len(node.incoming) > 1 else ([], [])
        return StepContext(
            tenant_id=self.tenant_id,
            execution_id=self.execution_id,
            path=path,
            attempt=attempt,
            idempotency_key=idempotency_key(self.row.id, path) if node.effect is not Effect.PURE else "",
            trace_id=self.row.trace_id,
            scope=frame.scope,
            prepared=node.prepared,
            timeout_seconds=node.timeout_seconds,
            arrived=tuple(frame.plan.nodes[place].key for place in taken),
            missing=tuple(frame.plan.nodes[place].key for place in others),
        )


def _wait(row: StepRow, wait: Wait, now: float) -> None:
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
