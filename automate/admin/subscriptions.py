"""Webhook subscriptions in the admin: how their last call ended; switched on and off by actions."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.contrib import admin
from django.db.models import CharField, F, Func, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from automate.models import WebhookSubscription
from automate.subscriptions import verbs
from automate_core.admin_actions import actor, apply_to_each
from automate_core.admin_base import HistoryAdmin, error_text, moment, state
from automate_core.models import Role

_HOST = Func(F("callback_url"), function="substring", template="%(function)s(%(expressions)s from '://([^/?#]*)')",
             output_field=CharField())  # fmt: skip


@admin.register(WebhookSubscription)
class WebhookSubscriptionAdmin(HistoryAdmin):
    """Subscriptions are made and removed over the API; here they are looked at and switched on and off."""

    empty_hint = (
        "No subscription: Zapier, or whoever wants events, subscribes at /api/automate/zapier/subscribe/"
    )
    list_display = (
        "event_type", "host", "shown_enabled", "last_status", "shown_error", "failures", "attempted", "succeeded",
        "tenant",
    )  # fmt: skip
    list_filter = ("is_enabled", "last_status", "tenant")
    list_select_related = ("tenant",)
    search_fields = ("=id", "event_type", "called_host")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = (
        "id", "tenant", "event_type", "host", "shown_enabled", "disabled_reason", "last_status", "shown_error",
        "failures", "attempted", "succeeded", "created_at",
    )  # fmt: skip
    actions = ("enable", "disable")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookSubscription]:
        """Return the rows with the callback's host: to search in the whole URL would tell it piece by piece."""
        found: QuerySet[WebhookSubscription] = super().get_queryset(request)
        return found.annotate(called_host=_HOST)

    @admin.display(description="host", ordering="called_host")
    def host(self, subscription: WebhookSubscription) -> str:
        """Show the callback's host: whoever knows the rest of the URL may call it."""
        return urlsplit(subscription.callback_url).netloc

    @admin.display(description="state", ordering="is_enabled")
    def shown_enabled(self, subscription: WebhookSubscription) -> SafeString:
        """Show whether events are delivered."""
        return state("on" if subscription.is_enabled else "off")

    @admin.display(description="last error")
    def shown_error(self, subscription: WebhookSubscription) -> SafeString:
        """Show what was wrong with the last call."""
        return error_text("", subscription.last_error)

    @admin.display(description="last attempt", ordering="last_attempt_at")
    def attempted(self, subscription: WebhookSubscription) -> SafeString:
        """Show when it was last called."""
        return moment(subscription.last_attempt_at)

    @admin.display(description="last success", ordering="last_success_at")
    def succeeded(self, subscription: WebhookSubscription) -> SafeString:
        """Show when a call last succeeded."""
        return moment(subscription.last_success_at)

    @admin.action(description="Deliver to the selected subscriptions", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookSubscription]) -> None:
        """Deliver again what happens from now on."""
        apply_to_each(
            request,
            queryset,
            lambda row: verbs.enable(row, by=actor(request)),
            done="switched on",
            role=Role.EDITOR,
        )

    @admin.action(description="Stop delivering to the selected subscriptions", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookSubscription]) -> None:
        """Deliver nothing more to them."""
        apply_to_each(
            request,
            queryset,
            lambda row: verbs.disable(row, reason="Switched off in the admin", by=actor(request)),
            done="switched off",
            role=Role.EDITOR,
        )
