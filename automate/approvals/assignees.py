"""Assignees: who may vote, named as users, groups or a permission, and always within the tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

from automate.models import Approval
from automate_core.errors import PermanentError, Problem
from automate_core.models import Membership

KEYS = ("users", "groups", "permission")


class UnknownAssignee(PermanentError):
    """An assignee does not exist."""


@dataclass(frozen=True, slots=True)
class Assignees:
    """Who may vote: users by name, members of groups by name, and holders of a permission (`app.codename`)."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    permission: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Assignees:
        """Read them from a config or a row."""
        return cls(
            tuple(given.get("users") or ()), tuple(given.get("groups") or ()), given.get("permission") or ""
        )

    def as_data(self) -> dict[str, Any]:
        """Return them as they are stored."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }


def assignee_problems(given: Any) -> list[Problem]:
    """Return what is wrong with `assignees`, whether its templates are rendered or not."""
    if not isinstance(given, Mapping) or not any(given.get(key) for key in KEYS):
        return [Problem("assignees", 'must name who decides, as in {"groups": ["finance"]}')]
    found = [
        Problem(f"assignees.{name}", f"is unknown; known: {', '.join(KEYS)}")
        for name in given
        if name not in KEYS
    ]
    for name in ("users", "groups"):
        value = given.get(name) or []
        if isinstance(value, str):
            continue
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            found.append(Problem(f"assignees.{name}", "must be a list of names"))
    permission = given.get("permission") or "a.b"
    if not isinstance(permission, str) or "." not in permission:
        found.append(Problem("assignees.permission", 'must be a permission such as "shop.approve_order"'))
    return found


def checked(assignees: Assignees) -> Assignees:
    """Return the assignees once each user, group and permission is known to exist; raises UnknownAssignee."""
    user_model = get_user_model()
    name = user_model.USERNAME_FIELD
    known = set(
        user_model._default_manager.filter(**{f"{name}__in": assignees.users}).values_list(name, flat=True)
    )
    _require("user", assignees.users, known)
    groups = set(Group.objects.filter(name__in=assignees.groups).values_list("name", flat=True))
    _require("group", assignees.groups, groups)
    if assignees.permission:
        app, _, codename = assignees.permission.partition(".")
        exists = Permission.objects.filter(content_type__app_label=app, codename=codename).exists()
        _require("permission", (assignees.permission,), {assignees.permission} if exists else set())
    return assignees


def voters(assignees: Assignees, tenant_id: UUID) -> list[Any]:
    """Return the active users of the tenant that may vote, ordered by name."""
    name = get_user_model().USERNAME_FIELD
    users = _named(assignees, tenant_id)
    if assignees.permission:
        members = _members(tenant_id).filter(is_active=True)
        held = [user.pk for user in members if user.has_perm(assignees.permission)]
        users = users | _members(tenant_id).filter(pk__in=held)
    return list(users.distinct().order_by(name))


def may_vote(user: Any, assignees: Assignees, tenant_id: UUID) -> bool:
    """Tell whether a user is among the assignees now, whatever was true when they were asked."""
    if not user.is_active:
        return False
    if not user.is_superuser and not Membership.objects.filter(user=user, tenant_id=tenant_id).exists():
        return False
    if user.get_username() in assignees.users:
        return True
    if assignees.groups and Group.objects.filter(user=user, name__in=assignees.groups).exists():
        return True
    return bool(assignees.permission) and bool(user.has_perm(assignees.permission))


def assigned_to(approvals: QuerySet[Approval], user: Any) -> QuerySet[Approval]:
    """Narrow approvals to those that name a user, one of their groups, or a permission they hold."""
    # In the form that the index on the whole column answers.
    wanted = Q(assignees__contains={"users": [user.get_username()]})
    for group in Group.objects.filter(user=user).values_list("name", flat=True):
        wanted |= Q(assignees__contains={"groups": [group]})
    permissions = list(user.get_all_permissions())
    if permissions:
        wanted |= Q(assignees__permission__in=permissions)
    return approvals.filter(wanted)


def _named(assignees: Assignees, tenant_id: UUID) -> QuerySet[Any]:
    name = get_user_model().USERNAME_FIELD
    named = Q(**{f"{name}__in": assignees.users}) | Q(groups__name__in=assignees.groups)
    inside = Q(is_superuser=True) | Q(automate_memberships__tenant_id=tenant_id)
    return get_user_model()._default_manager.filter(named, inside, is_active=True)


def _members(tenant_id: UUID) -> QuerySet[Any]:
    return get_user_model()._default_manager.filter(automate_memberships__tenant_id=tenant_id)


def _require(kind: str, wanted: tuple[str, ...], known: set[str]) -> None:
    missing = [name for name in wanted if name not in known]
    if missing:
        raise UnknownAssignee(f"There is no {kind} {missing[0]!r} to ask; correct the step's assignees")
