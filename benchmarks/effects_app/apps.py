"""Registers the benchmarks' step type and outbox handler."""

from __future__ import annotations

from django.apps import AppConfig


class EffectsConfig(AppConfig):
    """The benchmarks' additions."""

    name = "benchmarks.effects_app"
    label = "bench"

    def ready(self) -> None:
        """Register the step and the handler."""
        from automate_core.outbox.handlers import register_handler
        from automate_core.steps import step_registry
        from benchmarks.effects_app.entries import NothingHandler, NothingStep

        step_registry.register(NothingStep.type, NothingStep())
        register_handler(NothingHandler)
