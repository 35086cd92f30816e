"""Connections in the admin: saved through the same verbs as everywhere else."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from automate_connectors import connections
from automate_connectors.models import Connection
from automate_connectors.registry import registry


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks a connection as the API does."""

    class Meta:
        model = Connection
        fields = ("name", "connector", "config", "is_enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "connector" in self.fields:
            keys = registry.list_connectors()
            self.fields["connector"] = forms.ChoiceField(choices=[(key, key) for key in keys])

    def clean(self) -> dict[str, Any]:
        """Report what is wrong with the config beside the field it is in."""
        data = super().clean() or {}
        connector = data.get("connector") or self.instance.connector
        for problem in connections.problems(connector, data.get("config") or {}):
            field = "config" if problem.field.startswith("config") else "connector"
            self.add_error(field if field in self.fields else None, f"{problem.field}: {problem.message}")
        return data


@admin.register(Connection)
class ConnectionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists connections; the connector of a connection does not change."""

    form = ConnectionForm
    list_display = ("name", "connector", "is_enabled", "updated_at")
    list_filter = ("connector", "is_enabled")
    search_fields = ("name",)
    ordering = ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> tuple[str, ...]:
        """Fix the connector once the connection exists."""
        return ("connector",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        """Save through the verbs, so that a changed host drops the stored references here too."""
        if change:
            saved = connections.change(obj, config=obj.config, name=obj.name, is_enabled=obj.is_enabled)
        else:
            saved = connections.create(
                name=obj.name, connector=obj.connector, config=obj.config, is_enabled=obj.is_enabled
            )
        obj.pk, obj.config = saved.pk, saved.config
