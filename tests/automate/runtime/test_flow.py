"""Flow control beside loops: switch, partial merges, error routes, retries, compensation, limits and deadlines."""

from __future__ import annotations

import threading
import time

import pytest

from automate.events import emit_event, run_workflow
from automate.executions import signals
from automate.models import Execution, StepRun
from automate.runtime import Runtime
from automate_core.errors import NotYet, PermanentError, TransientError
from automate_core.models import OutboxItem
from automate_core.steps import Effect, Wait
from tests.factories.engine import EVENT, drain, edge, finish, lose_workers, node, steps, wake, workflow
from tests.factories.killing import outcomes_under_kills
from tests.factories.scripted import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

SOON = {"initial_seconds": 0.001, "max_attempts": 3}


def run(payload=None, **more):
    emit_event(EVENT, payload or {})
    return finish(**more)


def statuses(execution):
    return {path: status for path, _, status in steps(execution)}


def out(path, execution=None):
    return StepRun.objects.filter(path=path).order_by("-attempt").first().output_data


def test_switch_takes_the_first_case_that_holds():
    cases = [
        {"route": "big", "rule": {">": [{"var": "event.payload.n"}, 10]}},
        {"route": "odd", "rule": {"==": [{"%": [{"var": "event.payload.n"}, 2]}, 1]}},
    ]
    workflow(
        node("which", "switch", {"cases": cases}), *(node(key, "merge") for key in ("big", "odd", "other")),
        edges=[edge("which", "big", "big"), edge("which", "odd", "odd"), edge("which", "other", "default")],
    )  # fmt: skip
    for number, taken in ((11, "big"), (3, "odd"), (4, "other")):
        emit_event(EVENT, {"n": number})
        drain()
        found = statuses(Execution.objects.order_by("-id")[0])
        assert {key for key in ("big", "odd", "other") if found[key] == "SUCCESS"} == {taken}
        assert sorted(found.values()) == ["SKIPPED", "SKIPPED", "SUCCESS", "SUCCESS"]


def fork(mode, *branches):
    nodes = [node("start", "merge"), *branches, node("join", "merge", mode), node("after", "merge")]
    edges = [edge("join", "after")]
    for branch in branches:
        edges += [edge("start", branch["id"]), edge(branch["id"], "join")]
    workflow(*nodes, edges=edges)


def test_merge_any_goes_on_with_the_first_and_lets_the_others_end(register_step, gate, worker):
    register_step("t.slow", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or 1)
    register_step("t.fast", Effect.IDEMPOTENT)
    fork({"mode": "any"}, node("slow", "t.slow"), node("fast", "t.fast"))
    emit_event(EVENT, {})
    one = worker()
    gate.turn_until_entered(one)
    while not StepRun.objects.filter(path="after", status="SUCCESS").exists():
        one.turn()
    assert out("join") == {"arrived": ["fast"], "missing": ["slow"]}
    gate.open.set()
    one.run_until_empty()
    execution = Execution.objects.get()
    assert execution.status == "SUCCESS"
    assert StepRun.objects.filter(path="after").count() == 1
    assert statuses(execution)["slow"] == "SUCCESS"


def test_merge_of_n_is_skipped_when_too_few_can_arrive(register_step):
    rule = {"rule": {"==": [1, 2]}}
    nodes = [
        node("c", "condition", rule),
        node("a", "merge"),
        node("b", "merge"),
        node("join", "merge", {"mode": "n", "count": 2}),
    ]
    workflow(
        *nodes, edges=[edge("c", "a", "yes"), edge("c", "b", "no"), edge("a", "join"), edge("b", "join")]
    )
    execution = run()
    assert statuses(execution) == {"c": "SUCCESS", "a": "SKIPPED", "b": "SUCCESS", "join": "SKIPPED"}


def failing(register_step, error=None):
    def act(config, context):
        raise error or PermanentError("broken")

    register_step("t.broken", Effect.IDEMPOTENT, act)


def test_error_route_carries_code_message_and_step(register_step):
    failing(register_step)
    show = {"output": "{{ steps.call.error }}"}
    workflow(
        node("call", "t.broken", on_error="route"), node("rescue", "transform", show), node("ok", "merge"),
        edges=[edge("call", "rescue", "error"), edge("call", "ok")],
    )  # fmt: skip
    execution = run()
    assert execution.status == "SUCCESS"
    assert statuses(execution) == {"call": "FAILED", "ok": "SKIPPED", "rescue": "SUCCESS"}
    assert out("rescue") == {"code": "PERMANENT_ERROR", "message": "broken", "step": "call"}


def test_branch_may_fail_alone(register_step):
    failing(register_step)
    workflow(
        node("start", "merge"), node("call", "t.broken", on_error="continue"), node("b", "merge"), node("end", "merge"),
        edges=[edge("start", "call"), edge("start", "b"), edge("call", "end"), edge("b", "end")],
    )  # fmt: skip
    execution = run()
    assert execution.status == "SUCCESS"
    assert statuses(execution)["end"] == "SUCCESS"


def test_retry_on_names_the_codes_that_are_tried_again(register_step):
    step = register_step(
        "t.flaky", Effect.IDEMPOTENT, lambda config, context: raise_(TransientError("again"))
    )
    workflow(node("call", "t.flaky", retry={**SOON, "retry_on": ["TIMEOUT"]}))
    assert run().status == "FAILED"
    assert len(step.calls) == 1


def test_retry_deadline_ends_the_tries(register_step):
    step = register_step(
        "t.flaky", Effect.IDEMPOTENT, lambda config, context: raise_(TransientError("again"))
    )
    retry = {"initial_seconds": 50, "max_attempts": 9, "jitter": False, "deadline_seconds": 60}
    workflow(node("call", "t.flaky", retry=retry))
    assert run().status == "FAILED"
    assert len(step.calls) == 2


def raise_(error):
    raise error


def test_a_call_that_must_wait_its_turn_is_begun_again_and_not_counted(register_step):
    turns = [0]

    def act(config, context):
        turns[0] += 1
        if turns[0] <= 4:
            raise NotYet(0.001)
        return "done"

    register_step("t.limited", Effect.AT_MOST_ONCE, act)
    workflow(node("call", "t.limited", retry={"max_attempts": 1}))
    execution = run()
    assert steps(execution) == [("call", 1, "SUCCESS")]
    assert turns == [5]


def test_parallel_calls_stay_within_the_graphs_limit(register_step):
    meeting = threading.Barrier(3)
    lock, at_work, most = threading.Lock(), [0], [0]

    def act(config, context):
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        meeting.wait(PATIENCE_SECONDS)
        with lock:
            at_work[0] -= 1

    register_step("t.act", Effect.IDEMPOTENT, act)
    from automate.workflows import create_workflow

    nodes = [node("start", "merge"), *(node(f"n{i}", "t.act") for i in range(9))]
    graph = {
        "nodes": nodes,
        "edges": [edge("start", f"n{i}") for i in range(9)],
        "settings": {"max_parallel": 3},
    }
    create_workflow(
        name="p", graph=graph, by="test", trigger_type="event", trigger_config={"event_type": EVENT}
    )
    assert run().status == "SUCCESS"
    assert most == [3]


def saga(register_step, fails="c"):
    undone: list[tuple[str, str]] = []

    def act(config, context):
        if config["me"] == fails:
            raise PermanentError("no more")
        return {"id": f"{config['me']}-{context.path}"}

    register_step("t.do", Effect.IDEMPOTENT, act)
    register_step(
        "t.undo", Effect.IDEMPOTENT, lambda config, context: undone.append((context.path, config["id"])) or 1
    )
    nodes = []
    for key in ("a", "b", "c"):
        nodes.append(node(key, "t.do", {"me": key}, compensate_with=f"undo-{key}"))
        nodes.append(node(f"undo-{key}", "t.undo", {"id": "{{ compensates.output.id }}"}))
    workflow(*nodes)
    return undone


def test_finished_steps_are_undone_in_reverse_order_after_a_failure(register_step):
    undone = saga(register_step)
    execution = run()
    assert (execution.status, execution.error_code) == ("FAILED", "PERMANENT_ERROR")
    assert undone == [("undo-b", "b-b"), ("undo-a", "a-a")]
    assert statuses(execution) == {
        "a": "SUCCESS", "b": "SUCCESS", "c": "FAILED", "undo-a": "SUCCESS", "undo-b": "SUCCESS",
    }  # fmt: skip


def test_nothing_is_undone_when_all_goes_well(register_step):
    undone = saga(register_step, fails="nobody")
    assert run().status == "SUCCESS"
    assert undone == []


def test_undoing_goes_on_after_a_worker_lost_at_any_commit(register_step):
    saga(register_step)
    for execution in outcomes_under_kills({}):
        assert execution.status == "FAILED"
        found = statuses(execution)
        assert (found["undo-a"], found["undo-b"]) == ("SUCCESS", "SUCCESS")
        order = StepRun.objects.filter(
            execution=execution, path__startswith="undo", status="SUCCESS"
        ).order_by("seq")
        assert [row.path for row in order] == ["undo-b", "undo-a"]


def test_steps_of_a_loop_are_undone_too(register_step):
    undone: list[str] = []
    register_step("t.do", Effect.IDEMPOTENT, lambda config, context: {"id": context.path})
    register_step("t.undo", Effect.IDEMPOTENT, lambda config, context: undone.append(config["id"]) or 1)
    failing(register_step)
    workflow(
        node("all", "for_each", {"items": [1, 2]}), node("do", "t.do", compensate_with="undo"),
        node("undo", "t.undo", {"id": "{{ compensates.output.id }}"}), node("last", "t.broken"),
        edges=[edge("all", "do", "item"), edge("all", "last", "done")],
    )  # fmt: skip
    assert run().status == "FAILED"
    assert undone == ["all[1]/do", "all[0]/do"]


def test_a_step_that_cannot_be_undone_is_told_and_the_others_are_undone(register_step):
    def undo(config, context):
        if context.path == "undo-b":
            raise PermanentError("stuck")

    saga(register_step)
    from automate_core.steps import step_registry

    step_registry.get("t.undo")._act = undo
    execution = run()
    assert execution.error_summary == "c: no more; undo-b could not undo: stuck"
    assert statuses(execution)["undo-a"] == "SUCCESS"


def test_execution_that_takes_too_long_fails_with_timeout(register_step):
    from automate.workflows import create_workflow

    graph = {"nodes": [node("d", "delay", {"seconds": 900})], "settings": {"timeout_seconds": 60}}
    create_workflow(
        name="t", graph=graph, by="test", trigger_type="event", trigger_config={"event_type": EVENT}
    )
    emit_event(EVENT, {})
    drain()
    execution = Execution.objects.get()
    assert execution.status == "WAITING"
    item = OutboxItem.all_tenants.get(kind="execution")
    assert abs((item.available_at - execution.started_at).total_seconds() - 60) < 10
    Execution.all_tenants.update(started_at=execution.started_at - (item.available_at - execution.started_at))
    wake_item()
    drain()
    execution.refresh_from_db()
    assert (execution.status, execution.error_code) == ("FAILED", "TIMEOUT")
    assert statuses(execution) == {"d": "CANCELLED"}


def wake_item():
    from datetime import timedelta

    from django.utils import timezone

    OutboxItem.all_tenants.update(available_at=timezone.now() - timedelta(seconds=1))


def asking(register_step, effect=Effect.DATABASE, **wait):
    register_step("t.ask", effect, lambda config, context: Wait(awaits=True, **wait))


@pytest.mark.parametrize("effect", [Effect.PURE, Effect.DATABASE, Effect.IDEMPOTENT, Effect.AT_MOST_ONCE])
def test_awaited_answer_becomes_the_output_and_no_item_waits_meanwhile(register_step, effect):
    asking(register_step, effect)
    workflow(node("ask", "t.ask"), node("end", "transform", {"output": "{{ steps.ask.output }}"}))
    emit_event(EVENT, {})
    drain()
    execution = Execution.objects.get()
    assert (execution.status, OutboxItem.all_tenants.count()) == ("WAITING", 0)
    signals.answer_path(execution.id, "ask", signals.Answer({"yes": 1}))
    with pytest.raises(signals.NothingWaits):
        signals.answer_path(execution.id, "ask", signals.Answer({"yes": 2}))
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"
    assert out("end") == {"yes": 1}


def test_answer_reaches_an_execution_that_is_at_work(register_step, gate, worker):
    asking(register_step)
    register_step("t.slow", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or 1)
    workflow(
        node("start", "merge"), node("ask", "t.ask"), node("slow", "t.slow"), node("after", "merge"),
        edges=[edge("start", "ask"), edge("start", "slow"), edge("ask", "after")],
    )  # fmt: skip
    emit_event(EVENT, {})
    one = worker()
    gate.turn_until_entered(one)
    while not StepRun.objects.filter(path="ask", status="WAITING").exists():
        one.turn()
    signals.answer_path(Execution.objects.get().id, "ask", signals.Answer("told"))
    for _ in range(int(PATIENCE_SECONDS / 0.01)):
        one.turn()
        if StepRun.objects.filter(path="after", status="SUCCESS").exists():
            break
        time.sleep(0.01)
    assert StepRun.objects.get(path="after").status == "SUCCESS"
    gate.open.set()
    one.run_until_empty()
    assert Execution.objects.get().status == "SUCCESS"


def test_answer_given_while_the_worker_parks_is_not_lost(register_step, worker):
    """The answer commits after the worker read the execution and before it gives its item back."""
    asking(register_step, Effect.PURE)
    asked = []

    def act(config, context):
        execution_id = context.execution_id
        signals.answer_path(execution_id, "ask", signals.Answer("early"))
        asked.append(execution_id)
        return 1

    register_step("t.answer", Effect.IDEMPOTENT, act)
    workflow(
        node("start", "merge"), node("ask", "t.ask"), node("call", "t.answer"),
        edges=[edge("start", "ask"), edge("start", "call")],
    )  # fmt: skip
    emit_event(EVENT, {})
    one = worker()
    one.run_until_empty()
    drain()
    assert Execution.objects.get().status == "SUCCESS"
    assert out("ask") == "early"


def test_deadline_of_an_answer_leaves_by_timeout_or_fails(register_step):
    asking(register_step, seconds=500.0)

    workflow(node("ask", "t.ask"))
    emit_event(EVENT, {})
    drain()
    wake()
    drain()
    execution = Execution.objects.get()
    assert (execution.status, execution.error_code) == ("FAILED", "TIMEOUT")


def test_waiting_step_survives_lost_workers_and_takes_its_answer(register_step):
    asking(register_step)
    workflow(node("ask", "t.ask"), node("end", "merge"))
    emit_event(EVENT, {})
    drain()
    lose_workers()
    execution = Execution.objects.get()
    signals.answer_path(execution.id, "ask", signals.Answer(error_code="REFUSED", error_message="no"))
    drain()
    execution.refresh_from_db()
    assert (execution.status, execution.error_code, execution.error_summary) == (
        "FAILED",
        "REFUSED",
        "ask: no",
    )


def test_routes_joins_retries_and_delays_survive_a_worker_lost_at_any_commit(register_step):
    tried: set[str] = set()

    def flaky(config, context):
        if str(context.execution_id) not in tried:
            tried.add(str(context.execution_id))
            raise TransientError("once")
        return "flaky"

    register_step("t.flaky", Effect.IDEMPOTENT, flaky)
    register_step("t.write", Effect.DATABASE, lambda config, context: "written")
    failing(register_step)
    cases = [{"route": "go", "rule": {"==": [1, 1]}}]
    shown = "{{ steps.rest.output }} of it"
    workflow(
        node("which", "switch", {"cases": cases}), node("flaky", "t.flaky", retry=SOON), node("write", "t.write"),
        node("broken", "t.broken", on_error="route"), node("rescue", "delay", {"seconds": 3600}),
        node("unused", "merge"), node("rest", "transform", {"output": "rest"}),
        node("join", "merge", {"mode": "n", "count": 3}), node("end", "return", {"output": shown}),
        edges=[
            edge("which", "flaky", "go"), edge("which", "write", "go"), edge("which", "broken", "go"),
            edge("which", "rest", "go"), edge("which", "unused", "default"), edge("broken", "rescue", "error"),
            edge("broken", "join"), edge("flaky", "join"), edge("write", "join"), edge("rescue", "join"),
            edge("rest", "join"), edge("join", "end"),
        ],
    )  # fmt: skip
    for execution in outcomes_under_kills({}):
        assert execution.status == "SUCCESS"
        assert execution.output == "rest of it"
        found = statuses(execution)
        assert (found["unused"], found["broken"], found["rescue"]) == ("SKIPPED", "FAILED", "SUCCESS")


def test_return_sets_the_executions_output():
    workflow(node("r", "return", {"output": {"n": "{{ event.payload.n }}"}}), node("end", "merge"))
    assert run({"n": 5}).output == {"n": 5}


def test_running_here_and_now_leaves_an_execution_that_awaits_an_answer_waiting(register_step):
    asking(register_step)
    workflow(node("ask", "t.ask"))
    execution_id = run_workflow("orders", {})
    Runtime(patience_seconds=0.2).run_execution(execution_id)
    assert Execution.objects.get().status == "WAITING"
    signals.answer_path(execution_id, "ask", signals.Answer(1))
    Runtime().run_execution(execution_id)
    assert Execution.objects.get().status == "SUCCESS"
