"""A step that no longer waits listens to nothing."""

from __future__ import annotations

import pytest

from automate.events import emit_event
from automate.executions import control
from automate.models import Execution, StepRun
from tests.factories.engine import EVENT, drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

WAIT = node("wait", "wait_for_event", {"event_type": "paid", "match": {"payload.n": "{{ input.n }}"}})


def waiting() -> StepRun:
    workflow(WAIT, node("done", "merge"))
    emit_event(EVENT, {"n": 1})
    drain()
    step = StepRun.objects.get(path="wait")
    assert (step.status, step.wake_event) == ("WAITING", "paid")
    return step


def test_answered_step_listens_no_more() -> None:
    step = waiting()
    emit_event("paid", {"n": 1})
    drain()
    step.refresh_from_db()
    assert (step.status, step.wake_event) == ("SUCCESS", None)


def test_cancelled_step_listens_no_more() -> None:
    step = waiting()
    control.cancel(Execution.objects.get(), by="t")
    step.refresh_from_db()
    assert (step.status, step.wake_event) == ("CANCELLED", None)
