"""The API app: how HTTP works here."""

from __future__ import annotations

from django.apps import AppConfig


class AutomateApiConfig(AppConfig):
    """Authentication, limits, errors, pages and idempotency, and the base classes of every view."""

    name = "automate_api"
    verbose_name = "Automate API"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register system checks, and tell the OpenAPI generator about our authentication."""
        from automate_api import checks, schema  # noqa: F401
