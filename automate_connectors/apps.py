"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class AutomateConnectorsConfig(AppConfig):
    """App."""

    name = "automate_connectors"
    default_auto_field = "django.db.models.BigAutoField"
