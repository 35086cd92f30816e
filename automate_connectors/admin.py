"""Connections in the admin: saved through the same verbs as everywhere else."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from automate_connectors import connections
from automate_connectors.models import Connection, ConnectionPace, ConnectionTurn
from automate_connectors.pace import rate_problems
from automate_connectors.registry import registry
from automate_core.admin_base import ReadOnlyAdmin, TenantAdmin
from automate_core.context import tenant_scope
from automate_core.errors import AutomateError
from automate_core.models import Tenant, current_tenant_id


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks a connection as the API does."""

    owner = forms.ModelChoiceField(
        Tenant.objects.order_by("slug"), required=False, label="Tenant", empty_label="the default tenant"
    )

    class Meta:
        model = Connection
        fields = ("name", "connector", "config", "rate_limit", "is_enabled")

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
        for problem in rate_problems(data.get("rate_limit")):
            self.add_error("rate_limit", f"{problem.field}: {problem.message}")
        named = Connection.all_tenants.filter(tenant_id=owner_id(self), name=data.get("name"))
        if named.exclude(pk=self.instance.pk).exists():
            self.add_error("name", "A connection with this name exists; choose another name")
        return data


def owner_id(form: ConnectionForm) -> Any:
    """Return the tenant of the form's connection: a new one's is chosen, and never changes after."""
    if form.instance.tenant_id is not None:
        return form.instance.tenant_id
    chosen = form.cleaned_data.get("owner")
    return chosen.pk if chosen else current_tenant_id()


@admin.register(Connection)
class ConnectionAdmin(TenantAdmin):
    """Lists connections; the connector and the tenant of a connection do not change."""

    form = ConnectionForm
    list_display = ("name", "connector", "is_enabled", "tenant", "updated_at")
    list_filter = ("connector", "is_enabled", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("name",)
    date_hierarchy = "created_at"
    ordering = ("name", "id")

    def get_fields(self, request: HttpRequest, obj: Connection | None = None) -> tuple[str, ...]:
        """Ask for the tenant of a new connection."""
        own = ("name", "connector", "config", "rate_limit", "is_enabled")
        return ("tenant", *own, "created_at", "updated_at") if obj else ("owner", *own)

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> tuple[str, ...]:
        """Fix the connector once the connection exists."""
        return ("tenant", "connector", "created_at", "updated_at") if obj else ()

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        """Save through the verbs, so that a changed host drops the stored references here too."""
        with tenant_scope(owner_id(form)):
            given: dict[str, Any] = {
                "name": obj.name,
                "config": obj.config,
                "is_enabled": obj.is_enabled,
                "rate_limit": obj.rate_limit,
            }
            if change:
                saved = connections.change(obj, **given)
            else:
                saved = connections.create(connector=obj.connector, **given)
        obj.pk, obj.tenant_id, obj.config = saved.pk, saved.tenant_id, saved.config

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show what a verb still refuses, when somebody else was faster, as a message."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except AutomateError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.get_full_path())


@admin.register(ConnectionPace)
class ConnectionPaceAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows until when the calls of connections with a rate limit are handed out."""

    list_display = ("connection", "taken_until")
    list_select_related = ("connection",)


@admin.register(ConnectionTurn)
class ConnectionTurnAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows the calls that wait for their turn."""

    list_display = ("connection", "holder", "at")
    list_select_related = ("connection",)
    ordering = ("connection_id", "at")
