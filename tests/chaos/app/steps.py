"""Steps of the scenarios: one that writes a row in the step's own transaction, and poison that kills its worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

from automate_core import sql
from automate_core.steps import Effect, StepContext, StepHandler, StepResult


class NoteStep(StepHandler):
    """A database step: its row and its record are committed together, or neither."""

    type = "chaos_note"
    effect = Effect.DATABASE

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Write the row."""
        sql.execute("INSERT INTO chaos_noted VALUES (%s, %s)", (context.execution_id, context.path))
        return StepResult()


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
