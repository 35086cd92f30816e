"""Queues: first in, first out, within a tenant; every message is read exactly once, whoever is lost and when."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from automate import queues
from automate.events import emit_event, run_workflow
from automate.models import Execution, QueueMessage, StepRun
from automate.runtime.plans import find_handler
from automate_core.context import tenant_scope
from automate_core.errors import PermanentError
from automate_core.models import DEFAULT_TENANT_ID, Tenant
from tests.factories.engine import EVENT, drain, edge, finish, node, workflow
from tests.factories.killing import lose_after

pytestmark = pytest.mark.django_db(transaction=True)


def put(*bodies: Any, queue: str = "jobs", tenant_id: UUID = DEFAULT_TENANT_ID) -> None:
    with transaction.atomic():
        queues.write(queue, bodies, tenant_id=tenant_id)


def take(limit: int = 100, *, queue: str = "jobs", tenant_id: UUID = DEFAULT_TENANT_ID) -> list[Any]:
    with transaction.atomic():
        return queues.read(queue, limit=limit, tenant_id=tenant_id)


def outputs(execution: Execution) -> dict[str, Any]:
    return dict(StepRun.objects.filter(execution=execution).values_list("path", "output_data"))


def reader(**config: Any) -> None:
    workflow(
        node("read", "queue-reader", {"queue": "jobs", **config}),
        node("got", "transform", {"output": "{{ steps.read.output.messages }}"}),
        node("none", "transform", {"output": "nothing"}),
        edges=[edge("read", "got"), edge("read", "none", "empty")],
    )


def drainer() -> None:
    """A loop that reads until there is nothing left, and hands on what it read."""
    workflow(
        node("all", "while", {"rule": True, "max_iterations": 50}),
        node("read", "queue-reader", {"queue": "jobs", "limit": 2}),
        node("hand_on", "queue-writer", {"queue": "done", "messages": "{{ steps.read.output.messages }}"}),
        node("stop", "break"),
        edges=[
            edge("all", "read", "item"), edge("read", "hand_on", "messages"), edge("read", "stop", "empty"),
        ],
    )  # fmt: skip


def test_messages_come_in_the_order_they_were_written() -> None:
    put({"n": 1}, [2], "three")
    put(None)
    assert take(2) == [{"n": 1}, [2]]
    assert take() == ["three", None]
    assert take() == []


def test_queues_and_tenants_do_not_see_each_other() -> None:
    other = Tenant.objects.create(slug="other", name="Other")
    put("mine")
    put("elsewhere", queue="more")
    put("theirs", tenant_id=other.id)
    assert take() == ["mine"]
    assert take(tenant_id=other.id) == ["theirs"]
    with tenant_scope(other.id):
        assert QueueMessage.objects.count() == 0
    assert QueueMessage.objects.get().queue == "more"


def test_readers_at_once_never_take_the_same_message() -> None:
    put(*range(60))
    taken: list[list[Any]] = []
    both = threading.Barrier(2)

    def work() -> None:
        try:
            both.wait(60)
            while found := take(7):
                taken.append(found)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(n for batch in taken for n in batch) == list(range(60))
    assert QueueMessage.objects.count() == 0


def test_message_held_by_another_reader_is_passed_over_and_comes_back_when_it_fails() -> None:
    put("a", "b")
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                assert queues.read("jobs", limit=1, tenant_id=DEFAULT_TENANT_ID) == ["a"]
                held.set()
                over.wait(60)
                transaction.set_rollback(True)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    assert take() == ["b"]
    over.set()
    thread.join(60)
    assert take() == ["a"]


def test_reading_stops_when_the_batch_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "BATCH_BYTES", 1_000)
    put(*["x" * 600] * 3)
    assert (len(take()), len(take()), len(take())) == (2, 1, 0)


def test_queue_that_is_full_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MAX_MESSAGES", 3)
    put(1, 2)
    with pytest.raises(queues.QueueFull, match="no room for 2 more"):
        put(3, 4)
    put(3)
    with pytest.raises(queues.QueueFull):
        put(4)
    assert take() == [1, 2, 3]


def test_message_that_is_too_large_is_refused_with_its_neighbours() -> None:
    with pytest.raises(PermanentError) as caught:
        put("small", "x" * 256_000)
    assert caught.value.code == "PAYLOAD_TOO_LARGE"
    assert QueueMessage.objects.count() == 0


def test_secrets_are_not_kept_in_messages() -> None:
    put({"password": "hunter2-hunter2", "n": 1})
    assert QueueMessage.objects.get().body == {"password": "***REDACTED***", "n": 1}


def test_writer_adds_messages_and_reader_takes_them() -> None:
    workflow(
        node("one", "queue-writer", {"queue": "{{ input.queue }}", "message": {"n": "{{ input.n }}"}}),
        node("more", "queue_writer", {"queue": "jobs", "messages": ["{{ input.n }}", "x"]}),
        slug="writes",
    )
    emit_event(EVENT, {"queue": "jobs", "n": 5})
    execution = finish()
    assert outputs(execution) == {
        "one": {"queue": "jobs", "written": 1},
        "more": {"queue": "jobs", "written": 2},
    }
    assert list(QueueMessage.objects.values_list("written_by", flat=True)) == [execution.id] * 3
    workflow(node("read", "queue-reader", {"queue": "jobs", "limit": 100}), slug="reads", trigger_type="manual",
             trigger_config={})  # fmt: skip
    read = finish(run_workflow("reads", {}))
    assert outputs(read) == {"read": {"queue": "jobs", "count": 3, "messages": [{"n": 5}, 5, "x"]}}


def test_reader_leaves_by_empty_when_there_is_nothing() -> None:
    reader()
    emit_event(EVENT, {})
    execution = finish()
    assert outputs(execution) == {
        "read": {"queue": "jobs", "count": 0, "messages": []}, "got": None, "none": "nothing",
    }  # fmt: skip
    assert StepRun.objects.get(path="read").route == "empty"
    assert StepRun.objects.get(path="got").status == "SKIPPED"


def test_reader_in_a_loop_drains_the_queue() -> None:
    put(*range(5))
    drainer()
    emit_event(EVENT, {})
    assert finish().status == "SUCCESS"
    assert take(queue="done") == [0, 1, 2, 3, 4]
    assert take() == []


def test_each_message_is_read_and_written_exactly_once_whenever_the_worker_is_lost() -> None:
    drainer()
    for commits in range(1, 100):
        given = [commits * 10 + n for n in range(5)]
        put(*given)
        emit_event(EVENT, {})
        lost = lose_after(commits)
        drain()
        execution = finish(Execution.objects.order_by("-id").values_list("id", flat=True)[0])
        assert execution.status == "SUCCESS"
        # What a worker held when it was lost is passed by until its transaction is gone, and read after the rest.
        assert sorted(take(queue="done")) == given
        assert QueueMessage.objects.count() == 0
        if not lost:
            assert commits > 8
            return
    raise AssertionError("Not over after 100 commits")


def test_reader_that_waits_on_a_lost_worker_loses_nothing() -> None:
    put("a")
    reader()
    emit_event(EVENT, {})
    lost = 0
    for commits in range(1, 4):
        lost += lose_after(commits)
    assert lost > 0
    execution = finish()
    assert outputs(execution)["got"] == ["a"]
    assert QueueMessage.objects.count() == 0


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        ("queue-writer", {"message": 1}, "queue"),
        ("queue-writer", {"queue": "a\nb", "message": 1}, "queue"),
        ("queue-writer", {"queue": "jobs"}, "message"),
        ("queue-writer", {"queue": "jobs", "message": 1, "messages": [1]}, "message"),
        ("queue-writer", {"queue": "jobs", "messages": {}}, "messages"),
        ("queue-reader", {}, "queue"),
        ("queue-reader", {"queue": "x" * 101}, "queue"),
        ("queue-reader", {"queue": "jobs", "limit": 0}, "limit"),
        ("queue-reader", {"queue": "jobs", "limit": 101}, "limit"),
        ("queue-reader", {"queue": "jobs", "limit": True}, "limit"),
    ],
)
def test_config_that_cannot_be_run_is_refused(kind: str, config: dict[str, Any], field: str) -> None:
    handler = find_handler(kind)
    assert handler is not None
    assert [one.field for one in handler.problems(config)] == [field]


@pytest.mark.parametrize(
    ("kind", "config", "why"),
    [
        ("queue-reader", {"queue": "jobs", "limit": "{{ input.bad }}"}, "limit must be a whole number"),
        ("queue-reader", {"queue": "{{ input.none }}"}, "queue must be a text"),
        ("queue-writer", {"queue": "jobs", "messages": "{{ input.bad }}"}, "messages must be a list"),
    ],
)
def test_template_that_gives_something_else_fails_the_step(
    kind: str, config: dict[str, Any], why: str
) -> None:
    workflow(node("q", kind, config))
    emit_event(EVENT, {"bad": "many", "none": None})
    execution = finish()
    assert (execution.status, execution.error_code) == ("FAILED", "PERMANENT_ERROR")
    assert execution.error_summary.startswith(f"q: {why}")


def test_full_queue_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MAX_MESSAGES", 1)
    put("old")
    workflow(node("w", "queue-writer", {"queue": "jobs", "message": "new"}, retry={"max_attempts": 3}))
    emit_event(EVENT, {})
    drain()
    assert [row.error_code for row in StepRun.objects.all()] == ["TRANSIENT_ERROR"]
    assert take() == ["old"]
    finish()
    assert take() == ["new"]
