"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class AutomateConfig(AppConfig):
    """App."""

    name = "automate"
    default_auto_field = "django.db.models.BigAutoField"
