"""A node that calls outside is tried out without an open transaction; its session is leased to it meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from automate_api.models import IdempotencyRecord
from automate_core.ids import uuid7
from automate_core.steps import Effect, StepContext, StepResult
from automate_studio.canvas import sessions
from automate_studio.models import DevelopmentSession, NodeData
from tests.automate_studio.canvas.conftest import Canvas
from tests.automate_studio.canvas.test_running import execute, ran
from tests.factories.scripted import Gate, ScriptedStep

pytestmark = pytest.mark.django_db(transaction=True)

Scripted = Callable[..., ScriptedStep]


class Gone(BaseException):
    """The process went away."""


def counted(config: Any, context: StepContext) -> StepResult:
    count = context.scope["variables"].get("n", 0) + 1
    return StepResult(count, variables={"n": count})


@contextmanager
def in_a_call(canvas: Canvas, node_id: str, gate: Gate, **more: Any) -> Iterator[Future[Any]]:
    """Try a node out on another thread, until it is inside the gate; it may go on afterwards."""

    def call() -> Any:
        try:
            return execute(canvas, node_id, **more)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call)
        try:
            assert gate.entered.wait(60)
            yield future
        finally:
            gate.open.set()


def test_no_transaction_is_open_while_a_node_calls_outside(canvas: Canvas, scripted: Scripted) -> None:
    found: list[Any] = []

    def look(config: Any, context: StepContext) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
            )
            found.append(cursor.fetchone())
            found.append(DevelopmentSession.all_tenants.select_for_update(nowait=True).get().name)

    scripted("t.call", Effect.AT_MOST_ONCE, look)
    headers = {"X-Request-ID": "r1"}
    told = ran(canvas, canvas.add("t.call"), {"a": 1}, session_id="s", headers=headers)
    assert (told["success"], found) == (True, [(0,), "s"])


def test_calls_at_once_in_one_session_lose_no_count(
    canvas: Canvas, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PATIENCE_SECONDS", 60.0)
    scripted("t.call", Effect.AT_MOST_ONCE, counted)
    outside, inside = canvas.add("t.call"), canvas.add("counter", {"name": "n"})

    def call(number: int) -> int:
        try:
            data = ran(canvas, inside if number % 2 else outside, session_id="busy")["output"]["data"]
            return int(data["count"] if number % 2 else data)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(call, range(12)))
    assert sorted(counts) == list(range(1, 13))


def test_call_that_waits_too_long_for_a_lease_is_409_and_other_sessions_are_free(
    canvas: Canvas, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PATIENCE_SECONDS", 0.1)
    gate = Gate()
    scripted("t.call", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through())
    slow, counter = canvas.add("t.call"), canvas.add("counter")
    with in_a_call(canvas, slow, gate, session_id="held") as first:
        refused = execute(canvas, counter, session_id="held")
        assert (refused.status_code, refused.json()["code"], refused.headers["Retry-After"]) == (
            409, "CONFLICT", "1",
        )  # fmt: skip
        assert ran(canvas, counter, session_id="free")["success"] is True
    assert first.result().json()["success"] is True
    assert ran(canvas, counter, session_id="held")["output"]["data"]["count"] == 1


def test_session_of_a_process_that_went_away_is_free_when_its_lease_ends(canvas: Canvas) -> None:
    counter = canvas.add("counter")
    ran(canvas, counter, session_id="s")
    DevelopmentSession.all_tenants.update(lease=uuid7(), leased_until=Now() - timedelta(seconds=1))
    assert ran(canvas, counter, session_id="s")["output"]["data"]["count"] == 2


def test_node_that_lost_its_session_has_failed_and_kept_what_it_gave(
    canvas: Canvas, scripted: Scripted
) -> None:
    def outlast(config: Any, context: StepContext) -> StepResult:
        DevelopmentSession.all_tenants.update(lease=uuid7())
        return counted(config, context)

    scripted("t.call", Effect.AT_MOST_ONCE, outlast)
    told = ran(canvas, canvas.add("t.call"), session_id="s")
    assert (told["success"], told["code"], told["output"]["data"]) == (False, "CONFLICT", None)
    assert DevelopmentSession.all_tenants.get().state == {}


@pytest.mark.parametrize("failing", [False, True])
def test_session_is_free_after_a_call(canvas: Canvas, scripted: Scripted, failing: bool) -> None:
    def act(config: Any, context: StepContext) -> None:
        if failing:
            raise ValueError("no")

    scripted("t.call", Effect.AT_MOST_ONCE, act)
    ran(canvas, canvas.add("t.call"), session_id="s")
    session = DevelopmentSession.all_tenants.get()
    assert (session.lease, session.leased_until) == (None, None)


def test_session_somebody_is_at_work_in_is_not_pushed_out(
    canvas: Canvas, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 1)
    gate = Gate()
    scripted("t.call", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through())
    slow, counter = canvas.add("t.call"), canvas.add("counter")
    with in_a_call(canvas, slow, gate, session_id="held") as first:
        ran(canvas, counter, session_id="new")
    assert first.result().json()["success"] is True


def test_workflow_deleted_while_its_node_runs_is_404_and_keeps_nothing(
    canvas: Canvas, scripted: Scripted
) -> None:
    def act(config: Any, context: StepContext) -> None:
        assert canvas.delete().status_code == 204

    scripted("t.call", Effect.AT_MOST_ONCE, act)
    answer = execute(canvas, canvas.add("t.call"))
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert NodeData.all_tenants.count() == 0


def test_edit_made_while_a_node_runs_stays(canvas: Canvas, scripted: Scripted) -> None:
    def act(config: Any, context: StepContext) -> None:
        canvas.patch(f"nodes/{node_id}/", {"form_values": {"by": "somebody else"}})

    scripted("t.call", Effect.AT_MOST_ONCE, act)
    node_id = canvas.add("t.call")
    assert ran(canvas, node_id, {"by": "me"})["form_values"] == {"by": "me"}
    (node,) = canvas.get("canvas_data/").json()["nodes"]
    assert node["form_values"] == {"by": "somebody else"}


def test_repeat_of_a_request_whose_node_still_runs_is_409(canvas: Canvas, scripted: Scripted) -> None:
    gate = Gate()
    step = scripted("t.call", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through())
    node_id = canvas.add("t.call")
    headers = {"X-Request-ID": "r1"}
    with in_a_call(canvas, node_id, gate, headers=headers) as first:
        assert execute(canvas, node_id, headers=headers).status_code == 409
    again = execute(canvas, node_id, headers=headers)
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.result().content, "true")
    assert len(step.calls) == 1


def test_repeat_of_a_request_whose_process_went_away_says_that_nobody_knows(
    canvas: Canvas, scripted: Scripted
) -> None:
    def vanish(config: Any, context: StepContext) -> None:
        raise Gone

    step = scripted("t.call", Effect.AT_MOST_ONCE, vanish)
    node_id = canvas.add("t.call")
    headers = {"X-Request-ID": "r1"}
    with pytest.raises(Gone):
        execute(canvas, node_id, headers=headers)
    assert execute(canvas, node_id, headers=headers).status_code == 409
    IdempotencyRecord.all_tenants.update(held_until=Now() - timedelta(seconds=1))
    told = execute(canvas, node_id, headers=headers).json()
    assert (told["success"], told["code"]) == (False, "OUTCOME_UNKNOWN")
    assert len(step.calls) == 1
