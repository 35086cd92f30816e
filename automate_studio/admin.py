"""What is kept of nodes that were tried out, and the sessions they were tried in: to look at."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from automate_core.admin_base import HistoryAdmin, moment, pretty_json
from automate_studio.models import DevelopmentSession, NodeData


@admin.register(NodeData)
class NodeDataAdmin(HistoryAdmin):
    """What each node of a drawn workflow was last tried out with."""

    list_display = ("automation", "node_id", "updated", "tenant")
    list_filter = ("updated_at", "tenant")
    list_select_related = ("automation", "tenant")
    search_fields = ("automation__slug", "node_id")
    ordering = ("-id",)
    fields = ("id", "tenant", "automation", "node_id", "updated", "shown_form", "shown_input", "shown_output")

    @admin.display(description="updated at", ordering="updated_at")
    def updated(self, data: NodeData) -> SafeString:
        """Show when it was last tried."""
        return moment(data.updated_at)

    @admin.display(description="form values")
    def shown_form(self, data: NodeData) -> SafeString:
        """Show what the node was filled in with."""
        return pretty_json(data.form_values)

    @admin.display(description="input")
    def shown_input(self, data: NodeData) -> SafeString:
        """Show what it was given."""
        return pretty_json(data.input_data)

    @admin.display(description="output")
    def shown_output(self, data: NodeData) -> SafeString:
        """Show what it gave."""
        return pretty_json(data.output_data)


@admin.register(DevelopmentSession)
class DevelopmentSessionAdmin(HistoryAdmin):
    """Who tries out nodes of which workflow; what they keep is their own."""

    list_display = ("automation", "name", "owner", "created_at", "expires_at", "tenant")
    list_filter = ("tenant",)
    list_select_related = ("automation", "tenant")
    search_fields = ("automation__slug", "owner", "name")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = ("id", "tenant", "automation", "name", "owner", "created_at", "expires_at")
