"""What the outbox delivers to the engine: events, which it dispatches, and executions, which it runs."""

from __future__ import annotations

from collections.abc import Sequence

from automate import dispatch
from automate.runtime.engine import Engine
from automate_core.outbox.base import ClaimedItem


class EngineHandler(Engine):
    """One engine a worker for both kinds, so that an event's executions start in the claim that found it."""

    kinds = ("event", "execution")

    def handle(self, items: Sequence[ClaimedItem]) -> None:
        """Dispatch events and resume executions."""
        events = [item for item in items if item.kind == "event"]
        if events:
            for item, runs in dispatch.dispatch(events, policy=self.policy):
                self.begin(item, runs)
        executions = [item for item in items if item.kind == "execution"]
        if executions:
            super().handle(executions)
