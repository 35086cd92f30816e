"""How executions end other than by their last step: orders from outside, deadlines, and what is closed then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from automate.enums import ExecutionStatus, StepStatus
from automate_core import conf
from automate_core.errors import ErrorCodes
from automate_core.steps import Effect

if TYPE_CHECKING:
    from automate.runtime.run import Run


@dataclass(slots=True)
class Orders:
    """What people ordered: `cancel_at` is when they did, in seconds since the epoch."""

    cancel_at: float | None = None
    pauses: bool = False

    @property
    def cancels(self) -> bool:
        """Whether the execution is to end."""
        return self.cancel_at is not None

    @property
    def holds(self) -> bool:
        """Whether nothing may start."""
        return self.cancels or self.pauses


def deadline(run: Run) -> float | None:
    """Return when the execution's time is over, in seconds since the epoch."""
    seconds = run.plan.settings.timeout_seconds
    if seconds is None or run.row.started_at is None or run.failed:
        return None
    return run.row.started_at + seconds


def enforce(run: Run, now: float) -> None:
    """Fail a run whose time is over; after a cancel's grace, stop waiting for calls."""
    at = deadline(run)
    if at is not None and at <= now and not run.orders.cancels:
        abandon_calls(run, ErrorCodes.TIMEOUT, "The time of the whole execution was over", now)
        seconds = run.plan.settings.timeout_seconds
        run.give_up(ErrorCodes.TIMEOUT, f"The execution took longer than {seconds:g} s", now)
    if run.orders.cancel_at is not None and now >= run.orders.cancel_at + conf.get().CANCEL_GRACE_SECONDS:
        abandon_calls(run, ErrorCodes.TIMEOUT, "The execution was cancelled and the call did not return", now)


def abandon_calls(run: Run, code: str, message: str, now: float) -> None:
    """Settle calls without their answers; of one that cannot be repeated nobody knows what came of it."""
    for call in list(run.calls.values()):
        del run.calls[call.row.path]
        unknown = call.row.effect == Effect.AT_MOST_ONCE
        call.row.status, call.row.finished_at = StepStatus.FAILED, now
        call.row.error_code = ErrorCodes.OUTCOME_UNKNOWN if unknown else code
        call.row.error_message = message
        run.touch(call.row)


def close(run: Run, status: ExecutionStatus, now: float) -> None:
    """End the execution; what still waits in it is cancelled."""
    run.drop_inside(run.root, now)
    run.lively.clear()
    run.wanted.clear()
    row = run.row
    if status is ExecutionStatus.SUCCESS and row.output is None and row.parent_execution_id is not None:
        output = run.root.last_output()
        row.output = None if output is None else orjson.dumps(output).decode()
    row.status, row.finished_at = status, now
