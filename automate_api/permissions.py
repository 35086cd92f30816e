"""Which role a request needs: what a view does not declare, viewers may read and only admins may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from automate_api.principal import Principal
from automate_core.models import Role

_DEFAULT_ROLES: Mapping[str, Role] = {
    "get": Role.VIEWER,
    "head": Role.VIEWER,
    "options": Role.VIEWER,
    "create": Role.EDITOR,
    "update": Role.EDITOR,
    "partial_update": Role.EDITOR,
    "destroy": Role.EDITOR,
}
_SAFE = ("get", "head", "options")


class HasRole(BasePermission):
    """The caller's role includes the one the view's `required_roles` names for its action or method.

    A view may also name its `api_scope`; a key with scopes then needs `<api_scope>:read` or `:write`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether the caller may make this request."""
        principal = request.auth
        if not isinstance(principal, Principal):
            return False
        needed = required_role(view, request.method or "")
        if not principal.may(needed):
            self.message = f"This needs the role {needed.value!r}; yours is {principal.role.value!r}"
            return False
        in_scope = InScope()
        if not in_scope.has_permission(request, view):
            self.message = in_scope.message
            return False
        return True


class InScope(BasePermission):
    """The scopes of the caller's key, if there is one, cover the request; the base classes always ask."""

    message = "Keys with scopes cannot do this; use one without"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether the caller's key, if there is one, was given for this."""
        principal = request.auth
        if not isinstance(principal, Principal) or principal.key is None or not principal.key.scopes:
            return True
        verb = "read" if (request.method or "").lower() in _SAFE else "write"
        needed = f"{getattr(view, 'api_scope', '')}:{verb}"
        if not needed.startswith(":"):
            self.message = (
                f"This needs a key with the scope {needed!r}; yours has {', '.join(principal.key.scopes)}"
            )
        return needed in principal.key.scopes


class IsStaff(BasePermission):
    """The caller is a staff user, or a key of the role admin that belongs to no user."""

    message = "This is open to staff only"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether the caller is staff."""
        if isinstance(request.auth, Principal):
            return request.auth.is_staff
        user = request.user
        return bool(user is not None and user.is_authenticated and getattr(user, "is_staff", False))


def required_role(view: Any, method: str) -> Role:
    """Return the least role for a request with this method to this view (deny by default: admin)."""
    method = method.lower()
    declared: Mapping[str, Role] = getattr(view, "required_roles", {})
    action = getattr(view, "action", None) or method
    for roles in (declared, _DEFAULT_ROLES):
        for name in (action, method):
            if name in roles:
                return roles[name]
    return Role.ADMIN
