"""Tenants, memberships, outbox, secrets, audit entries and workers in the admin."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from automate_core.admin_base import HistoryAdmin, ReadOnlyAdmin, actor, error_text, pretty_json, state
from automate_core.models import AuditEntry, Membership, OutboxItem, Secret, Tenant, WorkerBeat
from automate_core.outbox import deadletters


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    """Who belongs to the tenant."""

    model = Membership
    extra = 0
    raw_id_fields = ("user",)


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Tenants are switched off, not deleted: their audit entries stay."""

    list_display = ("slug", "name", "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("slug", "name")
    date_hierarchy = "created_at"
    ordering = ("slug",)
    readonly_fields = ("created_at",)
    inlines = (MembershipInline,)

    def has_delete_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        """Refuse."""
        return False


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Who may do what in which tenant."""

    list_display = ("user", "tenant", "role", "created_at")
    list_filter = ("role", "tenant")
    list_select_related = ("tenant", "user")
    search_fields = ("tenant__slug",)
    date_hierarchy = "created_at"
    ordering = ("tenant__slug", "user")
    raw_id_fields = ("user",)
    readonly_fields = ("created_at",)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search by tenant and by whatever the host's users log in with."""
        return ("tenant__slug", f"user__{self.model.user.field.related_model.USERNAME_FIELD}")


@admin.register(OutboxItem)
class OutboxItemAdmin(HistoryAdmin):
    """What waits for delivery, and the dead letters, which are redriven or discarded here."""

    list_display = (
        "id", "kind", "shown_status", "tenant", "attempts", "available_at", "lease_expires_at", "shown_error",
    )  # fmt: skip
    list_filter = ("status", "kind", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("=id", "key", "trace_id", "error")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = (
        "id", "tenant", "kind", "key", "priority", "shown_status", "suspect", "attempts", "max_attempts",
        "available_at", "lease_owner", "lease_epoch", "lease_renewed_at", "lease_expires_at", "error", "trace_id",
        "created_at", "shown_payload",
    )  # fmt: skip
    actions = ("redrive", "discard")

    @admin.display(description="status", ordering="status")
    def shown_status(self, item: OutboxItem) -> SafeString:
        """Show the status."""
        return state(item.status)

    @admin.display(description="error")
    def shown_error(self, item: OutboxItem) -> SafeString:
        """Show the last error."""
        return error_text("", item.error)

    @admin.display(description="payload")
    def shown_payload(self, item: OutboxItem) -> SafeString:
        """Show the payload."""
        return pretty_json(item.payload)

    @admin.action(description="Redrive the selected dead letters", permissions=["operate"])
    def redrive(self, request: HttpRequest, queryset: QuerySet[OutboxItem]) -> None:
        """Queue the selected dead letters again, in one transaction."""
        chosen = list(queryset.values_list("id", flat=True))
        self._say(request, len(chosen), len(deadletters.redrive(chosen, by=actor(request))), "queued again")

    @admin.action(description="Discard the selected dead letters", permissions=["operate"])
    def discard(self, request: HttpRequest, queryset: QuerySet[OutboxItem]) -> None:
        """Delete the selected dead letters, in one transaction."""
        chosen = list(queryset.values_list("id", flat=True))
        self._say(request, len(chosen), len(deadletters.discard(chosen, by=actor(request))), "discarded")

    def _say(self, request: HttpRequest, chosen: int, done: int, what: str) -> None:
        if done:
            messages.success(request, f"{done} {what}")
        if chosen > done:
            messages.warning(request, f"{chosen - done} left alone: only FAILED items are dead letters")


@admin.register(Secret)
class SecretAdmin(HistoryAdmin):
    """Which secrets there are; values are never shown, and set with `automate_secret`."""

    list_display = ("name", "tenant", "version", "key_id", "updated_at")
    list_filter = ("tenant", "key_id")
    list_select_related = ("tenant",)
    search_fields = ("name",)
    date_hierarchy = "updated_at"
    ordering = ("name",)
    fields = ("tenant", "name", "version", "key_id", "created_at", "updated_at")


@admin.register(AuditEntry)
class AuditEntryAdmin(HistoryAdmin):
    """Who changed what; the chain is verified with `automate_audit verify`."""

    list_display = ("created_at", "tenant", "number", "actor", "action", "target")
    list_filter = ("action", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("actor", "action", "target", "trace_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    fields = (
        "tenant", "number", "created_at", "actor", "action", "target", "trace_id", "shown_before", "shown_after",
        "previous_digest", "digest",
    )  # fmt: skip

    @admin.display(description="before")
    def shown_before(self, entry: AuditEntry) -> SafeString:
        """Show the state before."""
        return pretty_json(entry.before)

    @admin.display(description="after")
    def shown_after(self, entry: AuditEntry) -> SafeString:
        """Show the state after."""
        return pretty_json(entry.after)


@admin.register(WorkerBeat)
class WorkerBeatAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Which worker processes live, and when each last took items back from lost ones."""

    list_display = ("worker", "kinds", "started_at", "seen_at", "reaped_at")
    search_fields = ("worker",)
    date_hierarchy = "started_at"
    ordering = ("-seen_at",)
