"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class AutomateApiConfig(AppConfig):
    """App."""

    name = "automate_api"
    default_auto_field = "django.db.models.BigAutoField"
