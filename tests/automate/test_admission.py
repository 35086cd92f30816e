"""Admission: never more than the limit, nobody left waiting, whatever is done twice or not at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count
from django.utils import timezone

from automate.admission import Place, admit, admit_overlooked
from automate.events import emit_event, run_workflow
from automate.executions import verbs
from automate.limits import gate
from automate.models import Automation, Execution
from automate.replays import replay
from automate.runtime.local import Runtime
from automate.workflows import update_workflow
from automate_core.models import OutboxItem
from automate_core.outbox.drain import Drain
from tests.factories.engine import EVENT, drain, node, wake, workflow
from tests.factories.killing import lose_after

pytestmark = pytest.mark.django_db(transaction=True)

LOG = {"id": "log", "type": "logging", "config": {"message": "done"}}
BY_ACCOUNT = "{{ event.payload.account }}"


def limited(*nodes: Any, slug: str = "orders", **concurrency: Any) -> Automation:
    """Create a workflow with a limit that EVENT starts; its steps wait for a delay unless given."""
    nodes = nodes or (node("pause", "delay", {"seconds": 3_600}),)
    return make(slug, {"nodes": list(nodes), "edges": [], "settings": {"concurrency": concurrency}})


def make(slug: str, graph: Any) -> Automation:
    made = workflow(LOG, slug=slug)
    return update_workflow(made, by="test", graph=graph)


def dispatch_only() -> None:
    Drain(kinds=["event"]).run_until_empty()


def admit_only() -> None:
    Drain(kinds=["admit"]).run_until_empty()


def states() -> list[tuple[str, bool]]:
    """Return (status, whether held) of all executions in the order they came."""
    rows = Execution.objects.order_by("created_at", "id")
    return [(row.status, row.held_at is not None) for row in rows]


def open_count() -> int:
    return Execution.objects.filter(finished_at=None, held_at=None).count()


def items(kind: str) -> int:
    return OutboxItem.objects.filter(kind=kind).count()


def end_one() -> None:
    """End the first execution that has a place, as its worker would."""
    verbs.cancel(Execution.objects.filter(finished_at=None, held_at=None).order_by("id")[0], by="test")


def test_newcomer_of_a_limited_workflow_is_held_with_a_promise_to_admit_it():
    automation = limited(limit=1)
    emit_event(EVENT, {})
    dispatch_only()
    (execution,) = Execution.objects.all()
    assert (execution.status, execution.key) == ("QUEUED", str(automation.id))
    assert execution.held_at is not None
    assert (items("admit"), items("execution")) == (1, 0)


def test_as_many_run_as_the_limit_says_and_the_others_wait():
    limited(limit=2)
    for _ in range(5):
        emit_event(EVENT, {})
    drain()
    assert states() == [("WAITING", False)] * 2 + [("QUEUED", True)] * 3


def test_end_of_one_lets_the_next_in():
    limited(limit=1)
    for _ in range(3):
        emit_event(EVENT, {})
    drain()
    end_one()
    drain()
    assert states() == [("CANCELLED", False), ("WAITING", False), ("QUEUED", True)]


def test_all_of_a_long_queue_finish_one_after_the_other():
    limited(LOG, limit=1)
    for _ in range(30):
        emit_event(EVENT, {})
    drain()
    assert Execution.objects.filter(status="SUCCESS", held_at=None).count() == 30
    assert OutboxItem.objects.count() == 0


def test_each_key_has_places_of_its_own():
    limited(limit=1, key=BY_ACCOUNT)
    for account in ("a", "a", "b", "b", "c"):
        emit_event(EVENT, {"account": account})
    drain()
    rows = Execution.objects.filter(held_at=None).order_by("key")
    assert list(rows.values_list("key", "status")) == [(key, "WAITING") for key in "abc"]


def test_events_without_the_field_of_the_key_share_one_place():
    limited(limit=1, key=BY_ACCOUNT)
    emit_event(EVENT, {})
    emit_event(EVENT, {"account": None})
    drain()
    assert list(Execution.objects.values_list("key", flat=True)) == ["", ""]
    assert open_count() == 1


def test_admission_follows_priority_and_then_age():
    automation = limited(limit=1)
    for _ in range(4):
        emit_event(EVENT, {})
    dispatch_only()
    last = Execution.objects.order_by("-id")[0]
    Execution.objects.filter(pk=last.pk).update(priority=5)
    order = []
    for _ in range(4):
        order += admit([Place(str(automation.id), str(automation.id))])
        Execution.objects.filter(held_at=None, finished_at=None).update(
            status="CANCELLED", finished_at="2026-01-01T00:00Z"
        )
    by_age = [str(pk) for pk in Execution.objects.order_by("id").values_list("id", flat=True)]
    assert order == [by_age[3], *by_age[:3]]


def test_priority_of_the_workflow_is_that_of_its_executions_and_their_items():
    make("orders", {"nodes": [node("pause", "delay", {"seconds": 3_600})], "settings": {"priority": 7}})
    make("limited", {"nodes": [node("pause", "delay", {"seconds": 3_600})],
                     "settings": {"priority": 8, "concurrency": {"limit": 1}}})  # fmt: skip
    emit_event(EVENT, {})
    run_workflow("orders", {})
    run_workflow("limited", {})
    dispatch_only()
    assert sorted(Execution.objects.values_list("priority", flat=True)) == [7, 7, 8, 8]
    assert set(OutboxItem.objects.filter(kind="admit").values_list("priority", flat=True)) == {8}
    assert set(OutboxItem.objects.filter(kind="execution").values_list("priority", flat=True)) == {7}


def test_run_started_by_name_takes_a_place_like_any_other():
    limited(limit=1, key="{{ input.account }}")
    for _ in range(2):
        run_workflow("orders", {"account": "a"})
    drain()
    assert states() == [("WAITING", False), ("QUEUED", True)]


def test_replay_takes_a_place_like_any_other():
    limited(limit=1)
    first = run_workflow("orders", {})
    drain()
    verbs.cancel(Execution.objects.get(pk=first), by="test")
    run_workflow("orders", {})
    drain()
    replay(Execution.objects.get(pk=first), by="test")
    drain()
    assert states() == [("CANCELLED", False), ("WAITING", False), ("QUEUED", True)]


def test_drop_ends_the_newcomer_and_says_why():
    limited(limit=1, on_limit="drop")
    for _ in range(3):
        emit_event(EVENT, {})
    drain()
    assert states() == [("WAITING", False), ("CANCELLED", False), ("CANCELLED", False)]
    dropped = Execution.objects.filter(status="CANCELLED").order_by("id")[0]
    assert (dropped.error_code, dropped.started_at, dropped.steps.count()) == ("DROPPED", None, 0)
    assert dropped.error_summary == "Dropped: as many executions as the workflow allows at once were open"


def test_drop_takes_newcomers_again_when_the_place_is_free():
    limited(limit=1, on_limit="drop")
    for _ in range(2):
        emit_event(EVENT, {})
        drain()
        end_one()
        drain()
    assert list(Execution.objects.values_list("error_code", flat=True)) == ["", ""]


def test_those_who_waited_before_a_workflow_began_to_drop_go_on_waiting():
    automation = limited(limit=1)
    for _ in range(2):
        emit_event(EVENT, {})
    drain()
    settings = {"concurrency": {"limit": 1, "on_limit": "drop"}}
    update_workflow(automation, by="test", graph={"nodes": [LOG], "settings": settings})
    emit_event(EVENT, {})
    drain()
    assert states() == [("WAITING", False), ("QUEUED", True), ("CANCELLED", False)]


def test_replace_cancels_what_runs_for_the_newcomer():
    limited(limit=1, on_limit="replace")
    for _ in range(2):
        emit_event(EVENT, {})
        drain()
    assert states() == [("CANCELLED", False), ("WAITING", False)]


def test_replace_keeps_only_the_newest_of_those_that_came_together():
    limited(limit=2, on_limit="replace")
    for _ in range(5):
        emit_event(EVENT, {})
    drain()
    assert states() == [("CANCELLED", False)] * 3 + [("WAITING", False)] * 2
    replaced = Execution.objects.filter(status="CANCELLED")
    assert set(replaced.values_list("error_code", flat=True)) == {"REPLACED"}


def test_replace_goes_by_age_whatever_the_priority():
    concurrency = {"limit": 1, "on_limit": "replace"}
    nodes = [node("pause", "delay", {"seconds": 3_600})]
    automation = make("orders", {"nodes": nodes, "settings": {"concurrency": concurrency, "priority": 50}})
    for priority in (50, -50):
        settings = {"concurrency": concurrency, "priority": priority}
        update_workflow(automation, by="test", graph={"nodes": nodes, "settings": settings})
        emit_event(EVENT, {})
        dispatch_only()
    drain()
    assert states() == [("CANCELLED", False), ("WAITING", False)]
    assert list(Execution.objects.order_by("id").values_list("priority", flat=True)) == [50, -50]


def test_newcomer_waits_for_the_one_it_replaces_to_stop():
    limited(limit=1, on_limit="replace")
    emit_event(EVENT, {})
    drain()
    item = OutboxItem.objects.filter(kind="execution")
    item.update(status="CLAIMED", lease_owner="elsewhere", lease_expires_at="2999-01-01T00:00Z")
    emit_event(EVENT, {})
    dispatch_only()
    admit_only()
    first, second = Execution.objects.order_by("id")
    assert (first.status, first.cancel_requested_at is not None) == ("WAITING", True)
    assert (second.status, second.held_at is not None) == ("QUEUED", True)
    item.update(status="PENDING", lease_owner="", lease_expires_at=None, available_at=timezone.now())
    drain()
    assert states() == [("CANCELLED", False), ("WAITING", False)]


def test_workflow_whose_limit_was_taken_away_lets_everybody_in():
    automation = limited(limit=1)
    for _ in range(3):
        emit_event(EVENT, {})
    drain()
    update_workflow(automation, by="test", graph={"nodes": [LOG], "edges": []})
    assert admit_overlooked() == 2
    drain()
    assert items("admit") == 0
    assert states() == [("WAITING", False), ("WAITING", False), ("WAITING", False)]


def test_admission_done_twice_admits_no_more():
    automation = limited(limit=1)
    for _ in range(3):
        emit_event(EVENT, {})
    dispatch_only()
    place = Place(str(automation.id), str(automation.id))
    assert (len(admit([place])), admit([place]), admit([place, place])) == (1, [], [])
    assert (open_count(), items("execution")) == (1, 1)


def test_release_of_an_end_told_twice_admits_no_more():
    limited(limit=1)
    for _ in range(3):
        emit_event(EVENT, {})
    drain()
    ended = Execution.objects.get(held_at=None)
    end_one()
    for _ in range(2):
        gate.release([ended.id])
    drain()
    assert open_count() == 1


def test_release_costs_nothing_when_nobody_waits():
    limited(limit=5)
    emit_event(EVENT, {})
    drain()
    gate.release(Execution.objects.values_list("id", flat=True))
    assert items("admit") == 0


def test_place_of_a_deleted_execution_is_found_by_the_duty():
    limited(limit=1)
    for _ in range(2):
        emit_event(EVENT, {})
    drain()
    Execution.objects.get(held_at=None).delete()
    drain()
    assert open_count() == 0
    assert admit_overlooked() == 1
    drain()
    assert states() == [("WAITING", False)]


def test_event_dispatched_twice_is_held_once():
    limited(limit=1)
    emit_event(EVENT, {})
    item = OutboxItem.objects.get(kind="event")
    dispatch_only()
    item.save(force_insert=True)
    dispatch_only()
    assert (Execution.objects.count(), items("admit")) == (1, 1)


def test_cancelling_one_that_waits_leaves_the_queue_in_order():
    limited(limit=1)
    for _ in range(3):
        emit_event(EVENT, {})
    drain()
    second = Execution.objects.order_by("id")[1]
    verbs.cancel(second, by="test")
    end_one()
    drain()
    assert states() == [("CANCELLED", False), ("CANCELLED", False), ("WAITING", False)]


def test_items_of_a_deleted_workflow_are_settled():
    automation = limited(limit=1)
    emit_event(EVENT, {})
    dispatch_only()
    automation.delete()
    admit_only()
    assert OutboxItem.objects.count() == 0


def test_item_nobody_can_read_becomes_a_dead_letter_and_spares_its_neighbours():
    limited(limit=1)
    emit_event(EVENT, {})
    dispatch_only()
    OutboxItem.objects.create(kind="admit", payload={"automation_id": "none"}, max_attempts=1)
    admit_only()
    assert list(OutboxItem.objects.filter(kind="admit").values_list("status", flat=True)) == ["FAILED"]
    assert open_count() == 1


def test_run_execution_waits_for_the_place_of_a_held_execution():
    limited(limit=1)
    for _ in range(2):
        emit_event(EVENT, {})
    drain()
    held = Execution.objects.get(held_at__isnull=False)
    Runtime(patience_seconds=0).run_execution(held.id)
    assert states() == [("WAITING", False), ("QUEUED", True)]


def test_caller_of_a_dropped_execution_is_told():
    limited(limit=1, on_limit="drop")
    run_workflow("orders", {})
    make("caller", {"nodes": [node("call", "subworkflow", {"workflow": "orders", "input": {}})]})
    called = run_workflow("caller", {})
    drain()
    step = Execution.objects.get(pk=called).steps.get()
    assert (step.status, step.error_code) == ("FAILED", "CHILD_FAILED")


def test_event_the_database_refuses_to_hold_spares_its_neighbours_and_becomes_a_dead_letter():
    limited(limit=1, key=BY_ACCOUNT)
    for account in ("a", "poison", "b"):
        emit_event(EVENT, {"account": account})
    with refused("automate_execution", "key <> 'poison'"):
        for _ in range(4):
            drain()
            wake()
    assert sorted(Execution.objects.values_list("key", flat=True)) == ["a", "b"]
    assert [item.kind for item in OutboxItem.objects.filter(status="FAILED")] == ["event"]


@contextmanager
def refused(table: str, check: str) -> Iterator[None]:
    """Have the database refuse rows of a table that do not pass a check."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT for_a_test CHECK ({check}) NOT VALID")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT for_a_test")


@pytest.mark.timeout(600)
def test_worker_lost_at_any_commit_leaves_nobody_waiting():
    limited(LOG, limit=1)
    for commits in range(1, 100):
        for _ in range(3):
            emit_event(EVENT, {})
        lost = lose_after(commits)
        for _ in range(20):
            drain()
            if not OutboxItem.objects.exists():
                break
            wake()
        assert Execution.objects.exclude(status="SUCCESS").count() == 0
        assert Execution.objects.count() == 3 * commits
        if not lost:
            break
    assert commits > 5


@pytest.mark.timeout(600)
def test_threads_admitting_together_never_exceed_the_limit_and_let_everybody_finish():
    automation = limited(limit=3, key=BY_ACCOUNT)
    for n in range(200):
        emit_event(EVENT, {"account": "ab"[n % 2]})
    dispatch_only()
    places = [Place(str(automation.id), key) for key in "ab"]
    most: list[int] = []

    def work(number: int) -> int:
        chance, ended = random.Random(number), 0
        try:
            for _ in range(3_000):
                with connection.cursor() as cursor:
                    # Somebody else comes first now: without the lock, the next admission would overlook this one.
                    cursor.execute(
                        "UPDATE automate_execution SET priority = %s WHERE id = (SELECT id FROM automate_execution"
                        " WHERE held_at IS NOT NULL ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)",
                        [chance.randrange(1_000)],
                    )
                admit(chance.sample(places, chance.choice((1, 2))))
                rows = (
                    Execution.objects.filter(held_at=None, finished_at=None)
                    .values("key")
                    .annotate(n=Count("id"))
                )
                most.extend(row["n"] for row in rows)
                with connection.cursor() as cursor:
                    cursor.execute(
                        "UPDATE automate_execution SET status = 'SUCCESS', finished_at = clock_timestamp() WHERE id = "
                        "(SELECT id FROM automate_execution WHERE held_at IS NULL AND finished_at IS NULL"
                        " LIMIT 1 FOR UPDATE SKIP LOCKED)"
                    )
                    ended += cursor.rowcount
                if not Execution.objects.filter(finished_at=None).exists():
                    return ended
            return ended
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 200
    assert max(most) == 3
    assert items("execution") == 200
