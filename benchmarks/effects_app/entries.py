"""A step that claims an outside effect and has none, and an outbox handler that delivers nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automate_core.outbox.base import ClaimedItem
from automate_core.outbox.handlers import OutboxHandler
from automate_core.steps import Effect, StepContext, StepHandler, StepResult
from benchmarks.effects_app import KIND


class NothingStep(StepHandler):
    """Returns its config; the engine must take it for an outside call and record it before going on."""

    type = "bench.nothing"
    label = "Nothing"
    effect = Effect.IDEMPOTENT

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Do nothing."""
        return StepResult(output=dict(config))


class NothingHandler(OutboxHandler):
    """Settles every item of a claim at once."""

    kinds = (KIND,)

    def handle(self, items: Sequence[ClaimedItem]) -> None:
        """Mark the whole batch delivered."""
        self.port.store.complete(items, self.port.worker)
