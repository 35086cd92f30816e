"""Who is asking, for which tenant, with which role."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from automate_api.models import ApiKey
from automate_core import conf
from automate_core.errors import AccessDenied, NotFound, Problem, ValidationFailed
from automate_core.models import Membership, Role, Tenant

TENANT_HEADER = "X-Tenant-ID"
_TENANT_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of one request: a user or an API key, in one tenant, with one role."""

    tenant_id: UUID
    role: Role
    user: Any = None
    key: ApiKey | None = None

    @property
    def id(self) -> str:
        """The name used in limits, idempotency and audit entries: `apikey:<id>` or `user:<id>`."""
        return f"apikey:{self.key.pk}" if self.key else f"user:{self.user.pk}"

    @property
    def is_staff(self) -> bool:
        """Tell whether staff pages are open: a staff user, or a tenant's own admin key."""
        if self.user is not None:
            return bool(self.user.is_staff)
        return self.role == Role.ADMIN

    def may(self, role: Role) -> bool:
        """Tell whether the caller's role includes `role`."""
        return self.role.includes(role)


class NoAccount(AccessDenied, AttributeError):
    """This API key belongs to no user; use a key or a token of a user."""


class KeyUser(AnonymousUser):
    """What `request.user` is for a key that belongs to no person: authenticated, with no account."""

    def __init__(self, key: ApiKey) -> None:
        self.username = key.name  # type: ignore[assignment]

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]
        """Always true: the key was checked."""
        return True

    @property
    def is_anonymous(self) -> bool:  # type: ignore[override]
        """Always false."""
        return False

    def __getattr__(self, name: str) -> Any:
        """Refuse what only a person's account has, so that a view that asks for it answers 403."""
        raise NoAccount(
            f"This API key belongs to no user, so it has no {name!r}; use a key or a token of a user"
        )


def of_key(key: ApiKey, *, wanted: str | None) -> Principal:
    """Return the caller an API key stands for; the key's tenant is the only one it can reach.

    A key that belongs to a user never does more than that user may do in the tenant now.

    Raises:
        NotFound: `wanted` names another tenant.
        AccessDenied: the key's user is no longer a member.
    """
    if wanted is not None and wanted not in (str(key.tenant_id), key.tenant.slug):
        raise _unknown_tenant(wanted)
    role = Role(key.role)
    if key.user is not None and not key.user.is_superuser:
        member = Membership.objects.filter(user=key.user, tenant_id=key.tenant_id).first()
        if member is None:
            raise AccessDenied("The user of this API key is no longer a member of its tenant")
        role = min(role, Role(member.role), key=list(Role).index)
    return Principal(tenant_id=key.tenant_id, role=role, user=key.user, key=key)


def of_user(user: Any, *, wanted: str | None) -> Principal:
    """Return the caller a user is in the tenant `wanted` (id or slug), or in their only one.

    Raises:
        NotFound: `wanted` does not exist or the user is not a member; nothing tells the two apart.
        ValidationFailed: several memberships and no `wanted`.
        AccessDenied: no membership at all.
    """
    if user.is_superuser:
        return Principal(tenant_id=_tenant_of_superuser(wanted), role=Role.ADMIN, user=user)
    members = Membership.objects.filter(user=user, tenant__is_active=True)
    if wanted is not None:
        member = members.filter(_named(wanted, "tenant__")).first()
        if member is None:
            raise _unknown_tenant(wanted)
        return Principal(tenant_id=member.tenant_id, role=Role(member.role), user=user)
    found = list(members[:2])
    if not found:
        raise AccessDenied("You belong to no tenant; ask an administrator to add you to one")
    if len(found) > 1:
        raise _ambiguous()
    return Principal(tenant_id=found[0].tenant_id, role=Role(found[0].role), user=user)


def _tenant_of_superuser(wanted: str | None) -> UUID:
    name = wanted if wanted is not None else conf.get().DEFAULT_TENANT
    if name is None:
        raise _ambiguous()
    found = Tenant.objects.filter(_named(name, ""), is_active=True).values_list("id", flat=True).first()
    if found is None:
        raise _unknown_tenant(name)
    return found


def _named(wanted: str, lookup: str) -> Q:
    if not _TENANT_NAME.fullmatch(wanted):
        raise _unknown_tenant(wanted)
    named = Q(**{f"{lookup}slug": wanted})
    try:
        return named | Q(**{f"{lookup}id": UUID(wanted)})
    except ValueError:
        return named


def _unknown_tenant(wanted: str) -> NotFound:
    return NotFound(f"Tenant {wanted!r} was not found")


def _ambiguous() -> ValidationFailed:
    message = f"You belong to several tenants; name one in {TENANT_HEADER}"
    return ValidationFailed(message, details=[Problem(TENANT_HEADER, message)])
