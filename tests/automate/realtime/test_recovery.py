"""What watchers see converges with the database, whatever breaks on the way."""

from __future__ import annotations

import socket as sockets
import time
from typing import Any

import pytest
from django.db import connection

from automate.events import run_workflow
from automate.executions import control
from automate.models import Execution, LiveSeat, LiveWatch, StepRun
from automate.realtime import layers
from automate_core.steps import Effect, Wait
from tests.factories.engine import edge, lose_workers, node, workflow
from tests.factories.live import hear, hear_until

pytestmark = pytest.mark.django_db(transaction=True)

LAYERS = ["memory", "postgres", "redis"]
ENDS = ("workflow_completed", "workflow_failed", "workflow_cancelled")


def of_node(heard: list[dict[str, Any]], key: str) -> list[str]:
    return [one["type"] for one in heard if one.get("node_id") == key]


def test_layer_that_loses_everything_costs_no_message(site, worker, key, monkeypatch):
    async def lost(group: str, message: Any) -> None:
        raise ConnectionError("the layer is down")

    monkeypatch.setattr(layers, "group_send", lost)
    automation = workflow(node("one", "merge"), node("two", "merge"))
    with site.follow(automation.id, key=key) as socket:
        assert hear(socket)["type"] == "state_sync"
        run_workflow("orders", {})
        heard = hear_until(socket, *ENDS)
    assert [one["seq"] for one in heard] == [1, 2, 3, 4, 5, 6]


def test_message_that_is_lost_is_told_before_the_next(site, worker, key, monkeypatch, register_step, gate):
    """Every second message gets lost on the way; none is missing at the end, and all are in order."""
    send, count = layers.group_send, [0]

    async def careless(group: str, message: Any) -> None:
        count[0] += 1
        kept = [one for place, one in enumerate(message["messages"]) if (place + count[0]) % 2]
        await send(group, {**message, "messages": kept})

    monkeypatch.setattr(layers, "group_send", careless)
    register_step("call", Effect.IDEMPOTENT)
    automation = workflow(*(node(f"n{place}", "call") for place in range(10)))
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        run_workflow("orders", {})
        heard = hear_until(socket, *ENDS)
    assert [one["seq"] for one in heard] == list(range(1, 23))


def test_newcomer_hides_nothing_from_those_who_are_there(site, worker, key, monkeypatch, register_step, gate):
    """A newcomer's state may be ahead of what others were told; they still get all of it."""

    async def lost(group: str, message: Any) -> None:
        raise ConnectionError("the layer is down")

    monkeypatch.setattr(layers, "group_send", lost)
    monkeypatch.setattr("automate.realtime.hub.LONGEST_PAUSE_SECONDS", 4.0)
    monkeypatch.setattr("automate.realtime.hub.LOOK_SECONDS", 4.0)
    register_step("held", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or {"ok": 1})
    automation = workflow(node("one", "merge"), node("held", "held"))
    with site.follow(automation.id, key=key) as steady:
        hear(steady)
        time.sleep(0.6)  # the first look is over
        run_workflow("orders", {})
        assert gate.entered.wait(60)
        with site.follow(automation.id, key=key) as newcomer:
            assert hear(newcomer)["seq"] == 4
            gate.open.set()
            assert [one["seq"] for one in hear_until(newcomer, *ENDS)] == [5, 6]
        assert [one["seq"] for one in hear_until(steady, *ENDS)] == [1, 2, 3, 4, 5, 6]


def test_listener_that_is_terminated_listens_again(site, worker, key):
    automation = workflow(node("one", "merge"))
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN \"automate_live\"%%'"
            )
            # One, unless that of the test before has not gone yet.
            assert cursor.fetchone()[0] >= 1
        run_workflow("orders", {})
        assert [one["seq"] for one in hear_until(socket, *ENDS)] == [1, 2, 3, 4]
        run_workflow("orders", {})
        assert [one["seq"] for one in hear_until(socket, *ENDS)] == [1, 2, 3, 4]


@pytest.mark.parametrize("layer", ["redis"], indirect=True)
def test_redis_that_is_gone_for_a_while_costs_no_message(site, worker, key, valkey_server):
    automation = workflow(node("one", "merge"))
    client = valkey_server.client()
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        client.execute_command("CLIENT", "PAUSE", "2500", "ALL")
        run_workflow("orders", {})
        assert [one["seq"] for one in hear_until(socket, *ENDS)] == [1, 2, 3, 4]
        client.ping()
        run_workflow("orders", {})
        assert [one["seq"] for one in hear_until(socket, *ENDS)] == [1, 2, 3, 4]
    client.close()


@pytest.mark.parametrize("layer", LAYERS, indirect=True)
def test_socket_opened_in_the_middle_of_a_run_goes_on_from_its_state(site, worker, key, register_step, gate):
    register_step("held", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or {"ok": 1})
    automation = workflow(node("one", "merge"), node("held", "held"), node("two", "merge"))
    execution_id = str(run_workflow("orders", {}))
    assert gate.entered.wait(60)
    with site.follow(automation.id, key=key) as socket:
        first = hear(socket)
        gate.open.set()
        heard = hear_until(socket, *ENDS)
    state = first["state"]
    assert (state["status"], state["execution_id"], state["seq"]) == ("running", execution_id, 4)
    assert list(state["executing_nodes"]) == ["held"]
    assert set(state["executing_nodes"]["held"]) >= {"node_id", "node_type", "started_at", "duration_seconds"}
    assert [one["node_id"] for one in state["completed_nodes"]] == ["one"]
    assert state["completed_count"] == 1
    assert [one["seq"] for one in heard] == [5, 6, 7, 8]


def test_state_after_the_end_equals_the_database(site, worker, key, register_step):
    def fails(config: Any, context: Any) -> Any:
        raise ValueError("no such card")

    register_step("fails", Effect.AT_MOST_ONCE, fails)
    automation = workflow(node("one", "merge"), node("bad", "fails"), node("never", "merge"))
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        execution_id = run_workflow("orders", {})
        heard = hear_until(socket, *ENDS)
    assert heard[-1]["type"] == "workflow_failed"
    assert "no such card" in heard[-1]["error"]
    assert [one["will_retry"] for one in heard if one["type"] == "node_failed"] == [False]
    with site.follow(automation.id, key=key) as socket:
        state = hear(socket)["state"]
    execution = Execution.objects.get(pk=execution_id)
    assert (state["status"], state["seq"], state["error"]) == (
        "failed",
        execution.seq,
        execution.error_summary,
    )
    assert [one["node_id"] for one in state["failed_nodes"]] == ["bad"]


@pytest.mark.parametrize("layer", LAYERS, indirect=True)
def test_worker_lost_in_the_middle_leaves_no_gap(site, key, register_step, gate, transactional_db):
    from tests.factories.live import working

    register_step("held", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or {"ok": 1})
    automation = workflow(node("one", "merge"), node("held", "held"), node("two", "merge"))
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        with working() as lost:
            run_workflow("orders", {})
            assert gate.entered.wait(60)
            lost.store.forget(*list(lost.store._held))  # as a process that is gone forgets
            assert lose_workers() == 1
            gate.open.set()
        with working():
            heard = hear_until(socket, *ENDS)
    assert [one["seq"] for one in heard] == list(range(1, len(heard) + 1))
    assert heard[-1]["type"] == "workflow_completed"
    assert StepRun.objects.filter(path="held").count() == 2


def test_waiting_and_cancelled_executions_are_told_of(site, worker, key, register_step):
    register_step("waits", Effect.PURE, lambda config, context: Wait(seconds=3600))
    automation = workflow(node("one", "merge"), node("long", "waits"))
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        execution_id = run_workflow("orders", {})
        heard = hear_until(socket, "workflow_waiting")
        control.cancel(Execution.objects.get(pk=execution_id), by="test")
        heard += hear_until(socket, *ENDS)
    assert [one["type"] for one in heard[-4:]] == [
        "node_waiting", "workflow_waiting", "node_cancelled", "workflow_cancelled",
    ]  # fmt: skip
    assert [one["seq"] for one in heard] == list(range(1, len(heard) + 1))


def test_nobody_watching_leaves_no_trace_and_says_nothing(site, worker, key, monkeypatch):
    sent: list[str] = []

    async def noted(group: str, message: Any) -> None:
        sent.append(group)

    monkeypatch.setattr(layers, "group_send", noted)
    monkeypatch.setattr("automate.realtime.hub.LINGER_SECONDS", 0.1)
    automation = workflow(node("one", "merge"))
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        assert (LiveWatch.objects.count(), LiveSeat.objects.count()) == (1, 1)
    until = time.monotonic() + 60
    while LiveWatch.objects.exists() or LiveSeat.objects.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    execution_id = run_workflow("orders", {})
    while not Execution.objects.get(pk=execution_id).finished_at:
        time.sleep(0.02)
    assert sent == []


@pytest.mark.parametrize(
    ("limit", "value"),
    [("subscriptions.QUEUE_LIMIT_BYTES", 200_000), ("consumers.STUCK_SECONDS", 0.5)],
    ids=["too much waits", "nothing is taken"],
)
def test_reader_who_takes_nothing_is_dropped(limit, value, site, worker, key, monkeypatch):
    monkeypatch.setattr(f"automate.realtime.{limit}", value)
    automation = workflow(
        node("each", "for_each", {"items": list(range(2_000))}),
        node("log", "logging", {"message": "x" * 3_000}),
        edges=[edge("each", "log", "item")],
    )
    raw = sockets.create_connection(("127.0.0.1", site.port))
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    raw.sendall(
        f"GET /ws/workflow/{automation.id}/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-API-Key: {key}\r\n\r\n".encode()
    )
    assert raw.recv(12) == b"HTTP/1.1 101"
    until = time.monotonic() + 60
    while not LiveSeat.objects.exists():
        assert time.monotonic() < until
    run_workflow("orders", {})
    while LiveSeat.objects.exists():
        assert time.monotonic() < until + 60, "the slow reader was never dropped"
        time.sleep(0.1)
    raw.close()
