"""The engine: one reactor a worker, moving every execution it holds forward and committing their progress together.

Each turn: take what calls returned, advance runs through their pure steps, choose which calls may start, write all
of it in one fenced statement, and only then start those calls. Whatever happens during a commit rides in the next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import ClassVar

from automate.executions import verbs
from automate.executions.rows import Change, Recorded
from automate.realtime import broadcast
from automate.runtime import changes, outcomes, resume, undoing
from automate.runtime.calls import Call
from automate.runtime.effects import Effects
from automate.runtime.journal import Journal
from automate.runtime.retry import RetryPolicy
from automate.runtime.run import Run
from automate_core import conf
from automate_core.errors import ErrorCodes, TransientError
from automate_core.outbox.base import ClaimedItem, LeaseLost
from automate_core.outbox.handlers import DeadItem, OutboxHandler, Port
from automate_core.steps import StepResult, Wait

logger = logging.getLogger(__name__)

HEAR_SECONDS = 0.25
"""How often a worker looks whether somebody spoke to the executions it holds."""
TIMEOUT_GRACE_SECONDS = 2.0
"""Wait before an event is matched again whose executions could not be stored."""


class StepTimeout(TransientError):
    """The call did not return within its time."""

    code = ErrorCodes.TIMEOUT


class Engine(OutboxHandler):
    """Runs executions: claimed ones, and those `begin` brings from dispatch."""

    kinds: ClassVar[tuple[str, ...]] = ("execution",)

    def __init__(self, port: Port) -> None:
        super().__init__(port)
        settings = conf.get()
        self.policy = RetryPolicy(
            settings.STEP_ATTEMPTS, settings.RETRY_INITIAL_SECONDS, settings.RETRY_MAX_SECONDS
        )
        self._max_claims = settings.MAX_CLAIMS
        self._runs: dict[int, Run] = {}
        self._active: dict[int, Run] = {}
        self._claimed_at: dict[int, float] = {}
        self._hear_at = 0.0
        self._births: dict[int, tuple[ClaimedItem, list[Run]]] = {}
        self._starting: list[Call] = []
        self._deadlines: dict[Call, float] = {}
        self._journal = Journal(port)
        self._effects = Effects(
            settings.EFFECT_SLOTS,
            deliver=self._returned,
            commit=self._commit_database_step,
            allowed=self._allowed,
        )

    def handle(self, items: Sequence[ClaimedItem]) -> None:
        """Resume claimed executions; the next turn moves them."""
        by_id = {item.id: item for item in items}
        gone: list[ClaimedItem] = []
        now = self.port.store.now()
        for item_id, run in resume.load(items, policy=self.policy, now=now).items():
            if run is None:
                gone.append(by_id[item_id])
            else:
                self._runs[item_id] = self._active[item_id] = run
                self._claimed_at[item_id] = time.monotonic()
        self.port.store.complete(gone, self.port.worker)

    def begin(self, item: ClaimedItem, runs: list[Run]) -> None:
        """Take the fresh runs of an event; the next turn settles the event's item by recording them."""
        self._births[item.id] = (item, runs)

    def turn(self) -> bool:
        """Do one round; return whether anything was recorded."""
        now = self.port.store.now()
        self._time_out()
        self._hear(now)
        self._look_up_undoing()
        self._ring_timers(now)
        for run in self._active.values():
            run.advance(self.port.store.now)
        for _, runs in self._births.values():
            for run in runs:
                run.advance(self.port.store.now)
        self._admit(now)
        made, parties = self._changes(self.port.store.now())
        if not made:
            return False
        recorded = self._journal.write(made)
        self._active.clear()
        if recorded.watched:
            broadcast.send(made, recorded)
        for change in made:
            self._settled(change, parties[change.item.id], recorded)
        starting, self._starting = self._starting, []
        for call in starting:
            if call.run.item is not None and call.run.item.id in self._runs:
                self._deadlines[call] = time.monotonic() + call.node.timeout_seconds + TIMEOUT_GRACE_SECONDS
                self._effects.start(call)
        return True

    def lost(self, item_ids: set[int]) -> None:
        """Forget executions somebody else may be running."""
        for item_id in item_ids:
            self._drop(item_id)
            self._births.pop(item_id, None)

    def close(self) -> None:
        """Leave no thread waiting for work."""
        self._effects.close()

    @classmethod
    def idle(cls, items: Sequence[ClaimedItem]) -> list[int]:
        """Return the executions without a call under way; an event may have been in the middle of its steps."""
        resting = {item.id: item.payload.get("execution_id") for item in items if item.kind == "execution"}
        calling = verbs.with_calls(list(resting.values()))
        return [item_id for item_id, execution_id in resting.items() if execution_id not in calling]

    @classmethod
    def dead(cls, items: Sequence[DeadItem]) -> None:
        """Fail the executions whose items were given up."""
        verbs.bury(
            [
                (dead.item.payload["execution_id"], dead.error)
                for dead in items
                if "execution_id" in dead.item.payload
            ]
        )

    @classmethod
    def redriven(cls, items: Sequence[ClaimedItem]) -> None:
        """Queue the executions of items put back."""
        verbs.revive([item.payload["execution_id"] for item in items if "execution_id" in item.payload])

    def _admit(self, now: float) -> None:
        """Choose calls for the free slots, round the runs; their intents go into this turn's record."""
        free = self._effects.free - len(self._starting)
        waiting = [run for run in self._everyone() if run.wanted]
        while free > 0 and waiting:
            going_on = []
            for run in waiting:
                if free <= 0:
                    break
                if (spot := run.next_wanted()) is None:
                    continue
                going_on.append(run)
                if (call := run.begin(spot, now)) is not None:
                    self._starting.append(call)
                    free -= 1
            waiting = going_on

    def _everyone(self) -> list[Run]:
        return [*self._runs.values(), *(run for _, runs in self._births.values() for run in runs)]

    def _changes(self, now: float) -> tuple[list[Change], dict[int, list[Run]]]:
        made: list[Change] = []
        parties: dict[int, list[Run]] = {}
        for item, runs in self._births.values():
            made.append(changes.of_birth(item, runs, now=now, max_claims=self._max_claims))
            parties[item.id] = runs
        for item_id, run in self._runs.items():
            if not run.dirty and item_id not in self._active:
                continue
            change = changes.of_run(run, now=now, max_claims=self._max_claims)
            if change is not None:
                made.append(change)
                parties[item_id] = [run]
        return made, parties

    def _settled(self, change: Change, runs: list[Run], recorded: Recorded) -> None:
        item = change.item
        born = self._births.pop(item.id, None) is not None
        if item.id not in recorded.held:
            logger.warning("engine.lease_lost", extra={"item": item.id, "worker": self.port.worker})
            self.port.store.forget(item.id)
            self._drop(item.id)
            return
        if change.settles:
            self.port.store.forget(item.id)
            self._drop(item.id)
        for run in runs:
            run.recorded()
            if born and not run.is_over and not run.is_parked:
                self._lease(run, recorded)
            if run.item is not None and run.is_busy and run.item.id in self._runs:
                self._active[run.item.id] = run

    def _lease(self, run: Run, recorded: Recorded) -> None:
        """Go on with a run whose item was created already leased to this worker."""
        item_id = recorded.leased.get(run.row.id)
        if item_id is None:
            return
        run.item = ClaimedItem(
            item_id, run.tenant_id, "execution", None, {"execution_id": run.row.id}, 1, self._max_claims, False, 1,
            run.row.trace_id,
        )  # fmt: skip
        self._runs[item_id] = run
        self._claimed_at[item_id] = time.monotonic()
        self.port.store.adopt(run.item)

    def _drop(self, item_id: int) -> None:
        run = self._runs.pop(item_id, None)
        self._active.pop(item_id, None)
        self._claimed_at.pop(item_id, None)
        if run is not None:
            for call in run.calls.values():
                self._deadlines.pop(call, None)

    def _hear(self, now: float) -> None:
        """Look a few times a second whether anybody spoke to the executions held for longer than that."""
        clock = time.monotonic()
        if clock < self._hear_at:
            return
        self._hear_at = clock + HEAR_SECONDS
        before = clock - HEAR_SECONDS
        runs = {
            run.row.id: item_id for item_id, run in self._runs.items() if self._claimed_at[item_id] < before
        }
        if runs:
            for run in resume.hear([self._runs[item_id] for item_id in runs.values()], now):
                self._active[runs[run.row.id]] = run

    def _look_up_undoing(self) -> None:
        """Plan the compensation of executions that failed; what they did is on record now."""
        for item_id, run in self._runs.items():
            if run.failed and not run.calls and not run.dirty and undoing.is_due(run):
                resume.look_up_undoing(run, self.port.store.now())
                self._active[item_id] = run

    def _ring_timers(self, now: float) -> None:
        for item_id, run in self._runs.items():
            if run.is_due(now):
                self._active[item_id] = run

    def _time_out(self) -> None:
        now = time.monotonic()
        for call in [call for call, deadline in self._deadlines.items() if deadline <= now]:
            self._finish(call, StepTimeout(f"No answer within {call.node.timeout_seconds:g} s"))

    def _returned(self, call: Call, outcome: StepResult | Wait | Exception) -> None:
        """Bring a call's outcome from its thread to the loop's."""
        self.port.inbox.put(lambda: self._finish(call, outcome))

    def _finish(self, call: Call, outcome: StepResult | Wait | Exception) -> None:
        item = call.run.item
        if self._deadlines.pop(call, None) is None or item is None or self._runs.get(item.id) is not call.run:
            return
        now = self.port.store.now()
        if isinstance(outcome, LeaseLost):
            self.port.store.forget(item.id)
            self._drop(item.id)
            return
        if isinstance(outcome, Exception):
            call.run.fail(call, outcome, now)
        else:
            call.run.succeed(call, outcome, now)
        self._active[item.id] = call.run

    def _allowed(self, call: Call) -> bool:
        return call.run.item is not None and self.port.store.holds(call.run.item)

    def _commit_database_step(self, call: Call, result: StepResult | Wait) -> None:
        """Write a database step's success, or that it waits, in the transaction of its writes."""
        assert call.run.item is not None
        if call.run.calls.get(call.row.path) is not call:
            raise LeaseLost(f"The step {call.row.path!r} of execution {call.run.row.id} was given up")
        row = outcomes.success_row(call.run, call, result, self.port.store.now())
        change = Change(call.run.item, settles=False, steps=[row])
        recorded = self._journal.write_within(change)
        if not recorded.held:
            raise LeaseLost(
                f"The lease on execution {call.run.row.id} was lost before its database step committed"
            )
