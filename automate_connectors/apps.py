"""The app: its built-in connectors are registered when Django is ready."""

from __future__ import annotations

from django.apps import AppConfig


class AutomateConnectorsConfig(AppConfig):
    """Connectors, their registry and their connections."""

    name = "automate_connectors"
    verbose_name = "Automate connectors"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the built-in connectors."""
        from automate_connectors.builtin import BUILTIN
        from automate_connectors.registry import registry
        from automate_connectors.request_step import register_request_step

        for connector in BUILTIN:
            registry.register(connector.key, connector)
        register_request_step()
