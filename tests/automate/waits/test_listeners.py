"""Which waiting steps an event answers, with what, and how often."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.db import connection, transaction

from automate.dispatch import dispatch
from automate.events import emit_event
from automate.models import Event, StepRun
from automate.runtime.retry import RetryPolicy
from automate.waits.correlation import MAX_LEAVES, folded
from automate_core import sql
from automate_core.models import OutboxItem, Tenant
from automate_core.outbox.base import ClaimedItem
from tests.factories.wire import traffic

pytestmark = pytest.mark.django_db(transaction=True)

MakeStep = Callable[..., StepRun]


def deliver(*event_ids: str, attempt: int = 1) -> None:
    """Dispatch events, as a worker does with a claimed batch."""
    items = [
        ClaimedItem(
            number, Event.all_tenants.get(pk=event_id).tenant_id, "event", None,
            {"event_id": event_id}, attempt, 3, False, 1, "t",
        )
        for number, event_id in enumerate(event_ids, 1)
    ]  # fmt: skip
    dispatch(items, policy=RetryPolicy(3, 1.0, 10.0))


def happen(type: str, payload: dict[str, Any], **more: Any) -> str:
    event_id = emit_event(type, payload, **more)
    deliver(event_id)
    return event_id


def answer(step: StepRun) -> Any:
    step.refresh_from_db()
    return step.answer


def heard(step: StepRun) -> Any:
    """Return the payload a step was answered with, None while it waits."""
    given = answer(step)
    return given["output"]["event"]["payload"] if given else None


def test_event_answers_the_step_that_listens_for_it(waiting_step: MakeStep) -> None:
    step = waiting_step(wake_event="payment.received", wake_rule=folded({"payload.order": 7}, None))
    event_id = happen("payment.received", {"order": 7, "amount": 5}, source="shop")
    event = {
        "id": event_id,
        "type": "payment.received",
        "source": "shop",
        "payload": {"order": 7, "amount": 5},
    }
    assert answer(step) == {"output": {"event": event}, "route": "main"}
    item = OutboxItem.objects.get(kind="execution")
    assert item.payload == {"execution_id": str(step.execution_id)}
    step.execution.refresh_from_db()
    assert step.execution.pokes == 1


@pytest.mark.parametrize(
    ("event_type", "match", "rule", "is_answered"),
    [
        ("payment.*", {}, None, True),
        ("payment.received", {}, None, True),
        ("payment", {}, None, False),
        ("refund.*", {}, None, False),
        ("*", {"payload.order.id": "A-1"}, None, True),
        ("*", {"payload.order.id": "A-2"}, None, False),
        ("*", {"payload.order.id": "A-1", "payload.n": 5.0, "source": "shop"}, None, True),
        ("*", {"payload.order.id": "A-1", "payload.n": 6}, None, False),
        ("*", {"payload.n": "5"}, None, False),
        ("*", {"payload.paid": True}, None, True),
        ("*", {"payload.paid": 1}, None, False),
        ("*", {"source": "bank"}, None, False),
        ("*", {"type": "payment.received"}, None, True),
        ("*", {"payload.absent": "A-1"}, None, False),
        ("*", {"payload.euro": 'ünïcode "quoted" \\ \n'}, None, True),
        ("*", {"payload.n": 5}, {">": [{"var": "payload.n"}, 4]}, True),
        ("*", {"payload.n": 5}, {">": [{"var": "n"}, 5]}, False),
        ("*", {}, {"==": [{"var": "event.source"}, "shop"]}, True),
        ("*", {}, {"throw": "no"}, False),
        ("*", {}, {"and": [{"===": [{"var": "n"}, 5]}]}, True),
    ],
)
def test_listener_takes_what_type_match_and_rule_accept(
    waiting_step: MakeStep, event_type: str, match: Any, rule: Any, is_answered: bool
) -> None:
    step = waiting_step(wake_event=event_type, wake_rule=folded(match, rule))
    payload = {"order": {"id": "A-1"}, "n": 5, "paid": True, "euro": 'ünïcode "quoted" \\ \n'}
    happen("payment.received", payload, source="shop")
    assert (heard(step) == payload) is is_answered


def test_rule_of_any_other_step_is_read_as_it_is(waiting_step: MakeStep) -> None:
    plain = waiting_step(wake_event="a.b", wake_rule={"===": [{"var": "payload.n"}, 1]})
    alone = waiting_step("other", wake_event="a.b", wake_rule=None)
    happen("a.b", {"n": 1})
    assert (heard(plain), heard(alone)) == ({"n": 1}, {"n": 1})


def test_event_with_too_many_values_is_compared_with_every_listener(waiting_step: MakeStep) -> None:
    last = MAX_LEAVES + 1
    right = waiting_step(wake_event="big", wake_rule=folded({f"payload.k{last}": last}, None))
    wrong = waiting_step("other", wake_event="big", wake_rule=folded({f"payload.k{last}": 0}, None))
    happen("big", {f"k{number}": number for number in range(last + 1)})
    assert (heard(right) is not None, heard(wrong)) == (True, None)


def test_event_of_another_tenant_answers_nothing(waiting_step: MakeStep) -> None:
    step = waiting_step(wake_event="*")
    other = Tenant.objects.create(slug="other", name="Other")
    happen("a.b", {}, tenant_id=other.id)
    assert answer(step) is None


def test_secrets_of_the_event_are_not_in_the_answer(waiting_step: MakeStep) -> None:
    step = waiting_step(wake_event="*")
    happen("a.b", {"password": "hunter2hunter2", "n": 1})
    assert heard(step) == {"password": "***REDACTED***", "n": 1}


def test_step_takes_the_first_event_of_a_batch(waiting_step: MakeStep) -> None:
    step = waiting_step(wake_event="tick")
    deliver(*(emit_event("tick", {"n": n}) for n in range(3)))
    assert heard(step) == {"n": 0}


def test_event_answers_every_listener_of_every_execution(waiting_step: MakeStep) -> None:
    first = waiting_step("a", wake_event="tick")
    second = waiting_step("b", execution=first.execution, wake_event="tick")
    third = waiting_step("a", wake_event="t*")
    happen("tick", {"n": 1})
    assert [heard(step) for step in (first, second, third)] == [{"n": 1}] * 3


def test_event_delivered_again_answers_no_step_that_began_to_wait_in_between(waiting_step: MakeStep) -> None:
    first = waiting_step("loop[0]/wait", wake_event="tick")
    event_id = happen("tick", {"n": 1})
    StepRun.objects.filter(pk=first.pk).update(status="SUCCESS", output_data=answer(first)["output"])
    second = waiting_step("loop[1]/wait", execution=first.execution, wake_event="tick")
    deliver(event_id, attempt=2)
    assert answer(second) is None
    happen("tick", {"n": 2})
    assert heard(second) == {"n": 2}


def test_answer_is_given_once(waiting_step: MakeStep) -> None:
    step = waiting_step(wake_event="tick")
    event_id = happen("tick", {"n": 1})
    happen("tick", {"n": 2})
    deliver(event_id, attempt=2)
    assert heard(step) == {"n": 1}


def test_steps_that_do_not_wait_are_left_alone(waiting_step: MakeStep) -> None:
    over = waiting_step(wake_event="tick")
    over.execution.status, over.execution.finished_at = "CANCELLED", over.started_at
    over.execution.save()
    cancelled = waiting_step(wake_event="tick", status="CANCELLED")
    happen("tick", {})
    assert (answer(over), answer(cancelled)) == (None, None)


def test_event_committed_after_the_wait_was_recorded_wakes_it(waiting_step: MakeStep) -> None:
    """The event is emitted first, but commits last: dispatch in another process must still see the wait."""
    emitted, recorded = threading.Event(), threading.Event()
    ids: list[str] = []

    def emit() -> None:
        with transaction.atomic():
            ids.append(emit_event("tick", {"n": 1}))
            emitted.set()
            assert recorded.wait(60)
        connection.close()

    happen("warm.up", {})
    emitter = threading.Thread(target=emit)
    emitter.start()
    assert emitted.wait(60)
    step = waiting_step(wake_event="tick")
    recorded.set()
    emitter.join(60)
    deliver(ids[0])
    assert heard(step) == {"n": 1}


def test_two_workers_answer_a_step_once(waiting_step: MakeStep) -> None:
    step = waiting_step(wake_event="tick")
    ids = [emit_event("tick", {"n": n}) for n in range(2)]
    start = threading.Barrier(2)

    def work(event_id: str) -> None:
        start.wait(60)
        deliver(event_id)
        connection.close()

    workers = [threading.Thread(target=work, args=(event_id,)) for event_id in ids]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert heard(step) in ({"n": 0}, {"n": 1})
    assert OutboxItem.objects.filter(kind="execution").count() == 1


def test_event_without_listeners_costs_no_statement(waiting_step: MakeStep) -> None:
    step = waiting_step()
    event_id = happen("tick", {})
    with traffic() as seen:
        deliver(event_id)
    alone = len(seen.statements)
    StepRun.objects.filter(pk=step.pk).update(wake_event="other")
    with traffic() as seen:
        deliver(event_id)
    assert len(seen.statements) == alone + 1


def test_correlated_listeners_are_found_by_index(waiting_step: MakeStep) -> None:
    from automate.waits import listeners

    step = waiting_step(wake_event="paid", wake_rule=folded({"payload.order": 0}, None))
    StepRun.objects.bulk_create(
        StepRun(
            tenant_id=step.tenant_id, execution_id=step.execution_id, path=f"l[{n}]/wait", node_key="wait",
            node_type="wait_for_event", status="WAITING", effect="pure", wake_event="paid",
            wake_rule=folded({"payload.order": n}, None),
        )
        for n in range(1, 3_000)
    )  # fmt: skip
    sql.execute("ANALYZE automate_steprun")
    event = {"id": "0", "type": "paid", "source": "", "payload": {"order": 2_500}}
    params = listeners._params([listeners.Heard(str(step.tenant_id), event)])
    found = sql.execute(listeners._FIND, params)
    assert [orjson.loads(row[4]) for row in found] == [folded({"payload.order": 2_500}, None)]
    plan = "\n".join(
        row[0] for row in sql.execute("EXPLAIN (ANALYZE, TIMING OFF) " + listeners._FIND, params)
    )
    assert "automate_steprun_matched" in plan
    assert "Rows Removed by Filter: 2" not in plan


def test_steps_that_wait_for_something_else_do_not_listen(waiting_step: MakeStep) -> None:
    step = waiting_step(wake_event="")
    event_id = happen("tick", {})
    StepRun.objects.filter(pk=step.pk).update(wake_event=None)
    with traffic() as without:
        deliver(event_id)
    StepRun.objects.filter(pk=step.pk).update(wake_event="")
    with traffic() as seen:
        deliver(event_id)
    assert (answer(step), len(seen.statements)) == (None, len(without.statements))
