"""The app every chaos process loads: steps and outbox kinds that misbehave, and faults put in on purpose."""

from __future__ import annotations

import os

from django.apps import AppConfig


class ChaosConfig(AppConfig):
    """Registers what the scenarios need."""

    name = "tests.chaos.app"
    label = "chaos"

    def ready(self) -> None:
        """Register the steps and kinds; with CHAOS_NO_REAPER set, workers of this process never reap."""
        from automate_core.outbox.handlers import register_handler
        from automate_core.outbox.worker import Worker
        from automate_core.steps import step_registry
        from tests.chaos.app.delivery import OrderedHandler
        from tests.chaos.app.steps import NoteStep, PoisonCall, PoisonThought

        for step in (NoteStep, PoisonCall, PoisonThought):
            step_registry.register(step.type, step())
        register_handler(OrderedHandler)
        if os.environ.get("CHAOS_NO_REAPER"):
            Worker._reap = lambda self: None  # type: ignore[method-assign]
