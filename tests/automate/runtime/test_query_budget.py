"""The query budget: what emitting and draining may ask of the server, counted on the wire."""

from __future__ import annotations

import pytest
from django.db import transaction

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate_core.outbox.drain import Drain
from tests.factories.engine import EVENT, THREE_PURE, workflow
from tests.factories.wire import traffic

pytestmark = pytest.mark.django_db(transaction=True)


def test_emit_event_costs_one_statement_in_the_callers_transaction():
    with traffic() as seen, transaction.atomic():
        emit_event("order.created", {"n": 1}, dedupe_key="k")
    end = seen.statements.index("COMMIT")
    assert (seen.statements[0], end) == ("BEGIN", 2)
    assert "INSERT INTO automate_event" in seen.statements[1]


def test_emit_event_of_a_repeat_costs_two_statements():
    first = emit_event("order.created", {"n": 1}, dedupe_key="k")
    with traffic() as seen:
        assert emit_event("order.created", {"n": 1}, dedupe_key="k") == first
    assert (len(seen.statements), seen.commits) == (2, 1)


@pytest.mark.parametrize("warm", [False, True])
def test_hundred_events_of_three_pure_steps_cost_fifteen_statements_and_three_commits(warm, monkeypatch):
    # What is asked every few seconds is asked once here, however slow the machine.
    monkeypatch.setattr("automate.executions.watchers.FRESH_SECONDS", 3600.0)
    monkeypatch.setattr("automate_core.outbox.lanes.LOOK_AT_LEAST_SECONDS", 3600.0)
    workflow(*THREE_PURE["nodes"])
    if warm:
        emit_event(EVENT, {"n": -1})
        Drain().run_until_empty()
    for n in range(100):
        emit_event(EVENT, {"n": n})
    with traffic() as seen:
        Drain().run_until_empty()
    assert Execution.objects.filter(status="SUCCESS").count() == 100 + warm
    assert StepRun.objects.filter(status="SUCCESS").count() == 3 * (100 + warm)
    assert len(seen.statements) <= 15, seen.statements
    assert 1 <= seen.commits <= 3, seen.statements
