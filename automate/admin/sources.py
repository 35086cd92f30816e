"""Webhook sources in the admin: switched, and their secrets rotated, by actions that call verbs."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from automate.models import WebhookSource
from automate.subscriptions.messages import new_secret
from automate.webhooks import sources
from automate_core.admin_actions import actor, apply_to_each, question, revealed
from automate_core.admin_base import HistoryAdmin, state
from automate_core.errors import Conflict
from automate_core.models import Role


@admin.register(WebhookSource)
class WebhookSourceAdmin(HistoryAdmin):
    """Sources are made with `automate_webhook`; here they are switched, and their secrets rotated."""

    empty_hint = "No webhook source: make one with `manage.py automate_webhook create`"
    list_display = ("slug", "preset", "shown_enabled", "tenant", "type_header", "type_field", "updated_at")
    list_filter = ("is_enabled", "preset", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("slug",)
    date_hierarchy = "created_at"
    ordering = ("slug",)
    fields = (
        "id", "tenant", "slug", "preset", "shown_enabled", "secret_name", "previous_secret_name", "type_header",
        "type_field", "answer_seconds", "created_at", "updated_at",
    )  # fmt: skip
    actions = ("enable", "disable", "rotate")

    @admin.display(description="state", ordering="is_enabled")
    def shown_enabled(self, source: WebhookSource) -> SafeString:
        """Show whether it is switched on."""
        return state("on" if source.is_enabled else "off")

    @admin.action(description="Accept deliveries of the selected sources", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookSource]) -> None:
        """Accept their deliveries."""
        apply_to_each(
            request,
            queryset,
            lambda row: sources.enable(row, by=actor(request)),
            done="switched on",
            role=Role.PUBLISHER,
        )

    @admin.action(description="Refuse deliveries of the selected sources", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookSource]) -> None:
        """Refuse their deliveries."""
        apply_to_each(
            request,
            queryset,
            lambda row: sources.disable(row, by=actor(request)),
            done="switched off",
            role=Role.EDITOR,
        )

    @admin.action(description="Rotate the secrets of the selected sources", permissions=["operate"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[WebhookSource]) -> HttpResponse | None:
        """Ask for the new secret, or make one for each and show it this once."""
        latest = queryset.aggregate(latest=Max("updated_at"))["latest"]
        page = question(
            request,
            self,
            queryset,
            action="rotate",
            title="Rotate the secrets of these sources?",
            warning="The secret in use now stays valid beside the new one until the next rotation; the one before it "
            "stops working at once.",
            button="Rotate",
            extra={"is_one": queryset.count() == 1, "seen": latest.isoformat() if latest else ""},
            template="automate/rotate_secret.html",
        )
        if page is not None:
            return page
        given, seen = request.POST.get("secret", ""), request.POST.get("seen", "")
        made: list[tuple[str, str]] = []

        def verb(source: WebhookSource) -> None:
            if source.updated_at.isoformat() > seen:
                raise Conflict(
                    "it was changed since you were asked, by this form perhaps; look before you repeat it"
                )
            secret = given or new_secret()
            sources.rotate_secret(source, secret, by=actor(request))
            if not given:
                made.append((source.slug, secret))

        apply_to_each(request, queryset, verb, done="rotated", role=Role.ADMIN)
        if not made:
            return None
        return revealed(
            request,
            self,
            title="New secrets",
            advice="Copy them to the senders now: this is the only time they are shown.",
            values=made,
        )
