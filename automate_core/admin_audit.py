"""Pages of the admin that write rows themselves: each row added, changed or deleted leaves an audit entry."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from automate_core import audit
from automate_core.admin_actions import actor
from automate_core.context import tenant_scope


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Writes an audit entry with the row before and after, in the row's tenant and the transaction of the change.

    `audited_as` names the kind of row, as in `membership.changed`; rows of inlines are named after their model.
    """

    tenant_path: ClassVar[str]
    audited_as: ClassVar[str]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the row and record the change."""
        before = _stored(obj) if change else None
        super().save_model(request, obj, form, change)
        self._record(request, obj, before, _stored(obj))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete the row and record it."""
        with transaction.atomic():
            before, key = _stored(obj), obj.pk
            super().delete_model(request, obj)
            self._record(request, obj, before, None, key)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete the rows one by one, each with its entry."""
        with transaction.atomic():
            for row in queryset:
                self.delete_model(request, row)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save the rows of an inline, each with its entry."""
        formset.save(commit=False)
        for row in formset.deleted_objects:
            before, key = _stored(row), row.pk
            row.delete()
            self._record(request, row, before, None, key, owner=form.instance)
        for row, _ in formset.changed_objects:
            before = _stored(row)
            row.save()
            self._record(request, row, before, _stored(row), owner=form.instance)
        for row in formset.new_objects:
            row.save()
            self._record(request, row, None, _stored(row), owner=form.instance)
        formset.save_m2m()

    def _record(
        self,
        request: HttpRequest,
        row: Any,
        before: dict[str, Any] | None,
        after: dict[str, Any] | None,
        key: Any = None,
        owner: Any = None,
    ) -> None:
        if before == after:
            return
        name = self.audited_as if owner is None else str(row._meta.model_name)
        done = "created" if before is None else "deleted" if after is None else "changed"
        tenant_id: UUID = attrgetter(self.tenant_path.replace("__", "."))(owner or row)
        with tenant_scope(tenant_id):
            audit.record(
                actor=actor(request),
                action=f"{name}.{done}",
                target=f"{name}:{key or row.pk}",
                before=before,
                after=after,
            )


def _stored(row: Model) -> dict[str, Any] | None:
    """Return the row's columns as they are in the database."""
    names = [field.attname for field in row._meta.concrete_fields]
    return type(row)._base_manager.filter(pk=row.pk).values(*names).first()
