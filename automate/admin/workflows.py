"""Automations, versions and triggers in the admin: read-only, switched by actions that call verbs."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from automate.models import Automation, RoutingRevision, Trigger, WorkflowVersion
from automate.workflows import update_workflow
from automate_core.admin_actions import actor, apply_to_each
from automate_core.admin_base import HistoryAdmin, HistoryInline, moment, pretty_json, state
from automate_core.models import Role


class TriggerInline(HistoryInline):
    """What starts the automation."""

    model = Trigger
    ordering = ("created_at", "id")
    fields = ("type", "event_type", "source", "is_enabled", "next_fire_at")
    readonly_fields = fields


class WorkflowVersionInline(HistoryInline):
    """The automation's graphs, newest first."""

    model = WorkflowVersion
    fk_name = "automation"
    ordering = ("-number",)
    verbose_name_plural = "versions"
    fields = ("number", "trigger_type", "created_by", "created_at", "content_hash")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowVersion]:
        """Return the versions with their authors."""
        return super().get_queryset(request).select_related("created_by")


@admin.register(Automation)
class AutomationAdmin(HistoryAdmin):
    """Automations are made and changed through the API and the Studio; here they are switched on and off."""

    empty_hint = "No workflow: make one over the API (POST /api/automate/workflows/) or draw it in the Studio"
    list_display = (
        "slug",
        "name",
        "shown_enabled",
        "tenant",
        "live_number",
        "trigger",
        "updated",
        "history",
    )
    list_filter = ("enabled", "live_version__trigger_type", "tenant")
    list_select_related = ("live_version", "tenant")
    search_fields = ("slug", "name", "description", "=id")
    date_hierarchy = "created_at"
    ordering = ("slug", "id")
    fields = (
        "id", "tenant", "slug", "name", "description", "shown_enabled", "live_version", "created_at", "updated_at",
        "history",
    )  # fmt: skip
    inlines = (TriggerInline, WorkflowVersionInline)
    actions = ("enable", "disable")

    @admin.display(description="state", ordering="enabled")
    def shown_enabled(self, automation: Automation) -> SafeString:
        """Show whether it is switched on."""
        return state("on" if automation.enabled else "off")

    @admin.display(description="updated at", ordering="updated_at")
    def updated(self, automation: Automation) -> SafeString:
        """Show when it last changed."""
        return moment(automation.updated_at)

    @admin.display(description="live version", ordering="live_version__number")
    def live_number(self, automation: Automation) -> str:
        """Show the live version's number."""
        return f"v{automation.live_version.number}" if automation.live_version else "-"

    @admin.display(description="trigger", ordering="live_version__trigger_type")
    def trigger(self, automation: Automation) -> str:
        """Show what starts it."""
        return automation.live_version.trigger_type if automation.live_version else "-"

    @admin.display(description="history")
    def history(self, automation: Automation) -> SafeString:
        """Link to its executions."""
        url = reverse("admin:automate_execution_changelist")
        return format_html('<a href="{}?automation__id__exact={}">executions</a>', url, automation.pk)

    @admin.action(description="Switch the selected automations on", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Automation]) -> None:
        """Switch them on."""
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Switch the selected automations off", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Automation]) -> None:
        """Switch them off: their triggers start nothing more."""
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Automation], *, enabled: bool) -> None:
        def verb(automation: Automation) -> object:
            return update_workflow(automation, by=actor(request), user=request.user, enabled=enabled)

        apply_to_each(
            request,
            queryset,
            verb,
            done="switched on" if enabled else "switched off",
            role=Role.PUBLISHER if enabled else Role.EDITOR,
        )


@admin.register(WorkflowVersion)
class WorkflowVersionAdmin(HistoryAdmin):
    """Graphs as they were saved."""

    list_display = ("automation", "number", "trigger_type", "tenant", "created_by", "created_at")
    list_filter = ("trigger_type", "tenant")
    list_select_related = ("automation", "tenant", "created_by")
    search_fields = ("automation__slug", "content_hash")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = (
        "id", "tenant", "automation", "number", "trigger_type", "shown_config", "content_hash", "created_by",
        "created_at", "shown_graph",
    )  # fmt: skip

    @admin.display(description="trigger config")
    def shown_config(self, version: WorkflowVersion) -> SafeString:
        """Show the trigger's settings."""
        return pretty_json(version.trigger_config)

    @admin.display(description="graph")
    def shown_graph(self, version: WorkflowVersion) -> SafeString:
        """Show the graph."""
        return pretty_json(version.graph)


@admin.register(Trigger)
class TriggerAdmin(HistoryAdmin):
    """What starts automations; changed with the automation."""

    list_display = ("automation", "type", "event_type", "source", "is_enabled", "next_fire_at", "tenant")
    list_filter = ("type", "is_enabled", "tenant")
    list_select_related = ("automation", "tenant")
    search_fields = ("automation__slug", "event_type", "source")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = (
        "id", "tenant", "automation", "type", "event_type", "source", "is_enabled", "next_fire_at", "created_at",
        "shown_rule", "shown_config",
    )  # fmt: skip

    @admin.display(description="rule")
    def shown_rule(self, trigger: Trigger) -> SafeString:
        """Show the rule."""
        return pretty_json(trigger.rule)

    @admin.display(description="config")
    def shown_config(self, trigger: Trigger) -> SafeString:
        """Show the settings."""
        return pretty_json(trigger.config)


@admin.register(RoutingRevision)
class RoutingRevisionAdmin(HistoryAdmin):
    """When each tenant's automations or triggers last changed, in microseconds since 1970."""

    list_display = ("tenant_id", "revision")
    search_fields = ("=tenant_id",)
    ordering = ("tenant_id",)
