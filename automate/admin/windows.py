"""The windows of debounced and throttled triggers in the admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from automate.models import TriggerWindow, WindowedEvent
from automate_core.admin_base import HistoryAdmin
from automate_core.admin_large import LargeAdmin


@admin.register(TriggerWindow)
class TriggerWindowAdmin(HistoryAdmin):
    """Shows how many events came in each window, and how many executions they started."""

    list_display = ("trigger", "kind", "key", "opened_at", "closes_at", "closed_at", "events", "started")
    list_filter = ("kind",)
    list_select_related = ("trigger",)
    search_fields = ("key",)
    ordering = ("-opened_at", "-id")


@admin.register(WindowedEvent)
class WindowedEventAdmin(LargeAdmin):
    """Shows what was decided about each event of a throttled or debounced trigger."""

    list_display = ("event_id", "trigger", "has_passed", "created_at")
    list_select_related = ("trigger",)
    list_filter = ("has_passed", "created_at")
    search_fields = ("trigger__automation__slug",)
    id_fields = ("event_id",)
    search_help_text = "The id of an event finds it; other text is searched in the newest 10,000 rows."
    ordering = ("-id",)
    tenant_path = "trigger__tenant_id"
