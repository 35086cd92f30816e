"""API keys and idempotency records in the admin: to look at, and to revoke."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from automate_api.keys import revoke_key
from automate_api.models import ApiKey, IdempotencyRecord
from automate_core.errors import Conflict


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Keys are made by `automate_apikey create`, which shows them once; here they are revoked."""

    list_display = ["name", "prefix", "tenant", "user", "role", "last_used_at", "expires_at", "revoked_at"]
    list_filter = ["role", "revoked_at"]
    search_fields = ["name", "prefix"]
    list_select_related = ["tenant", "user"]
    ordering = ["-created_at"]
    exclude = ["digest"]
    actions = ["revoke"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Return the keys of every tenant."""
        return ApiKey.all_tenants.order_by("-created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A key made here could not be shown safely."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Keys do not change; make a new one and revoke the old."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A revoked key stays, so that the audit trail keeps its meaning."""
        return False

    @admin.action(description="Revoke the selected keys", permissions=["view"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """End the selected keys at once."""
        if not request.user.has_perm("automate_api.change_apikey"):
            self.message_user(request, "You may not revoke keys", messages.ERROR)
            return
        for key in queryset:
            try:
                revoke_key(key, by=f"user:{request.user.pk}")
            except Conflict as error:
                self.message_user(request, error.message, messages.WARNING)


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What was answered to requests with an idempotency key; bodies are not shown."""

    list_display = ["created_at", "tenant", "method", "route", "status"]
    list_filter = ["method", "status"]
    list_select_related = ["tenant"]
    fields = ["created_at", "tenant", "method", "route", "status", "content_type"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[IdempotencyRecord]:
        """Return the records of every tenant."""
        return IdempotencyRecord.all_tenants.order_by("-created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Records are made by requests."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: IdempotencyRecord | None = None) -> bool:
        """Records do not change."""
        return False
