"""The node `webhook`: where a workflow begins that is started by calls from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automate_core.steps import Effect, StepContext, StepHandler, StepResult


class WebhookStep(StepHandler):
    """Gives the payload of the event that started the execution as its output.

    What starts the execution is the workflow's trigger; this node says on the canvas where the data comes in.
    """

    type = "webhook"
    label = "Webhook"
    effect = Effect.PURE
    config_schema = {"type": "object", "properties": {}}

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Return the payload."""
        return StepResult(context.scope["event"]["payload"])
