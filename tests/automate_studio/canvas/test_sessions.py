"""Sessions over HTTP: what nodes keep from call to call, for whom, for how long, and one call at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from automate.models import QueueMessage
from automate_core.models import DEFAULT_TENANT_ID, Role
from automate_studio.canvas import sessions
from automate_studio.models import DevelopmentSession
from tests.automate_studio.canvas.conftest import Canvas
from tests.automate_studio.canvas.test_running import execute, ran

pytestmark = pytest.mark.django_db(transaction=True)


def count(canvas: Canvas, node_id: str, session: str | None = None) -> int:
    more = {} if session is None else {"session_id": session}
    return int(ran(canvas, node_id, **more)["output"]["data"]["count"])


def age(**by: float) -> None:
    DevelopmentSession.all_tenants.update(expires_at=F("expires_at") - timedelta(**by))


def test_counter_goes_on_from_call_to_call_of_a_session(canvas: Canvas) -> None:
    node_id = canvas.add("counter", {"start": 10})
    first = ran(canvas, node_id)
    assert len(first["session_id"]) == 32
    assert first["output"]["data"] == {"name": node_id, "count": 11}
    assert [count(canvas, node_id, first["session_id"]) for _ in range(3)] == [12, 13, 14]
    assert count(canvas, node_id) == 11


def test_variables_are_there_for_other_nodes_of_the_session(canvas: Canvas) -> None:
    setter = canvas.add("set", {"values": {"who": "Ada"}})
    reader = canvas.add("data-transformer", {"output": "Hello {{ variables.who }}"})
    session = ran(canvas, setter)["session_id"]
    assert ran(canvas, reader, session_id=session)["output"]["data"] == "Hello Ada"
    assert ran(canvas, reader)["code"] == "TEMPLATE_ERROR"


def stepped(canvas: Canvas, node_id: str, times: int) -> list[dict[str, Any]]:
    session = sessions.new_name()
    return [ran(canvas, node_id, session_id=session)["output"] for _ in range(times)]


@pytest.mark.parametrize(
    ("kind", "form"),
    [("for-each", {"items": ["a", "b"]}), ("string-iterator", {"text": "a, b"})],
)
def test_each_call_steps_one_iteration(canvas: Canvas, kind: str, form: dict[str, Any]) -> None:
    over = {"data": {"item": None, "index": 2, "count": 2, "remaining": 0, "done": True}, "route": "done"}
    assert stepped(canvas, canvas.add(kind, form), 4) == [
        {"data": {"item": "a", "index": 0, "count": 2, "remaining": 1, "done": False}, "route": "item"},
        {"data": {"item": "b", "index": 1, "count": 2, "remaining": 0, "done": True}, "route": "item"},
        over,
        over,
    ]


def test_other_items_begin_anew(canvas: Canvas) -> None:
    node_id = canvas.add("for-each", {"items": "{{ input.items }}"})
    session = sessions.new_name()

    def item(items: list[str]) -> Any:
        return ran(canvas, node_id, None, {"items": items}, session_id=session)["output"]["data"]["item"]

    assert [item(["a", "b"]), item(["a", "b"]), item(["c"]), item(["c"])] == ["a", "b", "c", None]


def test_while_is_stepped_until_its_rule_fails(canvas: Canvas) -> None:
    node_id = canvas.add("while", {"rule": {"<": [{"var": "index"}, 2]}})
    outputs = stepped(canvas, node_id, 4)
    assert [(one["data"], one["route"]) for one in outputs] == [
        ({"index": 0, "done": False}, "item"), ({"index": 1, "done": False}, "item"),
        ({"index": 2, "done": True}, "done"), ({"index": 2, "done": True}, "done"),
    ]  # fmt: skip


def test_while_that_never_ends_fails_after_its_iterations(canvas: Canvas) -> None:
    node_id = canvas.add("while", {"rule": True, "max_iterations": 1})
    session = sessions.new_name()
    told = [ran(canvas, node_id, session_id=session) for _ in range(2)]
    assert [(one["success"], one.get("code")) for one in told] == [(True, None), (False, "LOOP_LIMIT")]


def test_failed_node_keeps_nothing(canvas: Canvas) -> None:
    node_id = canvas.add("counter")
    session = ran(canvas, node_id)["session_id"]
    failed = ran(canvas, node_id, {"step": "{{ input.bad }}"}, {"bad": "x"}, session_id=session)
    assert failed["success"] is False
    assert ran(canvas, node_id, {}, session_id=session)["output"]["data"]["count"] == 2


def test_session_is_forgotten_after_half_an_hour(canvas: Canvas) -> None:
    node_id = canvas.add("counter")
    session = ran(canvas, node_id)["session_id"]
    age(minutes=29)
    assert count(canvas, node_id, session) == 2
    age(minutes=31)
    assert count(canvas, node_id, session) == 1


def test_each_call_keeps_the_session_for_half_an_hour_more(canvas: Canvas) -> None:
    node_id = canvas.add("counter")
    session = ran(canvas, node_id)["session_id"]
    for _ in range(3):
        age(minutes=20)
        count(canvas, node_id, session)
    assert count(canvas, node_id, session) == 5


def test_name_opens_the_session_of_nobody_else(canvas: Canvas, as_role: Callable[..., Canvas]) -> None:
    node_id = canvas.add("counter")
    assert [count(canvas, node_id, "shared") for _ in range(2)] == [1, 2]
    assert count(as_role(canvas, Role.EDITOR), node_id, "shared") == 1
    made = canvas.client.post("/api/workflow/", {"name": "Another"}, "application/json").json()
    other = Canvas(canvas.client, made["id"])
    assert count(other, other.add("counter"), "shared") == 1
    assert count(canvas, node_id, "shared") == 3


def test_nothing_of_one_tenant_is_in_a_session_of_another(
    canvas: Canvas, key_client: Callable[..., Any], other_tenant: Any
) -> None:
    node_id = canvas.add("counter", {"name": "n"})
    count(canvas, node_id, "shared")
    client = key_client(tenant_id=other_tenant.pk)
    made = client.post("/api/workflow/", {"name": "Theirs"}, "application/json").json()
    theirs = Canvas(client, made["id"])
    assert count(theirs, theirs.add("counter", {"name": "n"}), "shared") == 1
    assert DevelopmentSession.all_tenants.filter(tenant_id=DEFAULT_TENANT_ID).count() == 1


def test_calls_at_once_in_one_session_follow_each_other(
    canvas: Canvas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PATIENCE_SECONDS", 60.0)
    node_id = canvas.add("counter", {"name": "n"})

    def call(_: int) -> int:
        try:
            return count(canvas, node_id, "busy")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(call, range(12)))
    assert sorted(counts) == list(range(1, 13))


def test_call_that_waits_too_long_for_the_one_before_is_409(
    canvas: Canvas, monkeypatch: pytest.MonkeyPatch
) -> None:
    node_id = canvas.add("counter")
    count(canvas, node_id, "held")
    monkeypatch.setattr(sessions, "PATIENCE_SECONDS", 0.1)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                DevelopmentSession.all_tenants.select_for_update().get(name="held")
                held.set()
                over.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    answer = execute(canvas, node_id, session_id="held")
    free = execute(canvas, node_id, session_id="free")
    over.set()
    thread.join(60)
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (
        409,
        "CONFLICT",
        "1",
    )
    assert free.status_code == 200
    assert count(canvas, node_id, "held") == 2


def test_session_beyond_the_limit_takes_the_place_of_the_oldest(
    canvas: Canvas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
    node_id = canvas.add("counter", {"name": "n"})
    for name in ("a", "b", "c"):
        count(canvas, node_id, name)
    assert count(canvas, node_id, "a") == 2
    count(canvas, node_id, "d")
    assert sorted(DevelopmentSession.objects.values_list("name", flat=True)) == ["a", "c", "d"]


def test_old_sessions_go_when_a_new_one_begins(canvas: Canvas) -> None:
    node_id = canvas.add("counter")
    count(canvas, node_id, "old")
    age(minutes=31)
    count(canvas, node_id, "new")
    assert [one.name for one in DevelopmentSession.objects.all()] == ["new"]


def test_session_that_keeps_too_much_fails_the_node(canvas: Canvas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_STATE_BYTES", 1_000)
    node_id = canvas.add("set", {"values": {"text": "{{ input.text }}"}})
    told = ran(canvas, node_id, None, {"text": "x" * 2_000}, session_id="s")
    assert (told["success"], told["code"]) == (False, "PAYLOAD_TOO_LARGE")
    assert ran(canvas, node_id, None, {"text": "short"}, session_id="s")["success"] is True


def test_database_step_that_keeps_too_much_leaves_nothing(
    canvas: Canvas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_STATE_BYTES", 1)
    node_id = canvas.add("queue-writer", {"queue": "jobs", "message": 1})
    assert ran(canvas, node_id)["code"] == "PAYLOAD_TOO_LARGE"
    assert QueueMessage.objects.count() == 0


def test_secrets_are_not_kept_in_sessions(canvas: Canvas) -> None:
    node_id = canvas.add("set", {"values": {"password": "{{ input.word }}"}})
    ran(canvas, node_id, None, {"word": "hunter2-hunter2"})
    assert DevelopmentSession.objects.get().state["variables"] == {"password": "***REDACTED***"}


def test_sessions_go_with_their_workflow(canvas: Canvas) -> None:
    count(canvas, canvas.add("counter"))
    assert canvas.delete().status_code == 204
    assert DevelopmentSession.objects.count() == 0
