"""Which tenants a user of the admin reaches, and with which role: the same as over the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from automate_core.models import Membership, Role, Tenant


@dataclass(frozen=True, slots=True)
class Reach:
    """The roles of one user by tenant; a superuser is admin of every tenant."""

    is_everywhere: bool
    roles: Mapping[UUID, Role]

    def may(self, tenant_id: UUID | None, role: Role) -> bool:
        """Tell whether the user's role in the tenant includes `role`."""
        held = self.roles.get(tenant_id) if tenant_id else None
        return self.is_everywhere or (held is not None and held.includes(role))

    def may_anywhere(self, role: Role) -> bool:
        """Tell whether the user's role in some tenant includes `role`."""
        return self.is_everywhere or bool(self.tenant_ids(role))

    def tenant_ids(self, role: Role = Role.VIEWER) -> list[UUID]:
        """Return the tenants of which the user is a member with a role that includes `role`."""
        return [tenant_id for tenant_id, held in self.roles.items() if held.includes(role)]

    def narrow(self, rows: QuerySet[Any], path: str, role: Role = Role.VIEWER) -> QuerySet[Any]:
        """Return the rows of the tenants the user reaches; `path` leads from a row to its tenant's id."""
        return rows if self.is_everywhere else rows.filter(**{f"{path}__in": self.tenant_ids(role)})


def reach(request: HttpRequest) -> Reach:
    """Return what the request's user reaches; read once a request."""
    held: Reach | None = getattr(request, "_automate_reach", None)
    if held is None:
        held = _reach_of(request.user)
        request._automate_reach = held  # type: ignore[attr-defined]
    return held


class TenantFilter(admin.SimpleListFilter):
    """Narrows a list to one of the tenants the user reaches."""

    title = parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the tenants."""
        tenants = reach(request).narrow(Tenant.objects.order_by("slug"), "id")
        return [(slug, slug) for slug in tenants.values_list("slug", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        slug = self.value()
        if slug is None:
            return queryset
        # By id, so that an index that begins with the tenant is of use.
        chosen = Tenant.objects.filter(slug=slug).values_list("id", flat=True).first()
        return queryset.filter(tenant_id=chosen) if chosen else queryset.none()


def _reach_of(user: Any) -> Reach:
    if user.is_superuser:
        return Reach(is_everywhere=True, roles={})
    members = Membership.objects.filter(user_id=user.pk, tenant__is_active=True)
    return Reach(
        is_everywhere=False,
        roles={tenant_id: Role(role) for tenant_id, role in members.values_list("tenant_id", "role")},
    )
