"""The app of the Studio: the canvas, and what was tried out on it."""

from __future__ import annotations

from django.apps import AppConfig


class AutomateStudioConfig(AppConfig):
    """The orchestrator API and what it keeps of nodes tried out one by one."""

    name = "automate_studio"
    verbose_name = "Automate Studio"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register system checks."""
        from automate_studio import checks  # noqa: F401
