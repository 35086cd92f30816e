"""Watchers are told what was stored, and nothing else."""

from __future__ import annotations

import pytest

from automate.events import emit_event
from automate.models import Execution
from automate_core.models import OutboxItem
from tests.factories.engine import EVENT, drain, node, workflow
from tests.factories.live import hear, hear_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_execution_that_another_dispatch_stored_is_told_of_once(site, key):
    automation = workflow(node("one", "merge"))
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        emit_event(EVENT, {})
        item = OutboxItem.objects.get(kind="event")
        drain()
        heard = hear_until(socket, "workflow_completed")
        item.save(force_insert=True)
        drain()
        assert not OutboxItem.objects.exists()
        emit_event(EVENT, {})
        drain()
        heard += hear_until(socket, "workflow_completed")
    stored = [str(pk) for pk in Execution.objects.order_by("created_at").values_list("pk", flat=True)]
    assert [(one["execution_id"], one["seq"]) for one in heard] == [
        (execution_id, seq) for execution_id in stored for seq in (1, 2, 3, 4)
    ]
    assert len(stored) == 2
