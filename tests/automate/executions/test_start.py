"""Starting an execution by the name of its workflow."""

from __future__ import annotations

import pytest

from automate.executions.start import start_execution
from automate_core.context import trace_scope
from automate_core.models import OutboxItem
from tests.factories.engine import node, workflow

pytestmark = pytest.mark.django_db(transaction=True)


def test_start_queues_the_live_version_under_the_callers_trace():
    made = workflow(node("a", "merge"))
    with trace_scope("trace-1"):
        execution = start_execution(slug="orders", payload={"n": 1})
    assert (execution.status, execution.version_id, execution.trace_id) == (
        "QUEUED",
        made.live_version_id,
        "trace-1",
    )
    item = OutboxItem.objects.get()
    assert (item.kind, item.payload, item.trace_id) == (
        "execution",
        {"execution_id": str(execution.id)},
        "trace-1",
    )
