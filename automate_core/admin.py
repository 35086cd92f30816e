"""Tenants, memberships, outbox, secrets, audit entries and workers in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from automate_core import admin_base
from automate_core.admin_access import reach
from automate_core.admin_actions import actor, allowed, question
from automate_core.admin_audit import AuditedAdmin
from automate_core.admin_base import (
    HistoryAdmin,
    ReadOnlyAdmin,
    brief,
    error_text,
    moment,
    pretty_json,
    shown_redacted,
    state,
)
from automate_core.admin_large import LargeAdmin
from automate_core.models import (
    AuditEntry,
    AuditHead,
    Membership,
    OutboxItem,
    Role,
    Secret,
    Tenant,
    WorkerBeat,
)
from automate_core.outbox import deadletters


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    """Who belongs to the tenant."""

    model = Membership
    extra = 0
    raw_id_fields = ("user",)


@admin.register(Tenant)
class TenantAdmin(AuditedAdmin, admin_base.TenantAdmin):
    """Tenants are switched off, not deleted: their audit entries stay."""

    list_display = ("slug", "name", "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("slug", "name")
    date_hierarchy = "created_at"
    ordering = ("slug",)
    readonly_fields = ("created_at",)
    inlines = (MembershipInline,)
    tenant_path = "id"
    audited_as = "tenant"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether Django's permission is held: a tenant to be has no members yet."""
        return admin.ModelAdmin.has_add_permission(self, request)

    def has_delete_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        """Refuse."""
        return False


@admin.register(Membership)
class MembershipAdmin(AuditedAdmin, admin_base.TenantAdmin):
    """Who may do what in which tenant."""

    list_display = ("user", "tenant", "role", "created_at")
    list_filter = ("role", "tenant")
    list_select_related = ("tenant", "user")
    date_hierarchy = "created_at"
    ordering = ("tenant__slug", "user")
    raw_id_fields = ("user",)
    readonly_fields = ("created_at",)
    audited_as = "membership"

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search by tenant and by whatever the host's users log in with."""
        return ("tenant__slug", f"user__{self.model.user.field.related_model.USERNAME_FIELD}")

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> tuple[str, ...]:
        """Fix the tenant of a membership: another tenant's is another membership."""
        return ("tenant", "created_at") if obj else ("created_at",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **given: Any) -> Any:
        """Offer the tenants the user is an admin of."""
        if db_field.name == "tenant":
            given["queryset"] = reach(request).narrow(Tenant.objects.order_by("slug"), "id", Role.ADMIN)
        return super().formfield_for_foreignkey(db_field, request, **given)


@admin.register(OutboxItem)
class OutboxItemAdmin(LargeAdmin):
    """What waits for delivery, and the dead letters, which are redriven or discarded here."""

    empty_hint = "Nothing waits for delivery, and nothing failed for good"

    list_display = (
        "id", "kind", "shown_status", "tenant", "attempts", "available_at", "lease_expires_at", "shown_error",
    )  # fmt: skip
    list_filter = ("status", "kind", "created_at", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("key", "trace_id", "error")
    search_help_text = "An id finds any row; other text is searched in the newest 10,000 rows."
    ordering = ("-id",)
    sortable_by = ("id",)
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
        """Show the payload, redacted."""
        return shown_redacted(item.payload)

    @admin.action(description="Redrive the selected dead letters", permissions=["operate"])
    def redrive(self, request: HttpRequest, queryset: QuerySet[OutboxItem]) -> None:
        """Queue the selected dead letters again, in one transaction."""
        chosen = [item.id for item in allowed(request, queryset, Role.RUNNER)]
        self._say(request, len(chosen), len(deadletters.redrive(chosen, by=actor(request))), "queued again")

    @admin.action(description="Discard the selected dead letters", permissions=["operate"])
    def discard(self, request: HttpRequest, queryset: QuerySet[OutboxItem]) -> TemplateResponse | None:
        """Ask once more, then delete the selected dead letters, in one transaction."""
        page = question(
            request,
            self,
            queryset,
            action="discard",
            title="Discard these dead letters?",
            warning="What they promised will never happen. This cannot be undone.",
            button="Discard them",
        )
        if page is not None:
            return page
        chosen = [item.id for item in allowed(request, queryset, Role.EDITOR)]
        self._say(request, len(chosen), len(deadletters.discard(chosen, by=actor(request))), "discarded")
        return None

    def _say(self, request: HttpRequest, chosen: int, done: int, what: str) -> None:
        if done:
            messages.success(request, f"{done} {what}")
        if chosen > done:
            messages.warning(request, f"{chosen - done} left alone: only FAILED items are dead letters")


@admin.register(Secret)
class SecretAdmin(HistoryAdmin):
    """Which secrets there are; values are never shown, and set with `automate_secret`."""

    empty_hint = "No secret: store one with `manage.py automate_secret set NAME`"

    list_display = ("name", "tenant", "version", "key_id", "updated_at")
    list_filter = ("tenant", "key_id")
    list_select_related = ("tenant",)
    search_fields = ("name",)
    date_hierarchy = "updated_at"
    ordering = ("name",)
    fields = ("tenant", "name", "version", "key_id", "created_at", "updated_at")


@admin.register(AuditEntry)
class AuditEntryAdmin(LargeAdmin):
    """Who changed what; the chain is verified with `automate_audit verify`."""

    list_display = ("created", "who", "action", "what", "tenant", "place")
    list_filter = ("action", "created_at", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("actor", "action", "target")
    trace_field = "trace_id"
    ordering = ("-id",)
    sortable_by = ("created",)
    fields = (
        "created", "actor", "action", "target", "shown_before", "shown_after", "trace_id", "tenant", "place",
        "content_digest", "previous_digest", "digest",
    )  # fmt: skip

    @admin.display(description="created at", ordering="id")
    def created(self, entry: AuditEntry) -> SafeString:
        """Show when."""
        return moment(entry.created_at)

    @admin.display(description="actor")
    def who(self, entry: AuditEntry) -> SafeString:
        """Show who did it."""
        return brief(entry.actor)

    @admin.display(description="target")
    def what(self, entry: AuditEntry) -> SafeString:
        """Show what it was done to."""
        return brief(entry.target)

    @admin.display(description="number")
    def place(self, entry: AuditEntry) -> str:
        """Show its place in the chain."""
        return "not sealed yet" if entry.number is None else str(entry.number)

    @admin.display(description="before")
    def shown_before(self, entry: AuditEntry) -> SafeString:
        """Show the state before."""
        return pretty_json(entry.before)

    @admin.display(description="after")
    def shown_after(self, entry: AuditEntry) -> SafeString:
        """Show the state after."""
        return pretty_json(entry.after)


@admin.register(AuditHead)
class AuditHeadAdmin(HistoryAdmin):
    """Where each tenant's chain of audit entries ends."""

    list_display = ("tenant_id", "number", "digest")
    search_fields = ("=tenant_id",)
    ordering = ("tenant_id",)


@admin.register(WorkerBeat)
class WorkerBeatAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Which worker processes live, and when each last took items back from lost ones."""

    list_display = ("worker", "kinds", "started_at", "seen_at", "reaped_at")
    search_fields = ("worker",)
    date_hierarchy = "started_at"
    ordering = ("-seen_at",)
