"""The chains of audit entries: entries are sealed into their tenant's after their commit, and chains are verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from automate_core import sql
from automate_core.arrays import plain
from automate_core.audit import content_digest_of, digest_of
from automate_core.models import AuditEntry, AuditHead

GENESIS = "0" * 64
"""What the first entry of a tenant has for a previous digest."""
CHUNK = 1_000
SEAL_SECONDS = 1.0
BATCH = 200
"""Entries sealed in one transaction."""
TURN = 10
"""Batches of one tenant that a worker seals before it does its other duties."""

_WAIT_FOR_CHAIN = "SELECT true FROM pg_advisory_xact_lock(%(key)s::bigint)"
_TRY_CHAIN = "SELECT pg_try_advisory_xact_lock(%(key)s::bigint)"

_UNSEALED_TENANTS = "SELECT DISTINCT tenant_id FROM automate_core_auditentry WHERE number IS NULL"

_SEAL = """
UPDATE automate_core_auditentry e SET number = s.number, previous_digest = s.previous, digest = s.digest
FROM unnest(%(ids)s::bigint[], %(numbers)s::bigint[], %(previous)s::text[], %(digests)s::text[])
  AS s(id, number, previous, digest)
WHERE e.id = s.id AND e.number IS NULL
"""


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


def seal(tenant_id: UUID | None = None) -> int:
    """Put every committed entry of one tenant, or of all, into its chain; return how many there were.

    Entries are numbered without gaps in the order in which they were written; one that commits later than another
    written after it may come after that.
    """
    sealed = 0
    for tenant in [tenant_id] if tenant_id else _unsealed_tenants():
        while count := _seal_batch(tenant, _WAIT_FOR_CHAIN):
            sealed += count
    return sealed


def seal_some() -> int:
    """Seal what other workers do not seal at this moment, up to TURN batches of each tenant; return how many."""
    sealed = 0
    for tenant in _unsealed_tenants():
        for _ in range(TURN):
            count = _seal_batch(tenant, _TRY_CHAIN)
            sealed += count
            if count < BATCH:
                break
    return sealed


def verify(tenant_id: UUID | None = None) -> list[Break]:
    """Seal and check one tenant's chain, or every tenant's, and return where it does not hold, in order."""
    seal(tenant_id)
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
                expected, previous = (entry.number or 0) + 1, entry.digest
            count += len(chunk)
            progress(count)
        yield from _breaks_at_end(tenant, expected - 1, previous)


def heads(tenant_id: UUID | None = None) -> list[Head]:
    """Return the last number and digest of one tenant's chain, or of every tenant's."""
    ends = AuditEntry.all_tenants.exclude(number=None).order_by("tenant_id", "-number").distinct("tenant_id")
    if tenant_id is not None:
        ends = ends.filter(tenant_id=tenant_id)
    return [
        Head(end.tenant_id, end.number or 0, end.digest) for end in ends.only("tenant_id", "number", "digest")
    ]


def holds(tenant_id: UUID, number: int, digest: str) -> bool:
    """Tell whether the tenant's chain still has the entry that a `Head` noted earlier names."""
    return AuditEntry.all_tenants.filter(tenant_id=tenant_id, number=number, digest=digest).exists()


def _unsealed_tenants() -> list[UUID]:
    return [row[0] for row in sql.execute(_UNSEALED_TENANTS)]


def _seal_batch(tenant_id: UUID, lock: str) -> int:
    with transaction.atomic():
        if not sql.execute(lock, {"key": _key(tenant_id)})[0][0]:
            return 0
        number, previous = _end(tenant_id)
        waiting = AuditEntry.all_tenants.filter(tenant_id=tenant_id, number=None).order_by("id")
        entries = list(waiting[:BATCH])
        for entry in entries:
            entry.number = number = number + 1
            entry.previous_digest = previous
            entry.digest = previous = digest_of(entry)
        if entries:
            sql.execute(
                _SEAL,
                {
                    "ids": plain(str(entry.id) for entry in entries),
                    "numbers": plain(str(entry.number) for entry in entries),
                    "previous": plain(entry.previous_digest for entry in entries),
                    "digests": plain(entry.digest for entry in entries),
                },
            )
    return len(entries)


def _key(tenant_id: UUID) -> int:
    return int.from_bytes(hashlib.sha256(b"automate.audit:" + tenant_id.bytes).digest()[:8], signed=True)


def _end(tenant_id: UUID) -> tuple[int, str]:
    # What was cut off the end must not be numbered again, so the recorded end counts, not the last entry there is.
    recorded = AuditHead.objects.filter(tenant_id=tenant_id).values_list("number", "digest").first()
    if recorded is not None:
        return recorded
    sealed = AuditEntry.all_tenants.filter(tenant_id=tenant_id, number__isnull=False).order_by("-number")
    last = sealed.first()
    return (last.number or 0, last.digest) if last else (0, GENESIS)


def _tenants(tenant_id: UUID | None) -> list[UUID]:
    if tenant_id is not None:
        return [tenant_id]
    written = AuditEntry.all_tenants.order_by().values_list("tenant_id", flat=True).distinct()
    return sorted({*written, *AuditHead.objects.values_list("tenant_id", flat=True)})


def _breaks_at(entry: AuditEntry, expected: int, previous: str) -> Iterator[Break]:
    number = entry.number or 0
    if number != expected:
        yield Break(entry.tenant_id, expected, f"missing: the next entry has number {number}")
    elif entry.previous_digest != previous:
        yield Break(entry.tenant_id, number, "does not follow from the entry before it")
    if entry.digest != digest_of(entry):
        yield Break(entry.tenant_id, number, "was changed: its digest does not match its content")
    elif entry.content_digest and entry.content_digest != content_digest_of(entry):
        yield Break(entry.tenant_id, number, "was changed after it was written and before it was sealed")


def _breaks_at_end(tenant_id: UUID, number: int, digest: str) -> Iterator[Break]:
    # Entries sealed since the last chunk was read have moved the end; they are checked the next time.
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
        last = chunk[-1].number or 0
