"""Who looks on, in the admin: rows of seconds, of all tenants, for superusers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from automate.models.live import LiveSeat, LiveWatch
from automate_core.admin_base import ReadOnlyAdmin


class _LiveAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user is a superuser: the rows name no tenant."""
        return bool(request.user.is_active and request.user.is_superuser)


@admin.register(LiveWatch)
class LiveWatchAdmin(_LiveAdmin):
    """Which process has people watching which workflow."""

    list_display = ("automation_id", "process", "expires_at")
    search_fields = ("=automation_id", "=process")
    ordering = ("-id",)


@admin.register(LiveSeat)
class LiveSeatAdmin(_LiveAdmin):
    """How many live connections each caller holds."""

    list_display = ("caller", "process", "seats", "expires_at")
    search_fields = ("caller", "=process")
    ordering = ("-id",)
