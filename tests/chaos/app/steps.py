"""Poison: steps that kill the worker that runs them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

from automate_core.steps import Effect, StepContext, StepHandler, StepResult


class PoisonCall(StepHandler):
    """An outside call that may be repeated, and kills its worker each time."""

    type = "poison_call"
    effect = Effect.IDEMPOTENT

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Kill this process as the kernel would when memory is out."""
        os.kill(os.getpid(), signal.SIGKILL)
        return StepResult()


class PoisonThought(PoisonCall):
    """A pure step that kills its worker: it dies before anything about the execution is recorded."""

    type = "poison_thought"
    effect = Effect.PURE
