"""The windows of debounced and throttled triggers in the admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from automate.models import TriggerWindow, WindowedEvent
from automate_core.admin_base import HistoryAdmin


@admin.register(TriggerWindow)
class TriggerWindowAdmin(HistoryAdmin):
    """Shows how many events came in each window, and how many executions they started."""

    list_display = ("trigger", "kind", "key", "opened_at", "closes_at", "closed_at", "events", "started")
    list_filter = ("kind",)
    list_select_related = ("trigger",)
    search_fields = ("key",)
    ordering = ("-opened_at", "-id")


@admin.register(WindowedEvent)
class WindowedEventAdmin(HistoryAdmin):
    """Shows what was decided about each event of a throttled or debounced trigger."""

    list_display = ("event_id", "trigger", "has_passed", "created_at")
    list_select_related = ("trigger",)
    search_fields = ("=event_id",)
    ordering = ("-id",)
    tenant_path = "trigger__tenant_id"
