"""Audit entries: written inside the change they describe, each with a digest over what it says."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from automate_core import sql
from automate_core.context import trace_in_context
from automate_core.models import AuditEntry, current_tenant_id
from automate_core.redaction import redactor
from automate_core.revealed import revealed_secrets

_CONTENT = ("tenant_id", "actor", "action", "target", "before", "after", "trace_id")

# The time is that of the database, so its digest is finished there.
_WRITE = """
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS at)
INSERT INTO automate_core_auditentry (
  tenant_id, actor, action, target, before, after, trace_id, created_at, content_digest)
SELECT %(tenant_id)s::uuid, %(actor)s::text, %(action)s::text, %(target)s::text, %(before)s::jsonb, %(after)s::jsonb,
  %(trace_id)s::text, at, encode(sha256(convert_to(
    %(said)s::text || ' ' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), 'UTF8')), 'hex')
FROM moment RETURNING id, created_at, content_digest
"""


def record(*, actor: str, action: str, target: str, before: Any = None, after: Any = None) -> AuditEntry:
    """Write one entry of the tenant in context, inside the caller's transaction, waiting for nobody.

    Its place in the tenant's chain is given by `audit_chain.seal` once it is committed.

    Args:
        actor: who did it (`user:<id>`, `apikey:<id>`, `command:<name>`); cut at 200 characters.
        action: what was done, dotted (`secret.stored`); cut at 64 characters.
        target: what it was done to (`secret:API_KEY`); cut at 200 characters.
        before: JSON-like state before the change; secrets in it are redacted.
        after: JSON-like state after the change; secrets in it are redacted.

    Raises:
        TenantRequired: no tenant in context and no default tenant.
    """
    clean = redactor(revealed_secrets())
    entry = AuditEntry(
        tenant_id=current_tenant_id(),
        actor=_cut(clean.text(actor), 200),
        action=_cut(clean.text(action), 64),
        target=_cut(clean.text(target), 200),
        before=_as_stored(clean.redact(before)),
        after=_as_stored(clean.redact(after)),
        trace_id=trace_in_context() or "",
    )
    given = {name: getattr(entry, name) for name in _CONTENT}
    states = {name: None if given[name] is None else json.dumps(given[name]) for name in ("before", "after")}
    written = sql.execute(_WRITE, {**given, **states, "said": _said(entry)})
    entry.id, entry.created_at, entry.content_digest = written[0]
    entry._state.adding, entry._state.db = False, "default"
    return entry


def content_digest_of(entry: AuditEntry) -> str:
    """Return the SHA-256 (hex) over what an entry says, and when it was written."""
    return hashlib.sha256(f"{_said(entry)} {_instant(entry.created_at)}".encode()).hexdigest()


def digest_of(entry: AuditEntry) -> str:
    """Return the SHA-256 (hex) over a sealed entry and the digest before it, as canonical JSON.

    Canonical: keys sorted, no spaces, ASCII; numbers equal in value are written alike, because PostgreSQL's
    `jsonb` gives 1e22 back as an integer.
    """
    content = _content(entry) | {
        "number": entry.number,
        "created_at": f"{_instant(entry.created_at)}+00:00",
        "previous_digest": entry.previous_digest,
    }
    if entry.content_digest:
        content["content_digest"] = entry.content_digest
    return _digest(content)


def _said(entry: AuditEntry) -> str:
    return _digest(_content(entry))


def _content(entry: AuditEntry) -> dict[str, Any]:
    content = {name: getattr(entry, name) for name in _CONTENT}
    content["tenant"] = str(content.pop("tenant_id"))
    return content


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _instant(moment: datetime) -> str:
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


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
