"""What our admin pages share: every tenant's rows, histories nobody edits, JSON and states shown safely."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth import get_permission_codename
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from automate_core.context import tenant_scope
from automate_core.errors import AutomateError

M = TypeVar("M", bound=Model)

LONGEST_JSON = 50_000
"""Characters of one JSON value shown; the API has the rest."""
LONGEST_ERROR = 120

_MOODS = {
    "SUCCESS": "good",
    "on": "good",
    "FAILED": "bad",
    "RUNNING": "busy",
    "CLAIMED": "busy",
}


class TenantAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows the rows of every tenant: whoever may see the model sees all of them."""

    list_per_page = 50
    show_full_result_count = False

    class Media:
        css = {"all": ("automate_core/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of every tenant, in the order of the list."""
        found: QuerySet[Any] = self.model.all_tenants.all()
        ordering = self.get_ordering(request)
        return found.order_by(*ordering) if ordering else found


class ReadOnlyAdmin:
    """Makes an admin or an inline one to look at: what it shows is written by verbs."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may run this page's actions: who may change the model may."""
        opts = self.model._meta  # type: ignore[attr-defined]
        return request.user.has_perm(f"{opts.app_label}.{get_permission_codename('change', opts)}")


class HistoryAdmin(ReadOnlyAdmin, TenantAdmin):
    """Shows a history: nothing is added, changed or deleted here."""


class HistoryInline(ReadOnlyAdmin, admin.TabularInline):  # type: ignore[type-arg]
    """Shows rows of a history under what they belong to."""

    extra = 0
    max_num = 0
    can_delete = False
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of every tenant, in the order of the inline."""
        found: QuerySet[Any] = self.model.all_tenants.all()
        return found.order_by(*self.get_ordering(request))


def pretty_json(value: Any) -> SafeString:
    """Show a JSON value indented, escaped and cut at LONGEST_JSON characters; a dash for None."""
    if value is None:
        return format_html("{}", "-")
    text = json.dumps(value, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)
    if len(text) > LONGEST_JSON:
        text = f"{text[:LONGEST_JSON]}\n… {len(text) - LONGEST_JSON} more characters"
    return format_html('<pre class="automate-json">{}</pre>', text)


def state(value: str) -> SafeString:
    """Show a status as a coloured label."""
    return format_html(
        '<span class="automate-state automate-state-{}">{}</span>', _MOODS.get(value, "idle"), value
    )


def error_text(code: str, message: str) -> SafeString:
    """Show an error's code and message, cut at LONGEST_ERROR characters; a dash for none."""
    text = f"{code}: {message}" if code and message else code or message or "-"
    cut = text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 1]}…"
    return format_html('<span class="automate-error">{}</span>', cut)


def short_id(value: UUID) -> SafeString:
    """Show the random end of a UUIDv7, which tells rows of one day apart; the whole is its tooltip."""
    return format_html('<span title="{}" class="automate-moment">…{}</span>', value, value.hex[-12:])


def moment(value: datetime | None) -> SafeString:
    """Show a time in the site's time zone, to the millisecond; a dash for none."""
    text = "-" if value is None else localtime(value).isoformat(" ", "milliseconds")[:23]
    return format_html('<span class="automate-moment">{}</span>', text)


def actor(request: HttpRequest) -> str:
    """Return who does it, for the audit trail."""
    return f"user:{request.user.pk}"


def apply_to_each(request: HttpRequest, rows: Iterable[M], verb: Callable[[M], object], *, done: str) -> None:
    """Run a verb on each row in the row's tenant, and say how many it did and why it refused the others.

    Args:
        rows: what the user selected; each has a `tenant_id`.
        verb: raises AutomateError when it refuses.
        done: what happened, as in "3 replayed".
    """
    count = 0
    for row in rows:
        tenant_id: UUID = row.tenant_id  # type: ignore[attr-defined]
        try:
            with tenant_scope(tenant_id):
                verb(row)
        except AutomateError as error:
            messages.error(request, f"{row}: {error.message}")
        else:
            count += 1
    if count:
        messages.success(request, f"{count} {done}")
