"""Making, checking and revoking API keys."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from automate_api.models import ApiKey
from automate_core import audit
from automate_core.context import tenant_scope
from automate_core.errors import AutomateError, Conflict, ErrorCodes
from automate_core.ids import uuid7
from automate_core.models import Role

_KEY = re.compile(r"ak_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_TOUCH_EVERY = timedelta(minutes=1)


class InvalidKey(AutomateError):
    """The API key is unknown, revoked or expired."""

    code = ErrorCodes.UNAUTHORIZED


def create_key(
    *,
    name: str,
    tenant_id: UUID,
    role: Role,
    by: str,
    user: Any = None,
    scopes: Sequence[str] = (),
    expires_at: datetime | None = None,
    id: UUID | None = None,
) -> tuple[ApiKey, str]:
    """Create an API key; return its row and the plain key, which is never shown again.

    Args:
        name: what the key is for.
        tenant_id: the only tenant the key reaches.
        role: the most the key may do.
        by: who creates it, for the audit entry.
        user: the account the key acts for; without one it stands for itself.
        scopes: `<resource>:read` or `<resource>:write` entries that narrow the role; none: no narrowing.
        expires_at: when it stops working; never when None.
        id: of the key; a form that is sent twice makes one key.

    Raises:
        Conflict: there is a key with this id.
    """
    prefix = secrets.token_hex(4)
    plain = f"ak_{prefix}_{secrets.token_urlsafe(32)}"
    with transaction.atomic(), tenant_scope(tenant_id):
        key = ApiKey(
            id=id or uuid7(),
            tenant_id=tenant_id,
            name=name,
            user=user,
            role=role,
            prefix=prefix,
            digest=_digest(plain),
            scopes=list(scopes),
            expires_at=expires_at,
        )
        _insert(key)
        audit.record(
            actor=by,
            action="apikey.created",
            target=f"apikey:{key.pk}",
            after=_facts(key),
        )
    return key, plain


def revoke_key(key: ApiKey, *, by: str) -> None:
    """End a key at once.

    Raises:
        Conflict: it is already revoked.
    """
    with transaction.atomic(), tenant_scope(key.tenant_id):
        now, before = timezone.now(), _facts(key)
        if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
            raise Conflict(f"The API key {key.prefix!r} is already revoked")
        key.revoked_at = now
        audit.record(
            actor=by, action="apikey.revoked", target=f"apikey:{key.pk}", before=before, after=_facts(key)
        )


def check_key(plain: str, *, now: datetime) -> ApiKey:
    """Return the key a caller presented, with its tenant and user loaded.

    Raises:
        InvalidKey: it is malformed, unknown, revoked, expired, or its tenant or user is disabled.
    """
    match = _KEY.fullmatch(plain)
    found = (
        ApiKey.all_tenants.select_related("tenant", "user").filter(prefix=match[1]).first() if match else None
    )
    if found is None or not hmac.compare_digest(found.digest, _digest(plain)):
        raise InvalidKey()
    if not found.is_usable(now) or not found.tenant.is_active:
        raise InvalidKey()
    if found.user is not None and not found.user.is_active:
        raise InvalidKey()
    return found


def needs_touch(key: ApiKey, *, now: datetime) -> bool:
    """Tell whether `last_used_at` is more than a minute old."""
    return key.last_used_at is None or now - key.last_used_at >= _TOUCH_EVERY


def touch(key: ApiKey, *, now: datetime) -> None:
    """Note that the key was used: at most one write a minute, and no wait for a row someone holds."""
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - _TOUCH_EVERY)
    with transaction.atomic():
        free = ApiKey.all_tenants.select_for_update(skip_locked=True, no_key=True).filter(stale, pk=key.pk)
        ApiKey.all_tenants.filter(pk__in=free.values("pk")).update(last_used_at=now)


def _insert(key: ApiKey) -> None:
    try:
        with transaction.atomic():
            key.save(force_insert=True)
    except IntegrityError as error:
        if not ApiKey.all_tenants.filter(pk=key.pk).exists():
            raise
        message = "This key was made and shown already; revoke it and make another if it was not kept"
        raise Conflict(message) from error


def _facts(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "prefix": key.prefix,
        "user": key.user_id and str(key.user_id),
        "role": str(key.role),
        "scopes": key.scopes,
        "expires_at": key.expires_at and key.expires_at.isoformat(),
        "revoked_at": key.revoked_at and key.revoked_at.isoformat(),
    }


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()
