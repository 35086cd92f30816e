"""Step handlers of every effect class that do what a test tells them, and remember how they were called."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from automate_core.outbox.drain import Drain
from automate_core.steps import Effect, StepContext, StepHandler, StepResult, Wait

PATIENCE_SECONDS = 60.0

Act = Callable[[Mapping[str, Any], StepContext], Any]


class ScriptedStep(StepHandler):
    """Runs `act` and returns what it returns (a plain value becomes the output); `calls` holds the contexts."""

    def __init__(self, type: str, effect: Effect, act: Act) -> None:
        self.type = type
        self.effect = effect
        self.calls: list[StepContext] = []
        self._act = act

    def run(self, config: Mapping[str, Any], context: StepContext) -> Any:
        """Do as told."""
        self.calls.append(context)
        result = self._act(config, context)
        return result if isinstance(result, StepResult | Wait) else StepResult(result)


@dataclass
class Gate:
    """Holds a call inside its handler: `entered` says it is there, `open` lets it go on."""

    entered: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)

    def pass_through(self) -> None:
        """Announce the call and wait; called by the handler."""
        self.entered.set()
        assert self.open.wait(PATIENCE_SECONDS), "the test never opened the gate"

    def turn_until_entered(self, drain: Drain) -> None:
        """Turn a worker until its call is inside the gate."""
        for _ in range(int(PATIENCE_SECONDS / 0.01)):
            drain.turn()
            if self.entered.wait(0.01):
                return
        raise AssertionError("no call came to the gate")
