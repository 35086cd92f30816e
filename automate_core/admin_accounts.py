"""Users and groups in the admin, whoever registered their pages: each change of one leaves an audit entry.

They belong to no tenant, so their entries stand in the chain of the default one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.apps import AdminConfig
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.sites import AdminSite, all_sites
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse

from automate_core import audit
from automate_core.admin_actions import actor
from automate_core.context import tenant_scope
from automate_core.models import DEFAULT_TENANT_ID, Membership

UNSAID = frozenset({"password", "last_login"})
"""Columns of a user that are in no entry; that the password was set is one of its own."""

Row = dict[str, Any]


class AuditedAccounts(admin.ModelAdmin):  # type: ignore[type-arg]
    """Records how the rows of a page of users or groups stood before and after each request that changes some.

    Actions, lists that are edited in place and deletions included; rows are taken from what the request names.
    """

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        """Add or change a row."""
        with self._audited(request, [object_id] if object_id else []):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Delete a row."""
        with self._audited(request, [object_id]):
            return super().delete_view(request, object_id, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the list, run an action, or save what was edited in place."""
        with self._audited(request, self._named(request)):
            return super().changelist_view(request, extra_context)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Note which row was added."""
        request._automate_added = obj.pk  # type: ignore[attr-defined]
        return super().log_addition(request, obj, message)

    @contextmanager
    def _audited(self, request: HttpRequest, keys: Iterable[Any]) -> Iterator[None]:
        if request.method != "POST":
            yield
            return
        with transaction.atomic():
            before = _standing(self.model, keys)
            yield
            added = getattr(request, "_automate_added", None)
            after = _standing(self.model, [*before, *([added] if added is not None else [])])
            for key in {**before, **after}:
                _record(request, self.model, key, before.get(key), after.get(key))

    def _named(self, request: HttpRequest) -> list[Any]:
        if request.method != "POST":
            return []
        if request.POST.get("select_across") == "1":
            return list(self.get_queryset(request).values_list("pk", flat=True))
        edited = [
            value
            for name, value in request.POST.items()
            if name.startswith("form-") and name.endswith(f"-{self.opts.pk.name}")
        ]
        return [*request.POST.getlist(ACTION_CHECKBOX_NAME), *edited]


class AuditedUsers(AuditedAccounts):
    """Records the setting of passwords as well, on the page that Django has for that."""

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set a user's password."""
        with self._audited(request, [id]):
            answer: HttpResponse = super().user_change_password(request, id, form_url)  # type: ignore[misc]
            return answer


def audit_accounts() -> None:
    """Make every registered page of users and groups an audited one, and that on which users set their own password.

    A host that registers such a page later makes it a subclass of `AuditedAccounts` itself.
    """
    if isinstance(apps.get_app_config("admin"), AdminConfig):
        admin.autodiscover()  # whoever comes after us in INSTALLED_APPS is audited as well
    for site in list(all_sites):
        for model, page in list(site._registry.items()):
            if issubclass(model, (get_user_model(), Group)) and not isinstance(page, AuditedAccounts):
                audited = AuditedUsers if hasattr(page, "user_change_password") else AuditedAccounts
                kind = type(f"Audited{type(page).__name__}", (audited, type(page)), {})
                site.unregister(model)
                site.register(model, kind)
        if not hasattr(site.password_change, "__wrapped__"):
            site.password_change = _own_password(site)  # type: ignore[method-assign]


def _own_password(site: AdminSite) -> Any:
    change = site.password_change

    @wraps(change)
    def password_change(request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        keys = [request.user.pk] if request.method == "POST" and request.user.is_authenticated else []
        with transaction.atomic():
            before = _standing(get_user_model(), keys)
            answer = change(request, extra_context)
            after = _standing(get_user_model(), keys)
            for key in before:
                _record(request, get_user_model(), key, before[key], after.get(key))
        return answer

    return password_change


def _standing(model: type[models.Model], keys: Iterable[Any]) -> dict[Any, Row]:
    """Return the columns of these rows, what they are connected with, and the memberships of users, by key."""
    known = list(_possible(model, keys))
    named = [
        models.Prefetch(field.name, Permission.objects.select_related("content_type"))
        if field.related_model is Permission
        else field.name
        for field in model._meta.many_to_many
    ]
    rows: dict[Any, Row] = {}
    for row in model._base_manager.filter(pk__in=known).prefetch_related(*named):
        columns = {field.attname: getattr(row, field.attname) for field in model._meta.concrete_fields}
        sets = {
            field.name: sorted(_label(one) for one in getattr(row, field.name).all())
            for field in model._meta.many_to_many
        }
        rows[row.pk] = {**columns, **sets}
    if issubclass(model, get_user_model()):
        members = Membership.objects.filter(user_id__in=rows).order_by("tenant_id")
        for key in rows:
            rows[key]["memberships"] = []
        for user_id, tenant_id, role in members.values_list("user_id", "tenant_id", "role"):
            rows[user_id]["memberships"].append({"tenant": str(tenant_id), "role": role})
    return rows


def _possible(model: type[models.Model], keys: Iterable[Any]) -> Iterator[Any]:
    for key in keys:
        try:
            yield model._meta.pk.to_python(unquote(str(key)))
        except ValidationError:
            continue  # the page refuses it


def _label(row: models.Model) -> str:
    return f"{row.content_type.app_label}.{row.codename}" if isinstance(row, Permission) else str(row)


def _record(
    request: HttpRequest, model: type[models.Model], key: Any, before: Row | None, after: Row | None
) -> None:
    kind = "user" if issubclass(model, get_user_model()) else "group"
    was, now = (
        {name: one for name, one in (row or {}).items() if name not in UNSAID} for row in (before, after)
    )
    done = "created" if before is None else "deleted" if after is None else "changed"
    with tenant_scope(DEFAULT_TENANT_ID):
        if was != now:
            audit.record(
                actor=actor(request),
                action=f"{kind}.{done}",
                target=f"{kind}:{key}",
                before=was or None,
                after=now or None,
            )
        if before and after and before.get("password") != after.get("password"):
            audit.record(actor=actor(request), action=f"{kind}.password_set", target=f"{kind}:{key}")
