"""Runs the same workflow again and again, each time losing the worker one commit later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from automate.events import emit_event
from automate.models import Execution
from automate_core.outbox.drain import Drain
from tests.factories.engine import EVENT, finish, lose_workers

MOST = 200
QUIET_TURNS = 3


def outcomes_under_kills(payload: Mapping[str, Any], *, least: int = 2) -> Iterator[Execution]:
    """Yield the finished execution of a run whose worker was lost after its 1st, 2nd, ... commit, and of one unharmed.

    Args:
        payload: of the event that starts the workflow.
        least: kills that must have happened, or the test shows nothing.
    """
    for commits in range(1, MOST):
        emit_event(EVENT, dict(payload))
        lost = lose_after(commits)
        execution = (
            finish(Execution.objects.order_by("-id").values_list("id", flat=True).first()) if lost else None
        )
        if execution is None:
            assert commits > least, f"The run was over after {commits} commits"
            yield finish(Execution.objects.order_by("-id").values_list("id", flat=True)[0])
            return
        yield execution
    raise AssertionError(f"Not over after {MOST} commits")


def lose_after(commits: int) -> bool:
    """Let a worker make so many commits and abandon it; return False when it came to its end before."""
    worker = Drain()
    quiet = 0
    while commits:
        if worker.turn():
            commits -= 1
            quiet = 0
        elif worker.store.held_count():
            worker._hear(timeout=0.02)
        else:
            quiet += 1
            worker.store.look_soon()
            worker._hear(timeout=0.01)
            if quiet > QUIET_TURNS:
                worker.close()
                return False
    worker.close()
    lose_workers()
    return True
