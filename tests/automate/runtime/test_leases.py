"""What the engine does about a lease that ends at an awkward moment and is kept after all."""

from __future__ import annotations

import time

import pytest

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.workflows import create_workflow
from automate_core.steps import Effect

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 20.0


@pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.AT_MOST_ONCE])
def test_call_held_back_by_a_late_heartbeat_is_made_once_the_lease_is_renewed(
    register_step, worker, settings, effect
):
    settings.AUTOMATE = {**settings.AUTOMATE, "RETRY_INITIAL_SECONDS": 0.01}
    drain = worker()

    def end_leases(config, context):
        for held in drain.store._held.values():
            held.deadline = 0.0

    register_step("t.first", Effect.IDEMPOTENT, end_leases)
    second = register_step("t.second", effect)
    nodes = [{"id": "first", "type": "t.first"}, {"id": "second", "type": "t.second"}]
    create_workflow(
        name="W", graph={"nodes": nodes}, by="test", trigger_type="event", trigger_config={"event_type": "go"}
    )
    emit_event("go", {})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not Execution.objects.filter(status="SUCCESS").exists() and time.monotonic() < deadline:
        drain.turn()
        if StepRun.objects.filter(path="second", status="RUNNING").exists():
            drain.store.renew(drain.worker)
        time.sleep(0.01)
    rows = StepRun.objects.order_by("seq").values_list("path", "attempt", "status")
    assert list(rows) == [("first", 1, "SUCCESS"), ("second", 1, "FAILED"), ("second", 2, "SUCCESS")]
    assert [context.attempt for context in second.calls] == [2]
