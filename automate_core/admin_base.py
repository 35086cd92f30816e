"""What our admin pages share: every tenant's rows, histories nobody edits, JSON and states shown safely."""

from __future__ import annotations

import json
import re
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from automate_core.admin_access import TenantFilter, reach
from automate_core.models import Role
from automate_core.redaction import redact

LONGEST_JSON = 50_000
"""Characters of one JSON value shown; the API has the rest."""
LONGEST_ERROR = 120
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_MOODS = {
    "SUCCESS": "good",
    "on": "good",
    "FAILED": "bad",
    "RUNNING": "busy",
    "CLAIMED": "busy",
}


class TenantAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows the rows of the tenants the user is a member of; a superuser sees every tenant's.

    `tenant_path` leads from a row to its tenant's id. Who changes or deletes a row here, or adds one, needs
    `role_to_change` in its tenant, on top of Django's permission.
    """

    list_per_page = 50
    show_full_result_count = False
    tenant_path: ClassVar[str] = "tenant_id"
    empty_hint: ClassVar[str] = ""
    """What an empty list says: how rows come about."""
    role_to_change: ClassVar[Role] = Role.ADMIN

    class Media:
        css = {"all": ("automate_core/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows the user reaches, in the order of the list."""
        manager: Any = getattr(self.model, "all_tenants", self.model._default_manager)
        found: QuerySet[Any] = reach(request).narrow(manager.all(), self.tenant_path)
        ordering = self.get_ordering(request)
        return found.order_by(*ordering) if ordering else found

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list; an empty one says how rows come about."""
        page = super().changelist_view(request, extra_context)
        context = getattr(page, "context_data", None) or {}
        if self.empty_hint and "cl" in context and not context["cl"].result_list:
            context["subtitle"] = self.empty_hint
        return page

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Offer only the tenants the user reaches."""
        return [TenantFilter if one == "tenant" else one for one in super().get_list_filter(request)]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may add a row to some tenant."""
        return super().has_add_permission(request) and reach(request).may_anywhere(self.role_to_change)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may change the row, or some row when there is none."""
        return super().has_change_permission(request, obj) and self._reaches(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may delete the row, or some row when there is none."""
        return super().has_delete_permission(request, obj) and self._reaches(request, obj)

    def _reaches(self, request: HttpRequest, obj: Any) -> bool:
        if obj is None or obj.pk is None:
            return reach(request).may_anywhere(self.role_to_change)
        tenant_id: UUID | None = attrgetter(self.tenant_path.replace("__", "."))(obj)
        return reach(request).may(tenant_id, self.role_to_change)


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
        """Tell whether the user may run this page's actions on some row; each action asks for a role in the row's."""
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


def shown_redacted(value: Any) -> SafeString:
    """Show what is stored as it came, such as an event's payload, like `pretty_json`, with its secrets hidden."""
    return pretty_json(redact(value))


def brief(text: str) -> SafeString:
    """Show an actor or a target with the end of its UUID alone; the whole is its tooltip."""
    return format_html(
        '<span title="{}">{}</span>', text, _UUID.sub(lambda found: f"…{found[0][-12:]}", text)
    )


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
