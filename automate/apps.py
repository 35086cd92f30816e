"""The engine's app: registers steps, outbox handlers, duties and model triggers."""

from __future__ import annotations

from django.apps import AppConfig


class AutomateConfig(AppConfig):
    """Events, automations and their executions."""

    name = "automate"
    verbose_name = "Automate"
    default_auto_field = "django.db.models.BigAutoField"
