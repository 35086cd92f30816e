"""Connections in the admin: saved through the same verbs as everywhere else."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from automate_connectors import connections
from automate_connectors.models import Connection, ConnectionPace, ConnectionTurn
from automate_connectors.pace import rate_problems
from automate_connectors.registry import registry
from automate_core.admin_access import Reach, reach
from automate_core.admin_actions import actor, apply_to_each
from automate_core.admin_base import HistoryAdmin, TenantAdmin
from automate_core.context import tenant_scope
from automate_core.errors import AutomateError
from automate_core.models import Role, Tenant, current_tenant_id

ROLE_TO_CHANGE = Role.EDITOR


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks a connection as the API does."""

    owner = forms.ModelChoiceField(
        Tenant.objects.order_by("slug"), required=False, label="Tenant", empty_label="the default tenant"
    )

    reach: ClassVar[Reach]

    class Meta:
        model = Connection
        fields = ("name", "connector", "config", "rate_limit", "is_enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "connector" in self.fields:
            keys = registry.list_connectors()
            self.fields["connector"] = forms.ChoiceField(choices=[(key, key) for key in keys])
        if "owner" in self.fields:
            mine = self.reach.narrow(Tenant.objects.order_by("slug"), "id", ROLE_TO_CHANGE)
            self.fields["owner"].queryset = mine  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Report what is wrong with the config beside the field it is in."""
        data = super().clean() or {}
        connector = data.get("connector") or self.instance.connector
        for problem in connections.problems(connector, data.get("config") or {}):
            field = "config" if problem.field.startswith("config") else "connector"
            self.add_error(field if field in self.fields else None, f"{problem.field}: {problem.message}")
        for problem in rate_problems(data.get("rate_limit")):
            self.add_error("rate_limit", f"{problem.field}: {problem.message}")
        if not self.reach.may(owner_id(self), ROLE_TO_CHANGE):
            self.add_error("owner", f"Choose a tenant in which you have the role {ROLE_TO_CHANGE.value!r}")
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
    empty_hint = "No connection: add one, with secrets as references such as $secret:NAME"
    list_display = ("name", "connector", "is_enabled", "tenant", "updated_at")
    list_filter = ("connector", "is_enabled", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("name",)
    date_hierarchy = "created_at"
    ordering = ("name", "id")
    actions = ("enable", "disable")
    role_to_change = ROLE_TO_CHANGE

    def get_form(
        self, request: HttpRequest, obj: Connection | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Tell the form which tenants the user may make connections in."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.reach = reach(request)
        return form

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
                saved = connections.change(obj, by=actor(request), **given)
            else:
                saved = connections.create(connector=obj.connector, by=actor(request), **given)
        obj.pk, obj.tenant_id, obj.config = saved.pk, saved.tenant_id, saved.config

    def delete_model(self, request: HttpRequest, obj: Connection) -> None:
        """Delete through the verb."""
        connections.delete(obj, by=actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        """Delete each through the verb."""
        for row in queryset:
            connections.delete(row, by=actor(request))

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may switch some connection."""
        return self.has_change_permission(request)

    @admin.action(description="Switch the selected connections on", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        """Let steps use them."""
        self._switch(request, queryset, is_enabled=True)

    @admin.action(description="Switch the selected connections off", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        """Let the steps that use them fail."""
        self._switch(request, queryset, is_enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Connection], *, is_enabled: bool) -> None:
        def verb(row: Connection) -> object:
            return connections.change(row, by=actor(request), is_enabled=is_enabled)

        done = "switched on" if is_enabled else "switched off"
        apply_to_each(request, queryset, verb, done=done, role=self.role_to_change)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show what a verb still refuses, when somebody else was faster, as a message."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except AutomateError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.get_full_path())


@admin.register(ConnectionPace)
class ConnectionPaceAdmin(HistoryAdmin):
    """Shows until when the calls of connections with a rate limit are handed out."""

    list_display = ("connection", "taken_until")
    list_select_related = ("connection",)
    search_fields = ("connection__name",)
    ordering = ("-taken_until", "pk")
    tenant_path = "connection__tenant_id"


@admin.register(ConnectionTurn)
class ConnectionTurnAdmin(HistoryAdmin):
    """Shows the calls that wait for their turn."""

    list_display = ("connection", "holder", "at")
    list_select_related = ("connection",)
    search_fields = ("connection__name", "holder")
    tenant_path = "connection__tenant_id"
    ordering = ("connection_id", "at")
