"""The verbs that change stored secrets (store, delete, rotate_keys); each is audited, without the value."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db import transaction

from automate_core import audit
from automate_core.context import tenant_scope
from automate_core.errors import Problem, ValidationFailed
from automate_core.models import Secret, current_tenant_id
from automate_core.secrets.base import SecretNotFoundError
from automate_core.secrets.cipher import Place, Sealed, SecretUndecryptable, newest_key, seal, unseal
from automate_core.secrets.database import DatabaseBackend, database_backend

VALUE_LIMIT_BYTES = 65_536
ROTATION_BATCH = 100


class InvalidSecret(ValidationFailed):
    """The name or value of the secret cannot be stored."""


def store(name: str, value: str, *, by: str) -> Secret:
    """Encrypt and store a secret of the tenant in context; an existing one gets a new version.

    Args:
        name: letters, digits, `_`, `.`, `-`; at most 128; what follows `$secret:`.
        value: text of 1 to 65,536 bytes in UTF-8.
        by: who does it, for the audit entry.

    Raises:
        InvalidSecret: the name or the value is outside these limits.
    """
    _check(name, value)
    tenant_id = current_tenant_id()
    with transaction.atomic():
        secret = _held(tenant_id, name)
        before = {"version": secret.version} if secret.version else None
        secret.version += 1
        _put(secret, seal(value, Place(tenant_id, name, secret.version)))
        secret.save()
        audit.record(
            actor=by,
            action="secret.stored",
            target=f"secret:{name}",
            before=before,
            after={"version": secret.version},
        )
        transaction.on_commit(partial(database_backend.forget, tenant_id, name))
    return secret


def delete(name: str, *, by: str) -> None:
    """Delete a secret of the tenant in context; raises SecretNotFoundError when it is not there."""
    tenant_id = current_tenant_id()
    with transaction.atomic():
        secret = Secret.all_tenants.filter(tenant_id=tenant_id, name=name).select_for_update().first()
        if secret is None:
            raise SecretNotFoundError(f"Secret {name!r} does not exist in this tenant")
        secret.delete()
        audit.record(
            actor=by, action="secret.deleted", target=f"secret:{name}", before={"version": secret.version}
        )
        transaction.on_commit(partial(database_backend.forget, tenant_id, name))


def rotate_keys(*, by: str = "system") -> int:
    """Re-encrypt the secrets of every tenant under the newest key; return how many were changed.

    Works in batches that commit one by one: after an interruption, call it again.

    Raises:
        SecretUndecryptable: some secrets could not be read; all others have been rotated.
    """
    rotated = 0
    unreadable: list[SecretUndecryptable] = []
    stale = Secret.all_tenants.exclude(key_id=newest_key().id)
    for tenant_id in stale.order_by("tenant_id").values_list("tenant_id", flat=True).distinct():
        after = UUID(int=0)
        while batch := _rotate_batch(tenant_id, after, by, unreadable):
            after, changed = batch
            rotated += changed
    if unreadable:
        raise SecretUndecryptable(
            f"{rotated} secrets rotated, {len(unreadable)} could not be read. First: {unreadable[0].message}"
        )
    return rotated


def _held(tenant_id: UUID, name: str) -> Secret:
    """Return the secret's row, locked; a new one has version 0 and holds nothing yet."""
    rows = Secret.all_tenants.filter(tenant_id=tenant_id, name=name).select_for_update()
    while (held := rows.first()) is None:
        # Whoever stores the same new name at the same time waits here, then finds the row.
        empty = Secret(tenant_id=tenant_id, name=name, version=0, key_id="", nonce=b"", ciphertext=b"")
        Secret.all_tenants.bulk_create([empty], ignore_conflicts=True)
    return held


def _rotate_batch(
    tenant_id: UUID, after: UUID, by: str, unreadable: list[SecretUndecryptable]
) -> tuple[UUID, int] | None:
    newest = newest_key().id
    with transaction.atomic():
        stale = Secret.all_tenants.filter(tenant_id=tenant_id, id__gt=after).exclude(key_id=newest)
        secrets = list(stale.select_for_update().order_by("id")[:ROTATION_BATCH])
        if not secrets:
            return None
        changed = []
        for secret in secrets:
            place = Place(tenant_id, secret.name, secret.version)
            try:
                value = unseal(Sealed(secret.key_id, bytes(secret.nonce), bytes(secret.ciphertext)), place)
            except SecretUndecryptable as error:
                unreadable.append(error)
                continue
            _put(secret, seal(value, place))
            changed.append(secret)
        if changed:
            Secret.all_tenants.bulk_update(changed, ["key_id", "nonce", "ciphertext"])
            with tenant_scope(tenant_id):
                audit.record(
                    actor=by,
                    action="secret.rotated",
                    target=f"encryption:{newest}",
                    after={"count": len(changed)},
                )
    return secrets[-1].id, len(changed)


def _check(name: str, value: str) -> None:
    problems = []
    if not DatabaseBackend.pattern.fullmatch(name):
        problems.append(Problem("name", f"must be {DatabaseBackend.expects}"))
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        problems.append(Problem("value", "must be text that UTF-8 can hold"))
    else:
        if not 1 <= size <= VALUE_LIMIT_BYTES:
            problems.append(Problem("value", f"must have 1 to {VALUE_LIMIT_BYTES} bytes, not {size}"))
    if problems:
        said = "; ".join(f"{problem.field} {problem.message}" for problem in problems)
        raise InvalidSecret(f"The secret cannot be stored: {said}", details=problems)


def _put(secret: Secret, sealed: Sealed) -> None:
    secret.key_id, secret.nonce, secret.ciphertext = sealed.key_id, sealed.nonce, sealed.ciphertext
