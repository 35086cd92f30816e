"""What people order while a worker holds the execution: stop, pause, go on; and how soon nothing starts any more."""

from __future__ import annotations

import threading
import time

import pytest

from automate.events import emit_event
from automate.executions import verbs
from automate.models import Execution, StepRun
from automate_core.models import OutboxItem
from automate_core.outbox.drain import Drain
from automate_core.steps import Effect
from tests.factories.engine import EVENT, drain, edge, finish, lose_workers, node, workflow
from tests.factories.scripted import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

CALL_SECONDS = 0.02
STOP_CALLS = 1.0 / CALL_SECONDS
"""As many calls as one second holds: counted, because a slow machine stretches the second and the calls alike."""


@pytest.fixture
def running():
    """Return a function that starts a worker in a thread; it stops with the test."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def work():
        from django.db import connection

        try:
            Drain().run(stop)
        finally:
            connection.close()

    def start():
        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)


def until(holds):
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def fifty_items(register_step):
    """Make a workflow of five steps for each of 50 items; return the paths of its calls as they begin."""
    begun: list[str] = []

    def act(config, context):
        begun.append(context.path)
        time.sleep(CALL_SECONDS)

    register_step("t.act", Effect.IDEMPOTENT, act)
    inside = [node(f"s{number}", "t.act") for number in range(5)]
    edges = [edge("all", "s0", "item"), *(edge(f"s{n}", f"s{n + 1}") for n in range(4))]
    workflow(node("all", "for_each", {"items": list(range(50))}), *inside, edges=edges)
    emit_event(EVENT, {})
    return begun


def test_no_step_starts_more_than_a_second_after_a_stop_and_the_answer_stays_true(register_step, running):
    begun = fifty_items(register_step)
    running()
    until(lambda: len(begun) > 7)
    verbs.cancel(Execution.objects.get(), by="test")
    before = len(begun)
    until(lambda: Execution.objects.get().finished_at is not None)
    count = len(begun)
    assert count < 250
    assert count - before <= STOP_CALLS
    lose_workers()
    drain()
    execution = Execution.objects.get()
    assert (execution.status, len(begun)) == ("CANCELLED", count)
    assert set(StepRun.objects.filter(path="all").values_list("status", flat=True)) == {"CANCELLED"}
    assert not StepRun.objects.filter(status__in=["RUNNING", "WAITING"]).exists()


def test_paused_execution_starts_nothing_holds_no_item_and_goes_on_where_it_was(register_step, running):
    begun = fifty_items(register_step)
    running()
    until(lambda: len(begun) > 7)
    verbs.pause(Execution.objects.get(), by="test")
    until(lambda: Execution.objects.get().status == "WAITING")
    until(lambda: not OutboxItem.all_tenants.filter(kind="execution").exists())
    count = len(begun)
    time.sleep(0.3)
    assert len(begun) == count < 250
    verbs.resume(Execution.objects.get(), by="test")
    until(lambda: Execution.objects.get().finished_at is not None)
    assert (Execution.objects.get().status, len(begun)) == ("SUCCESS", 250)


def test_call_that_does_not_return_is_given_up_after_the_grace(register_step, gate, worker, settings):
    settings.AUTOMATE = {**settings.AUTOMATE, "CANCEL_GRACE_SECONDS": 0.2}
    register_step("t.stuck", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through() or 1)
    workflow(node("call", "t.stuck"), node("after", "merge"))
    emit_event(EVENT, {})
    one = worker()
    gate.turn_until_entered(one)
    verbs.cancel(Execution.objects.get(), by="test")
    until(lambda: one.turn() or Execution.objects.get().finished_at is not None)
    execution = Execution.objects.get()
    assert execution.status == "CANCELLED"
    assert StepRun.objects.get(path="call").error_code == "OUTCOME_UNKNOWN"
    gate.open.set()
    one.run_until_empty()
    assert Execution.objects.get().status == "CANCELLED"
    assert StepRun.objects.get(path="call").status == "FAILED"


def test_cancelled_execution_whose_worker_is_lost_ends_with_the_next(register_step, gate, worker):
    register_step("t.stuck", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or 1)
    workflow(node("call", "t.stuck"), node("after", "merge"))
    emit_event(EVENT, {})
    one = worker()
    gate.turn_until_entered(one)
    verbs.cancel(Execution.objects.get(), by="test")
    lose_workers()
    execution = finish()
    assert execution.status == "CANCELLED"
    assert not StepRun.objects.filter(path="after").exists()
