"""The app of endpoints: a duty that notices the ends of jobs."""

from __future__ import annotations

from django.apps import AppConfig


class AutomateModalConfig(AppConfig):
    """Endpoints, jobs and artifacts, whatever kind of thing runs."""

    name = "automate_modal"
    verbose_name = "Automate endpoints"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the duty."""
        from automate_core.outbox.duties import Duty, duty_registry
        from automate_modal import following

        if "jobs" not in duty_registry:
            duty_registry.register("jobs", Duty("jobs", following.LOOK_SECONDS, following.settle_ended))
