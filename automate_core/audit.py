"""Audit entries: written inside the change they describe, chained by hash per tenant, and verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from automate_core.context import trace_in_context
from automate_core.models import AuditEntry, AuditHead, current_tenant_id
from automate_core.redaction import redactor
from automate_core.revealed import revealed_secrets

GENESIS = "0" * 64
"""What the first entry of a tenant has for a previous digest."""
CHUNK = 1_000
_HASHED = ("tenant_id", "number", "actor", "action", "target", "before", "after", "trace_id", "created_at")


@dataclass(frozen=True, slots=True)
class Break:
    """A place where a tenant's chain does not hold, and what is wrong there."""

    tenant_id: UUID
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a tenant's chain. Kept outside the database, it also shows a chain that was made anew."""

    tenant_id: UUID
    number: int
    digest: str


def record(*, actor: str, action: str, target: str, before: Any = None, after: Any = None) -> AuditEntry:
    """Append one entry to the chain of the tenant in context, inside the caller's transaction.

    Entries of one tenant are numbered without gaps: the tenant's chain is locked until the transaction ends.

    Args:
        actor: who did it (`user:<id>`, `apikey:<id>`, `command:<name>`); cut at 200 characters.
        action: what was done, dotted (`secret.stored`); cut at 64 characters.
        target: what it was done to (`secret:API_KEY`); cut at 200 characters.
        before: JSON-like state before the change; secrets in it are redacted.
        after: JSON-like state after the change; secrets in it are redacted.

    Raises:
        TenantRequired: no tenant in context and no default tenant.
    """
    tenant_id = current_tenant_id()
    clean = redactor(revealed_secrets())
    with transaction.atomic(savepoint=False):
        now = lock_chain(tenant_id)
        number, previous = _end(tenant_id)
        entry = AuditEntry(
            tenant_id=tenant_id,
            number=number + 1,
            actor=_cut(clean.text(actor), 200),
            action=_cut(clean.text(action), 64),
            target=_cut(clean.text(target), 200),
            before=_as_stored(clean.redact(before)),
            after=_as_stored(clean.redact(after)),
            trace_id=trace_in_context() or "",
            created_at=now,
            previous_digest=previous,
        )
        entry.digest = digest_of(entry)
        entry.save(force_insert=True)
    return entry


def lock_chain(tenant_id: UUID) -> datetime:
    """Hold the tenant's chain until the transaction ends; return the database's time once it is held.

    A verb that locks rows before it records takes this lock first, so that two verbs cannot deadlock.
    """
    key = int.from_bytes(hashlib.sha256(b"automate.audit:" + tenant_id.bytes).digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s), clock_timestamp()", [key])
        row = cursor.fetchone()
    now: datetime = row[1]
    return now


def digest_of(entry: AuditEntry) -> str:
    """Return the SHA-256 (hex) over the entry and the digest before it, as canonical JSON.

    Canonical: keys sorted, no spaces, ASCII; numbers equal in value are written alike, because PostgreSQL's
    `jsonb` gives 1e22 back as an integer.
    """
    content: dict[str, Any] = {name: getattr(entry, name) for name in _HASHED}
    content["tenant"] = str(content.pop("tenant_id"))
    content["created_at"] = _instant(entry.created_at)
    content["previous_digest"] = entry.previous_digest
    text = json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def verify(tenant_id: UUID | None = None) -> list[Break]:
    """Check one tenant's chain, or every tenant's, and return where it does not hold, in order."""
    return list(breaks(tenant_id))


def breaks(
    tenant_id: UUID | None = None, *, progress: Callable[[int], object] = lambda _: None
) -> Iterator[Break]:
    """Check one tenant's chain, or every tenant's, entry by entry, and yield where it does not hold.

    Args:
        tenant_id: whose chain; every tenant's when None.
        progress: called with the number of entries read so far, after each CHUNK of them.
    """
    count = 0
    for tenant in _tenants(tenant_id):
        expected, previous = 1, GENESIS
        for chunk in _chunks(tenant):
            for entry in chunk:
                yield from _breaks_at(entry, expected, previous)
                expected, previous = entry.number + 1, entry.digest
            count += len(chunk)
            progress(count)
        yield from _breaks_at_end(tenant, expected - 1, previous)


def heads(tenant_id: UUID | None = None) -> list[Head]:
    """Return the last number and digest of one tenant's chain, or of every tenant's."""
    ends = AuditEntry.all_tenants.order_by("tenant_id", "-number").distinct("tenant_id")
    if tenant_id is not None:
        ends = ends.filter(tenant_id=tenant_id)
    return [Head(*row) for row in ends.values_list("tenant_id", "number", "digest")]


def holds(tenant_id: UUID, number: int, digest: str) -> bool:
    """Tell whether the tenant's chain still has the entry that a `Head` noted earlier names."""
    return AuditEntry.all_tenants.filter(tenant_id=tenant_id, number=number, digest=digest).exists()


def _end(tenant_id: UUID) -> tuple[int, str]:
    # What was cut off the end must not be numbered again, so the recorded end counts, not the last entry there is.
    recorded = AuditHead.objects.filter(tenant_id=tenant_id).values_list("number", "digest").first()
    if recorded is not None:
        return recorded
    entries = AuditEntry.all_tenants.filter(tenant_id=tenant_id).order_by("-number")
    return entries.values_list("number", "digest").first() or (0, GENESIS)


def _tenants(tenant_id: UUID | None) -> list[UUID]:
    if tenant_id is not None:
        return [tenant_id]
    written = AuditEntry.all_tenants.order_by().values_list("tenant_id", flat=True).distinct()
    return sorted({*written, *AuditHead.objects.values_list("tenant_id", flat=True)})


def _breaks_at(entry: AuditEntry, expected: int, previous: str) -> Iterator[Break]:
    if entry.number != expected:
        yield Break(entry.tenant_id, expected, f"missing: the next entry has number {entry.number}")
    elif entry.previous_digest != previous:
        yield Break(entry.tenant_id, entry.number, "does not follow from the entry before it")
    if entry.digest != digest_of(entry):
        yield Break(entry.tenant_id, entry.number, "was changed: its digest does not match its content")


def _breaks_at_end(tenant_id: UUID, number: int, digest: str) -> Iterator[Break]:
    # Entries written since the last chunk was read have moved the end; they are checked the next time.
    head = AuditHead.objects.filter(tenant_id=tenant_id).first()
    if head is None:
        if number:
            yield Break(tenant_id, number, "is the last, but the recorded end of the chain was removed")
        return
    later = AuditEntry.all_tenants.filter(tenant_id=tenant_id, number=head.number)
    if head.number > number and not later.exists():
        yield Break(tenant_id, number + 1, f"missing: the chain was recorded to end at entry {head.number}")
    elif head.number < number:
        yield Break(
            tenant_id, number, f"was not written by a change: the chain is recorded to end at {head.number}"
        )
    elif head.number == number and head.digest != digest:
        yield Break(tenant_id, number, "is not the one that was recorded as the end of the chain")


def _chunks(tenant_id: UUID) -> Iterator[list[AuditEntry]]:
    # By key, not by a server-side cursor: behind pgBouncer in transaction mode there is none.
    last = -1
    while chunk := list(
        AuditEntry.all_tenants.filter(tenant_id=tenant_id, number__gt=last).order_by("number")[:CHUNK]
    ):
        yield chunk
        last = chunk[-1].number


def _instant(moment: datetime) -> str:
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC).isoformat(timespec="microseconds")


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(Decimal(repr(value)))
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


def _as_stored(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
