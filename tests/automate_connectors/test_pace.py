"""Rate limits of connections: turns in time, the same for all workers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from django.db import connection as database
from django.db.models import F

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate_connectors import connections
from automate_connectors.models import Connection, ConnectionTurn
from automate_connectors.pace import LATE_SECONDS, Turn, rate_problems, take_turn
from automate_connectors.steps import action_handler
from automate_connectors.testing import recorder
from automate_core import sql
from automate_core.errors import NotYet, Problem, TransientError, ValidationFailed
from automate_core.models import OutboxItem
from automate_core.steps import StepContext
from tests.factories.engine import EVENT, drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

TEN_AN_HOUR = {"limit": 10, "per_seconds": 3_600}
"""Turns so far apart that no test meets the next one."""


@pytest.fixture
def limited() -> Any:
    """A connection of a recording connector with ten calls an hour, and the connector's calls."""
    with recorder() as recorded:
        connections.create(name="api", connector="recorder", rate_limit=TEN_AN_HOUR)
        yield recorded


def api() -> Connection:
    return Connection.objects.get(name="api")


def call(context: StepContext, holder: str) -> object:
    handler = action_handler("recorder.post")
    assert handler is not None
    return handler.run({"connection": "api"}, replace(context, idempotency_key=holder))


def wait_of(work: Callable[[], object]) -> float:
    with pytest.raises(NotYet) as caught:
        work()
    return caught.value.seconds


def pass_time(seconds: float) -> None:
    """Move what is recorded into the past, which is the same as waiting."""
    ConnectionTurn.objects.update(at=F("at") - timedelta(seconds=seconds))
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE automate_connectors_connectionpace SET taken_until = taken_until - make_interval(secs => %s)",
            [seconds],
        )


def test_call_over_the_limit_waits_for_the_next_turn_and_is_not_made(limited, context):
    call(context, "first")
    wait = wait_of(lambda: call(context, "second"))
    assert (len(limited.calls), 350 < wait <= 360) == (1, True)


def test_waiting_call_keeps_its_turn_and_is_made_when_it_has_come(limited, context):
    call(context, "first")
    waits = [wait_of(lambda: call(context, "second")) for _ in range(5)]
    assert waits == sorted(waits, reverse=True)
    pass_time(360)
    call(context, "second")
    assert (len(limited.calls), ConnectionTurn.objects.count()) == (2, 0)


def test_newcomer_does_not_overtake_those_who_wait(limited, context):
    call(context, "first")
    wait_of(lambda: call(context, "second"))
    pass_time(360)
    assert 350 < wait_of(lambda: call(context, "newcomer")) <= 360
    call(context, "second")


def test_second_try_of_a_step_takes_a_turn_of_its_own(limited, context):
    call(context, "first")
    assert 350 < wait_of(lambda: call(context, "first")) <= 360


def test_burst_lets_so_many_calls_go_at_once(limited, context):
    connections.change(api(), rate_limit={**TEN_AN_HOUR, "burst": 3})
    for holder in "abc":
        call(context, holder)
    assert 350 < wait_of(lambda: call(context, "d")) <= 360


def test_idle_time_is_not_saved_up(limited, context):
    call(context, "first")
    pass_time(3_600)
    call(context, "second")
    assert 350 < wait_of(lambda: call(context, "third")) <= 360


def test_turn_taken_up_too_late_is_exchanged_once(limited, context):
    call(context, "first")
    wait_of(lambda: call(context, "second"))
    wait_of(lambda: call(context, "third"))
    pass_time(1_080 + 2 * LATE_SECONDS)
    call(context, "newcomer")
    assert 350 < wait_of(lambda: call(context, "second")) <= 360
    assert 710 < wait_of(lambda: call(context, "third")) <= 720
    pass_time(1_080 + 2 * LATE_SECONDS)
    call(context, "second")
    call(context, "third")
    assert len(limited.calls) == 4


def test_turns_nobody_came_for_are_removed(limited, context):
    call(context, "first")
    wait_of(lambda: call(context, "cancelled"))
    pass_time(2 * 86_400)
    call(context, "second")
    assert ConnectionTurn.objects.count() == 0


def test_connection_without_a_limit_never_waits(limited, context):
    connections.change(api(), rate_limit=None)
    for n in range(20):
        call(context, f"holder {n}")
    assert (len(limited.calls), ConnectionTurn.objects.count()) == (20, 0)


def test_limit_of_one_connection_does_not_slow_another(limited, context):
    connections.create(name="other", connector="recorder", rate_limit=TEN_AN_HOUR)
    call(context, "first")
    handler = action_handler("recorder.post")
    handler.run({"connection": "other"}, context)
    assert len(limited.calls) == 2


def test_call_whose_turn_the_database_does_not_tell_is_certainly_not_made(limited, context):
    call(context, "first")
    with psycopg.connect(**sql.connect_params()) as other, database.cursor() as cursor:
        other.execute("SELECT 1 FROM automate_connectors_connectionpace FOR UPDATE")
        cursor.execute("SET statement_timeout = 1000")
        try:
            with pytest.raises(TransientError) as caught:
                call(context, "second")
        finally:
            cursor.execute("RESET statement_timeout")
    assert (type(caught.value), caught.value.performed) == (TransientError, False)
    assert len(limited.calls) == 1


def test_turn_on_a_connection_deleted_meanwhile_is_given_all_the_same(limited):
    gone = api().id
    api().delete()
    assert take_turn(gone, TEN_AN_HOUR, holder="late").wait_seconds == 0


def test_step_that_waits_for_its_turn_holds_no_worker_and_uses_up_no_try(limited):
    connections.change(api(), rate_limit={"limit": 20, "per_seconds": 1})
    workflow(node("call", "recorder.post", {"connection": "api", "value": "{{ event.payload.n }}"}))
    for n in range(8):
        emit_event(EVENT, {"n": n})
    drain()
    assert OutboxItem.objects.filter(status="CLAIMED").count() == 0
    while Execution.objects.filter(finished_at=None).exists():
        drain()
    steps = StepRun.objects.values_list("status", "attempt")
    assert (set(steps), len(steps)) == ({("SUCCESS", 1)}, 8)
    assert sorted(call.input_data["value"] for call in limited.calls) == list(range(8))


@pytest.mark.parametrize("burst", [1, 4])
def test_threads_together_get_turns_that_keep_the_limit(limited, burst):
    rate = {"limit": 100, "per_seconds": 10, "burst": burst}
    target = api().id

    def work(number: int) -> list[Turn]:
        try:
            return [take_turn(target, rate, holder=f"{number}/{n}") for n in range(25)]
        finally:
            database.close()

    with ThreadPoolExecutor(8) as pool:
        turns = [turn for batch in pool.map(work, range(8)) for turn in batch]
    times = sorted(turn.at for turn in turns)
    assert len(times) == 200
    assert all(later - earlier >= 0.0999 for earlier, later in pairwise(times))
    assert sum(turn.wait_seconds == 0 for turn in turns) >= burst
    assert ConnectionTurn.objects.count() == sum(turn.wait_seconds > 0 for turn in turns)


@pytest.mark.parametrize(
    ("rate", "field"),
    [
        ("10/s", "rate_limit"),
        ({}, "rate_limit.limit"),
        ({"limit": 0, "per_seconds": 1}, "rate_limit.limit"),
        ({"limit": True, "per_seconds": 1}, "rate_limit.limit"),
        ({"limit": 1, "per_seconds": 0}, "rate_limit.per_seconds"),
        ({"limit": 1, "per_seconds": float("nan")}, "rate_limit.per_seconds"),
        ({"limit": 2, "per_seconds": 1, "burst": 3}, "rate_limit.burst"),
        ({"limit": 1, "per_seconds": 1, "per_second": 1}, "rate_limit.per_second"),
    ],
)
def test_wrong_rate_limit_is_refused_where_it_is_wrong(rate, field):
    assert rate_problems(rate)[0].field == field


def test_rate_limit_is_checked_when_a_connection_is_saved(limited):
    with pytest.raises(ValidationFailed) as caught:
        connections.change(api(), rate_limit={"limit": 1, "per_seconds": -1})
    assert caught.value.details == (
        Problem("rate_limit.per_seconds", "Must be a number of seconds up to 86400"),
    )
    assert api().rate_limit == TEN_AN_HOUR
