"""One execution in memory: advances through pure steps, says which outside calls are next, keeps what to record."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from automate.enums import ExecutionStatus, StepStatus
from automate.executions.rows import ExecutionRow, StepRow
from automate.graph import Plan
from automate.realtime.speech import Lines, Speech
from automate.runtime import endings, looping, outcomes, undoing
from automate.runtime.calls import Call, Spot, Waiting
from automate.runtime.frames import Frame, Halt, Loop
from automate.runtime.interpreter import State
from automate.runtime.retry import RetryPolicy
from automate.runtime.scope import idempotency_key, json_text
from automate.runtime.unrecorded import Unrecorded
from automate.waits.links import give_links
from automate_core import conf
from automate_core.errors import PermanentError
from automate_core.live import Live
from automate_core.outbox.base import ClaimedItem
from automate_core.steps import Effect, StepContext, StepResult, Wait

logger = logging.getLogger(__name__)

Clock = Callable[[], float]
"""Tells the database's time in Unix seconds."""

TURN_STEPS = 1_000
TURN_BYTES = 2_000_000
"""How far a run goes before what it did is recorded: neither memory nor a commit grows with the length of a loop."""


class Run(Unrecorded):
    """The state of one execution while a worker holds its lease."""

    def __init__(
        self, *, plan: Plan, row: ExecutionRow, scope: dict[str, Any], policy: RetryPolicy, fresh: bool
    ) -> None:
        super().__init__(row, fresh=fresh)
        self.plan = plan
        self.policy = policy
        self.tenant_id = UUID(row.tenant_id)
        self.execution_id = UUID(row.id)
        self.item: ClaimedItem | None = None
        self.root = Frame(plan, "", scope, State(plan))
        self.lively: deque[Frame] = deque([self.root])
        self.loops: dict[str, Loop] = {}
        self.wanted: deque[Spot] = deque()
        self.calls: dict[str, Call] = {}
        self.waiting: dict[str, Waiting] = {}
        self.undo: undoing.Undoing | None = None
        self.orders = endings.Orders()
        self.left_waiting = False
        self._recalled_at: dict[str, int] = {}
        give_links(scope, plan, execution_id=row.id, prefix="")

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
            outcomes.ring(self, now)
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
            config = self._render(spot, row)
        except Exception as error:  # noqa: BLE001 - logged and recorded there
            outcomes.crash(self, spot, row, error, now)
            return None
        row.status, row.wake_at, row.error_code = StepStatus.RUNNING, None, ""
        spot.frame.first_tried.setdefault(spot.node.key, now)
        speech = Speech(self.row.automation_id, self.row.id, row, self.redacted)
        call = self.calls[row.path] = Call(self, spot, config, self._context(spot, row.attempt, speech), row)
        self.touch(row)
        return call

    def succeed(self, call: Call, result: StepResult | Wait, now: float) -> None:
        """Take the result of a call."""
        if self.calls.pop(call.row.path, None) is None:
            return
        try:
            outcomes.take(self, call.spot, call.row, result, now)
        except PermanentError as error:
            outcomes.crash(self, call.spot, call.row, error, now)
        self._enliven(call.spot.frame)

    def fail(self, call: Call, error: Exception, now: float) -> None:
        """Take the failure of a call: try again later, or fail the step for good."""
        if self.calls.pop(call.row.path, None) is None:
            return
        outcomes.fail_call(self, call.spot, call.row, error, now)
        self._enliven(call.spot.frame)

    def settle(self, now: float) -> None:
        """Set the execution's status from what is left to do."""
        self.touch_opened()
        row = self.row
        row.started_at = row.started_at or now
        if self.calls:
            row.status = ExecutionStatus.RUNNING
        elif self.orders.cancels:
            endings.close(self, ExecutionStatus.CANCELLED, now)
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

    def set_variables(self, frame: Frame, values: Mapping[str, Any]) -> None:
        """Set variables of the execution, remembering in which iterations that was."""
        self.scope["variables"].update(values)
        for around in frame.outward():
            around.variables.update(values)

    def recall_variables(self, frame: Frame, row: StepRow) -> None:
        """Set the variables a record tells of; of several records the last counts, in whatever order they are read."""
        for name, value in (orjson.loads(row.variables) if row.variables else {}).items():
            if row.seq < self._recalled_at.get(name, 0):
                value = self.scope["variables"][name]
            self._recalled_at[name] = max(row.seq, self._recalled_at.get(name, 0))
            self.set_variables(frame, {name: value})

    def variables_of(self, frame: Frame) -> str | None:
        """Return the variables set in a frame, as they stand now, as JSON text."""
        if not frame.variables:
            return None
        return json_text({name: self.scope["variables"][name] for name in frame.variables})

    def drop_inside(self, frame: Frame, now: float) -> None:
        """Record that what waits in a halted frame, and the loops in it, will not go on."""
        for path, waiting in list(self.waiting.items()):
            if frame.contains(waiting.spot.frame):
                del self.waiting[path]
                if waiting.row.status == StepStatus.WAITING:
                    self.left_waiting = self.left_waiting or waiting.awaits
                    self.cancel_row(waiting.row, now)
        for path, loop in list(self.loops.items()):
            if frame.contains(loop.frame):
                del self.loops[path]
                self.cancel_row(loop.row, now)
                for inner in loop.active.values():
                    assert inner.row is not None
                    self.opened.pop(inner.row.path, None)
                    self.cancel_row(inner.row, now)
                loop.active.clear()

    def _enliven(self, frame: Frame) -> None:
        """Look at a frame again after a call in it returned, and at those around it that may now close."""
        self.lively.extend(frame.outward())

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
            config = self._render(spot, row)
            result = node.handler.run(config, self._context(spot, row.attempt, Lines(row, self.redacted)))
            if not isinstance(result, StepResult | Wait):
                raise PermanentError(
                    f"{node.type} returned {type(result).__name__}; return a StepResult or a Wait"
                )
            outcomes.take(self, spot, row, result, clock())
        except Exception as error:  # noqa: BLE001 - logged and recorded there
            outcomes.crash(self, spot, row, error, clock())

    def halt_iteration(self, frame: Frame, halt: Halt, now: float) -> None:
        """Start nothing more in an iteration; the steps that will not run are recorded as skipped."""
        frame.halt = halt
        under_way = {call.spot.path for call in self.calls.values()} | set(self.waiting) | set(self.loops)
        for place in frame.state.unfinished():
            node = frame.plan.nodes[place]
            if frame.path(node) not in under_way and node.key not in frame.attempts:
                frame.state.skipped.append(place)
        self._record_skips(frame, now)

    def _render(self, spot: Spot, row: StepRow) -> Any:
        """Return a step's config, noting it without secrets and without the links it hands out."""
        config = spot.node.render(spot.frame.scope)
        links = spot.frame.scope.get("resume")
        if links:
            self.handed_out.update(links.handed_out)
        row.input_data = json_text(self.redacted(config))
        return config

    def _record_skips(self, frame: Frame, now: float) -> None:
        while frame.state.skipped:
            node = frame.plan.nodes[frame.state.skipped.pop(0)]
            if node.key in frame.attempts:
                continue
            frame.scope["steps"][node.key] = {"output": None, "status": StepStatus.SKIPPED.value}
            row = self.new_row(Spot(frame, node), now)
            row.status, row.finished_at = StepStatus.SKIPPED, now
            self.touch(row)

    def _context(self, spot: Spot, attempt: int, live: Live) -> StepContext:
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
            live=live,
        )
