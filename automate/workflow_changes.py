"""The frame of every change of a workflow: its row is locked, and the audit trail says what it was before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from automate.models import Automation
from automate.publishing import digest_of
from automate_core import audit
from automate_core.errors import NotFound


@contextmanager
def held_for_change(automation: Automation, *, by: str, action: str) -> Iterator[Automation]:
    """Open a transaction with the workflow's row locked and read again, and an audit entry at its end."""
    with transaction.atomic():
        held = Automation.all_tenants.select_for_update().filter(pk=automation.pk).first()
        if held is None:
            raise NotFound(f"Workflow {automation.slug!r} was deleted")
        before = facts(held)
        yield held
        target = f"workflow:{held.id}"
        audit.record(actor=by, action=action, target=target, before=before, after=facts(held))


def facts(automation: Automation) -> dict[str, Any]:
    """Return what the audit trail says about a workflow as it stands: its settings, and hashes of what is drawn."""
    live = automation.live_version
    return {
        "name": automation.name,
        "slug": automation.slug,
        "description": automation.description,
        "enabled": automation.enabled,
        "version": live.number if live else None,
        "content_hash": live.content_hash if live else None,
        "draft": automation.draft is not None,
        "drawing_hash": digest_of([automation.draft, automation.layout]),
    }
