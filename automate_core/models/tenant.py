"""Tenants, who belongs to them, and the base of every row a tenant owns."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import models

from automate_core import conf
from automate_core.context import tenant_in_context
from automate_core.errors import TenantRequired
from automate_core.ids import uuid7

DEFAULT_TENANT_ID = UUID("00000000-0000-7000-8000-000000000001")

M = TypeVar("M", bound=models.Model)


class Tenant(models.Model):
    """An organisation whose rows nobody else sees."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.slug


class Role(models.TextChoices):
    """What a member may do in a tenant; each includes the ones before it."""

    VIEWER = "viewer"
    RUNNER = "runner"
    EDITOR = "editor"
    PUBLISHER = "publisher"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Tell whether this role may do everything `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Membership(models.Model):
    """A user's place in a tenant."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="automate_memberships"
    )
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="automate_membership_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.tenant_id} as {self.role}"


_tenant_ids: dict[str, UUID] = {"default": DEFAULT_TENANT_ID}


def current_tenant_id() -> UUID:
    """Return the tenant in context, else the configured default tenant.

    Raises:
        TenantRequired: no tenant in context and `AUTOMATE["DEFAULT_TENANT"]` is None or names none.
    """
    tenant_id = tenant_in_context()
    if tenant_id is not None:
        return tenant_id
    slug = conf.get().DEFAULT_TENANT
    if slug is None:
        raise TenantRequired()
    if slug not in _tenant_ids:
        found = Tenant.objects.filter(slug=slug).values_list("id", flat=True).first()
        if found is None:
            raise TenantRequired(
                f"The default tenant {slug!r} does not exist; create it or change DEFAULT_TENANT"
            )
        _tenant_ids[slug] = found
    return _tenant_ids[slug]


class TenantManager(models.Manager[M]):
    """Sees the rows of the tenant in context and nothing else."""

    def get_queryset(self) -> models.QuerySet[M]:
        """Return the tenant's rows; raises TenantRequired when there is no tenant."""
        return super().get_queryset().filter(tenant_id=current_tenant_id())


class TenantOwned(models.Model):
    """Base of every model whose rows belong to one tenant.

    `objects` is scoped to the tenant in context; code that must cross tenants says so with `all_tenants`.
    """

    # No index of its own: every table has one that starts with the tenant.
    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="+", editable=False, db_index=False
    )

    objects = TenantManager()
    all_tenants = models.Manager()

    class Meta:
        abstract = True
        base_manager_name = "all_tenants"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, taking the tenant from context when the row has none."""
        held: UUID | None = self.tenant_id
        self.tenant_id = held or self.natural_tenant_id()
        super().save(*args, **kwargs)

    def natural_tenant_id(self) -> UUID:
        """Return the tenant a new row belongs to when none was given."""
        return current_tenant_id()
