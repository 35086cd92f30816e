"""One execution in memory: advances through pure steps, says which outside calls are next, keeps what to record."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from automate.enums import ExecutionStatus, StepStatus
from automate.executions.rows import ExecutionRow, StepRow
from automate.graph import Node, Plan
from automate.runtime.calls import Call, Timer
from automate.runtime.interpreter import State
from automate.runtime.retry import RetryPolicy, Verdict, judge
from automate.runtime.scope import idempotency_key, json_text
from automate_core.errors import AutomateError, PermanentError
from automate_core.ids import uuid7
from automate_core.outbox.base import ClaimedItem
from automate_core.redaction import redact
from automate_core.steps import Effect, StepContext, StepResult, Wait

logger = logging.getLogger(__name__)

Clock = Callable[[], float]
"""Tells the database's time in Unix seconds."""


class Run:
    """The state of one execution while a worker holds its lease."""

    def __init__(
        self, *, plan: Plan, row: ExecutionRow, scope: dict[str, Any], policy: RetryPolicy, fresh: bool
    ) -> None:
        self.plan = plan
        self.row = row
        self.scope = scope
        self.tenant_id = UUID(row.tenant_id)
        self.execution_id = UUID(row.id)
        self.item: ClaimedItem | None = None
        self.state = State(plan)
        self.wanted: deque[int] = deque()
        self.calls: dict[int, Call] = {}
        self.timers: list[Timer] = []
        self.dirty: dict[tuple[str, int], StepRow] = {}
        self.attempts: dict[int, int] = {}
        self.tries: dict[int, int] = {}
        self.stored_status: str = "" if fresh else row.status
        self._policy = policy
        self._skips_recorded: set[int] = set()

    def advance(self, clock: Clock) -> None:
        """Run every pure step that is ready; outside calls join `wanted`."""
        if self.row.started_at is None:
            self.row.started_at = clock()
        if self.timers:
            self._ring_timers(clock())
        ready = self.state.ready
        while ready and not self.failed:
            place = ready.pop(0)
            node = self.plan.nodes[place]
            if node.effect is Effect.PURE:
                self._run_pure(node, clock)
            else:
                self.wanted.append(place)
        if self.state.skipped:
            self._record_skips(clock())

    @property
    def failed(self) -> bool:
        """Whether a step failed for good."""
        return bool(self.row.error_code)

    def begin(self, place: int, now: float) -> Call | None:
        """Render a step and note the intent to call it; None when rendering fails the step."""
        node = self.plan.nodes[place]
        row = self._new_row(node, now)
        try:
            config = node.render(self.scope)
            row.input_data = json_text(redact(config))
        except Exception as error:
            if not isinstance(error, AutomateError):
                logger.exception("step.crashed", extra={"step": node.key, "execution": self.row.id})
            self._fail(node, row, judge(error, tries=1, effect=Effect.PURE, policy=self._policy), now)
            return None
        row.status = StepStatus.RUNNING
        call = Call(self, node, config, self._context(node, row.attempt), row)
        self.calls[place] = call
        self.touch(row)
        return call

    def succeed(self, call: Call, result: StepResult | Wait, now: float) -> None:
        """Take the result of a call."""
        if self.calls.pop(call.node.index, None) is None:
            return
        try:
            self._take(call.node, call.row, result, now)
        except PermanentError as error:
            self._fail(
                call.node, call.row, judge(error, tries=1, effect=Effect.PURE, policy=self._policy), now
            )

    def success_row(self, call: Call, result: StepResult, now: float) -> StepRow:
        """Return the row of a success that is committed on the call's own thread, without touching the run."""
        variables = redact(dict(result.variables)) if result.variables else None
        return replace(
            call.row, status=StepStatus.SUCCESS, output_data=json_text(redact(result.output)), route=result.route or "",
            variables=json_text(variables), finished_at=now, seq=call.row.seq + 1,
        )  # fmt: skip

    def fail(self, call: Call, error: Exception, now: float) -> None:
        """Take the failure of a call: try again later, or fail the execution."""
        if self.calls.pop(call.node.index, None) is None:
            return
        place = call.node.index
        self.tries[place] = self.tries.get(place, 0) + 1
        policy = self._policy
        if call.node.attempts is not None:
            policy = RetryPolicy(call.node.attempts, policy.initial_seconds, policy.max_seconds)
        verdict = judge(error, tries=self.tries[place], effect=call.node.effect, policy=policy)
        self._fail(call.node, call.row, verdict, now)

    def settle(self, now: float) -> None:
        """Set the execution's status from what is left to do."""
        row = self.row
        if self.calls or (not self.failed and (self.wanted or self.state.ready)):
            row.status = ExecutionStatus.RUNNING
        elif self.failed:
            row.status = ExecutionStatus.FAILED
            row.finished_at = now
        elif self.timers:
            row.status = ExecutionStatus.WAITING
        else:
            row.status = ExecutionStatus.SUCCESS
            row.finished_at = now
        row.started_at = row.started_at or now

    @property
    def is_over(self) -> bool:
        """Whether the execution reached its end."""
        return self.row.finished_at is not None

    @property
    def is_parked(self) -> bool:
        """Whether the execution waits for time to pass and holds no worker."""
        return self.row.status == ExecutionStatus.WAITING

    def wakes_at(self) -> float:
        """Return when the earliest timer rings, in seconds since the epoch."""
        return min(timer.at for timer in self.timers)

    def give_up(self, code: str, message: str, now: float) -> None:
        """Fail the execution for a reason outside its steps."""
        self.row.error_code, self.row.error_summary = code, message
        self.wanted.clear()
        self.settle(now)

    def recall(self, place: int, step: StepRow) -> None:
        """Take a recorded success back without running the step again."""
        node = self.plan.nodes[place]
        output = orjson.loads(step.output_data) if step.output_data is not None else None
        self.scope["steps"][node.key] = {"output": output, "status": StepStatus.SUCCESS.value}
        if step.variables:
            self.scope["variables"] = {**self.scope["variables"], **orjson.loads(step.variables)}
        self.claim_ready(place)
        self.state.succeed(place, step.route or None)

    def claim_ready(self, place: int) -> None:
        """Take a node out of the ready list: what happens to it next is already known."""
        if place in self.state.ready:
            self.state.ready.remove(place)

    def skip_recorded(self, place: int) -> None:
        """Remember that a skip is on record."""
        self._skips_recorded.add(place)
        key = self.plan.nodes[place].key
        self.scope["steps"][key] = {"output": None, "status": StepStatus.SKIPPED.value}

    def give_up_step(self, step: StepRow) -> None:
        """Fail the execution because of a recorded failure."""
        self.row.error_code = step.error_code
        self.row.error_summary = f"{step.node_key}: {step.error_message}"
        self.wanted.clear()

    def touch(self, row: StepRow) -> None:
        """Mark a step's row to be recorded, as the next thing that happened."""
        self.row.seq += 1
        row.seq = self.row.seq
        self.dirty[(row.path, row.attempt)] = row

    def _ring_timers(self, now: float) -> None:
        due = [timer for timer in self.timers if timer.at <= now]
        if not due:
            return
        self.timers = [timer for timer in self.timers if timer.at > now]
        for timer in due:
            if timer.waited is None:
                self.wanted.append(timer.place)
            else:
                row = timer.waited
                output = orjson.loads(row.output_data) if row.output_data else None
                self._take(self.plan.nodes[timer.place], row, StepResult(output), now)

    def _run_pure(self, node: Node, clock: Clock) -> None:
        row = self._new_row(node, clock())
        try:
            config = node.render(self.scope)
            row.input_data = json_text(redact(config))
            result = node.handler.run(config, self._context(node, row.attempt))
            if not isinstance(result, StepResult | Wait):
                raise PermanentError(
                    f"{node.type} returned {type(result).__name__}; return a StepResult or a Wait"
                )
            self._take(node, row, result, clock())
        except AutomateError as error:
            self._fail(node, row, judge(error, tries=1, effect=Effect.PURE, policy=self._policy), clock())
        except Exception as error:
            logger.exception("step.crashed", extra={"step": node.key, "execution": self.row.id})
            self._fail(node, row, judge(error, tries=1, effect=Effect.PURE, policy=self._policy), clock())

    def _take(self, node: Node, row: StepRow, result: StepResult | Wait, now: float) -> None:
        if isinstance(result, Wait):
            row.status = StepStatus.WAITING
            row.wake_at = result.until.timestamp() if result.until else now + (result.seconds or 0.0)
            row.output_data = json_text(redact(result.output))
            self.timers.append(Timer(row.wake_at, node.index, row))
        else:
            output = redact(result.output)
            row.output_data = json_text(output)
            row.route = result.route or ""
            if result.variables:
                variables = redact(dict(result.variables))
                row.variables = json_text(variables)
                self.scope["variables"] = {**self.scope["variables"], **variables}
            row.status = StepStatus.SUCCESS
            row.wake_at = None
            row.finished_at = now
            self.scope["steps"][node.key] = {"output": output, "status": StepStatus.SUCCESS.value}
            self.state.succeed(node.index, result.route)
        self.touch(row)

    def _fail(self, node: Node, row: StepRow, verdict: Verdict, now: float) -> None:
        row.status = StepStatus.FAILED
        row.error_code = verdict.code
        row.error_message = str(redact(verdict.message))[:5_000].replace("\x00", "")
        row.finished_at = now
        if verdict.retry_in_seconds is not None and not self.failed:
            row.wake_at = now + verdict.retry_in_seconds
            self.timers.append(Timer(row.wake_at, node.index, None))
        elif not self.failed:
            self.row.error_code = verdict.code
            self.row.error_summary = f"{node.key}: {row.error_message}"
            self.wanted.clear()
        self.touch(row)

    def _record_skips(self, now: float) -> None:
        while self.state.skipped:
            place = self.state.skipped.pop(0)
            if place in self._skips_recorded:
                continue
            self.skip_recorded(place)
            row = self._new_row(self.plan.nodes[place], now)
            row.status, row.finished_at = StepStatus.SKIPPED, now
            self.touch(row)

    def _new_row(self, node: Node, now: float) -> StepRow:
        attempt = self.attempts[node.index] = self.attempts.get(node.index, 0) + 1
        return StepRow(
            id=str(uuid7()), execution_id=self.row.id, tenant_id=self.row.tenant_id, path=node.key,
            node_key=node.key, node_type=node.type, attempt=attempt, status=StepStatus.RUNNING,
            effect=node.effect.value, route="", input_data=None, output_data=None, variables=None,
            error_code="", error_message="", seq=0, wake_at=None, started_at=now, finished_at=None,
        )  # fmt: skip

    def _context(self, node: Node, attempt: int) -> StepContext:
        return StepContext(
            tenant_id=self.tenant_id,
            execution_id=self.execution_id,
            path=node.key,
            attempt=attempt,
            idempotency_key=idempotency_key(self.row.id, node.key) if node.effect is not Effect.PURE else "",
            trace_id=self.row.trace_id,
            scope=self.scope,
            prepared=node.prepared,
            timeout_seconds=node.timeout_seconds,
        )
