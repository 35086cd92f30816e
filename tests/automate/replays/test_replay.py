"""Replays: whole, and from one step on, where everything that does not depend on that step is reused."""

from __future__ import annotations

import pytest

from automate.events import emit_event, run_workflow
from automate.models import Event, Execution, StepRun, WorkflowVersion
from automate.replays import replay
from automate.runtime import plans
from automate.workflows import update_workflow
from automate_core.context import trace_scope
from automate_core.errors import Conflict, NotFound, PermanentError, ValidationFailed
from automate_core.models import AuditEntry, OutboxItem
from automate_core.outbox.drain import Drain
from automate_core.steps import Effect
from tests.automate.runtime.conftest import register_step
from tests.factories.engine import EVENT, edge, finish, lose_workers, node, steps, workflow

__all__ = ["register_step"]

pytestmark = pytest.mark.django_db(transaction=True)

MANUAL = {"trigger_type": "manual", "trigger_config": {}}


@pytest.fixture
def call(register_step):
    """Return a step of every effect class that says how often it was called, and fails while told to."""
    return {
        effect: register_step(f"test.{effect}", effect, _act(effect))
        for effect in (Effect.IDEMPOTENT, Effect.AT_MOST_ONCE)
    }


FAILING = set()


def _act(effect):
    def act(config, context):
        if context.path in FAILING:
            raise PermanentError("told to fail")
        return {"execution": str(context.execution_id), "saw": config.get("see")}

    return act


@pytest.fixture(autouse=True)
def _nothing_fails():
    FAILING.clear()
    yield
    FAILING.clear()


def get(key, see="-", **more):
    return node(key, "test.idempotent", {"see": see}, **more)


def post(key, see="-", **more):
    return node(key, "test.at_most_once", {"see": see}, **more)


def ran(*nodes, payload=None, fails=(), edges=(), **more):
    """Run a workflow to its end and return the execution."""
    workflow(*nodes, edges=edges, **{**MANUAL, **more})
    FAILING.update(fails)
    execution_id = run_workflow("orders", payload or {})
    execution = finish(execution_id)
    FAILING.clear()
    return execution


def where(execution):
    """Return which execution each step's call was made for: "old", "new" or nothing, by path."""
    found = {}
    for row in StepRun.objects.filter(execution=execution).order_by("seq"):
        made_for = (row.output_data or {}).get("execution") if isinstance(row.output_data, dict) else None
        found[row.path] = None if made_for is None else ("new" if made_for == str(execution.id) else "old")
    return found


THREE = [get("a"), get("b", "{{ steps.a.output.execution }}"), get("c", "{{ steps.b.output.saw }}")]


# whole


def test_whole_replay_runs_everything_again_on_the_live_version(call):
    original = ran(*THREE, payload={"n": 1})
    with trace_scope("trace-9"):
        copy = replay(original, by="user:5")
    assert (copy.attempt, copy.replay_of_id, copy.trace_id) == (2, original.id, "trace-9")
    assert finish(copy.id).status == "SUCCESS"
    assert where(copy) == {"a": "new", "b": "new", "c": "new"}
    entry = AuditEntry.all_tenants.get(action="execution.replay")
    assert (entry.actor, entry.target) == ("user:5", f"execution:{original.id}")
    assert entry.after == {
        "execution": str(copy.id), "version": 1, "from": None, "force": [], "new_input": False,
    }  # fmt: skip


def test_whole_replay_needs_no_force(call):
    original = ran(post("mail"))
    copy = finish(replay(original, by="test").id)
    assert where(copy) == {"mail": "new"}


def test_replay_runs_the_version_that_is_named(call):
    original = ran(get("a"))
    update_workflow(original.automation, by="test", graph={"nodes": [get("z")]})
    assert list(where(finish(replay(original, by="test").id))) == ["z"]
    copy = replay(original, by="test", version=1)
    assert list(where(finish(copy.id))) == ["a"]
    with pytest.raises(ValidationFailed) as refused:
        replay(original, by="test", version=9)
    assert [problem.field for problem in refused.value.details] == ["version"]


def test_replay_takes_another_input(call):
    original = ran(node("a", "transform", {"output": "{{ input.n }}"}), payload={"n": 1})
    copy = finish(replay(original, by="test", payload={"n": 2}).id)
    assert copy.context == {"n": 2}
    assert StepRun.objects.get(execution=copy).output_data == 2


def test_another_input_leaves_the_event_and_keeps_its_type(call):
    shape = {
        "output": {"n": "{{ event.payload.n }}", "type": "{{ event.type }}", "source": "{{ event.source }}"}
    }
    workflow(node("a", "transform", shape))
    emit_event(EVENT, {"n": 1}, source="shop")
    original = finish()
    copy = finish(replay(original, by="test", payload={"n": 2}).id)
    assert StepRun.objects.get(execution=copy).output_data == {"n": 2, "type": EVENT, "source": "shop"}
    assert Event.objects.get(pk=original.event_id).payload == {"n": 1}
    assert Execution.objects.count() == 2
    assert OutboxItem.objects.count() == 0


def test_deleted_original_is_not_found(call):
    original = ran(get("a"))
    Execution.objects.all().delete()
    with pytest.raises(NotFound):
        replay(original, by="test")


# from a step


def test_replay_from_a_step_reuses_what_came_before(call):
    original = ran(*THREE, fails={"c"})
    assert original.status == "FAILED"
    copy = replay(original, by="test", start="c")
    assert steps(copy) == [("a", 1, "SUCCESS"), ("b", 1, "SUCCESS")]
    copy = finish(copy.id)
    assert (copy.status, where(copy)) == ("SUCCESS", {"a": "old", "b": "old", "c": "new"})
    assert StepRun.objects.get(execution=copy, path="c").output_data["saw"] == str(original.id)
    assert [row.id for row in copy.steps.order_by("seq")] == sorted(row.id for row in copy.steps.all())
    assert where(Execution.objects.get(pk=original.id)) == {"a": "new", "b": "new", "c": None}


def test_reused_steps_keep_what_they_were_given_and_when_they_ran(call):
    original = ran(*THREE)
    copy = replay(original, by="test", start="c")
    facts = ("path", "input_data", "output_data", "route", "effect", "started_at", "finished_at")
    for row in StepRun.objects.filter(execution=copy).values(*facts):
        assert row == StepRun.objects.filter(execution=original, path=row["path"]).values(*facts).get()


def test_branch_beside_the_step_is_reused_and_the_join_runs_again(call):
    edges = [edge("a", "left"), edge("a", "right"), edge("left", "join"), edge("right", "join")]
    original = ran(get("a"), get("left"), get("right"), get("join"), edges=edges)
    copy = finish(replay(original, by="test", start="left").id)
    assert where(copy) == {"a": "old", "right": "old", "left": "new", "join": "new"}


def test_skipped_branch_stays_skipped(call):
    rule = {"rule": {"==": [{"var": "input.n"}, 1]}}
    edges = [edge("if", "yes", "true"), edge("if", "no", "false"), edge("yes", "end"), edge("no", "end")]
    original = ran(
        node("if", "condition", rule), get("yes"), get("no"), get("end"), edges=edges, payload={"n": 1}
    )
    copy = finish(replay(original, by="test", start="end", payload={"n": 2}).id)
    assert where(copy) == {"if": None, "no": None, "yes": "old", "end": "new"}
    assert StepRun.objects.get(execution=copy, path="no").status == "SKIPPED"


def test_handled_failure_is_reused_with_its_route(call):
    edges = [edge("try", "sorry", "error"), edge("sorry", "end")]
    nodes = [get("try", on_error="route"), get("sorry", "{{ steps.try.error.code }}"), get("end")]
    original = ran(*nodes, edges=edges, fails={"try"})
    copy = finish(replay(original, by="test", start="end").id)
    assert steps(copy) == [("try", 1, "FAILED"), ("sorry", 1, "SUCCESS"), ("end", 1, "SUCCESS")]
    assert where(copy)["sorry"] == "old"


def test_step_that_did_not_come_to_its_end_beside_runs_again(call):
    edges = [edge("a", "left"), edge("a", "right"), edge("left", "join"), edge("right", "join")]
    original = ran(get("a"), get("left"), get("right"), get("join"), edges=edges, fails={"left", "right"})
    copy = finish(replay(original, by="test", start="left").id)
    assert where(copy) == {"a": "old", "left": "new", "right": "new", "join": "new"}


def test_variables_and_the_returned_output_are_reused(call):
    nodes = [
        node("set", "set", {"values": {"n": 5}}), node("give", "return", {"output": {"n": "{{ variables.n }}"}}),
        node("last", "transform", {"output": "{{ variables.n }}"}),
    ]  # fmt: skip
    original = ran(*nodes)
    copy = finish(replay(original, by="test", start="last").id)
    assert (copy.output, StepRun.objects.get(execution=copy, path="last").output_data) == ({"n": 5}, 5)


def test_later_try_is_the_one_reused(call):
    original = ran(*THREE)
    first = StepRun.objects.get(execution=original, path="a")
    StepRun.objects.create(
        execution=original, path="a", node_key="a", node_type=first.node_type, attempt=2, status="SUCCESS",
        effect=first.effect, output_data={"execution": "second"}, seq=first.seq,
    )  # fmt: skip
    copy = replay(original, by="test", start="c")
    row = StepRun.objects.get(execution=copy, path="a")
    assert (row.attempt, row.output_data) == (1, {"execution": "second"})


def test_replay_of_a_replay_reuses_what_was_reused(call):
    original = ran(*THREE)
    again = finish(replay(original, by="test", start="b").id)
    third = finish(replay(again, by="test", start="c").id)
    assert (third.attempt, where(third)) == (3, {"a": "old", "b": "old", "c": "new"})
    assert StepRun.objects.get(execution=third, path="a").output_data["execution"] == str(original.id)


def test_replay_survives_losing_its_worker(call):
    original = ran(*THREE)
    copy = replay(original, by="test", start="b")
    lost = Drain()
    lost.turn()
    lost.close()
    lose_workers()
    copy = finish(copy.id)
    assert (copy.status, where(copy)) == ("SUCCESS", {"a": "old", "b": "new", "c": "new"})
    assert len([one for one in call[Effect.IDEMPOTENT].calls if one.path == "a"]) == 1


# what must not run twice


def test_call_that_succeeded_and_must_not_run_twice_is_refused(call):
    original = ran(get("a"), post("mail"), get("c"))
    with pytest.raises(Conflict, match="must not run twice: mail; name them in `force`"):
        replay(original, by="test", start="a")
    assert Execution.objects.count() == 1
    with pytest.raises(Conflict):
        replay(original, by="test", start="a", force=["a", "c", "mai"])
    copy = finish(replay(original, by="test", start="a", force=["mail"]).id)
    assert where(copy) == {"a": "new", "mail": "new", "c": "new"}


def test_call_before_the_step_or_that_failed_is_not_refused(call):
    original = ran(post("mail"), get("b"), post("late"), fails={"late"})
    copy = finish(replay(original, by="test", start="b").id)
    assert where(copy) == {"mail": "old", "b": "new", "late": "new"}


def test_refusal_names_some_and_counts_the_others(call):
    original = ran(
        node("each", "for_each", {"items": "{{ input.all }}"}), post("mail"),
        edges=[edge("each", "mail", "item")], payload={"all": list(range(13))},
    )  # fmt: skip
    with pytest.raises(Conflict, match=r"mail and 3 more; name"):
        replay(original, by="test", start="each")
    copy = replay(original, by="test", start="each", force=["each"])
    assert finish(copy.id).status == "SUCCESS"


def test_force_without_a_step_is_refused(call):
    original = ran(get("a"))
    with pytest.raises(ValidationFailed):
        replay(original, by="test", force=["a"])


def test_undone_step_runs_again_and_needs_no_force(call):
    nodes = [post("charge", compensate_with="refund"), post("refund"), get("ship")]
    original = ran(*nodes, edges=[edge("charge", "ship")], fails={"ship"})
    assert ("refund", 1, "SUCCESS") in steps(original)
    copy = finish(replay(original, by="test", start="ship").id)
    assert where(copy) == {"charge": "new", "ship": "new"}


# another version


def test_reused_step_must_be_in_the_version_with_its_type(call):
    original = ran(*THREE)
    update_workflow(original.automation, by="test", graph={"nodes": [node("a", "merge"), THREE[2]]})
    with pytest.raises(ValidationFailed) as refused:
        replay(original, by="test", start="c")
    assert sorted(problem.message for problem in refused.value.details) == [
        "has no step 'b', whose output would be reused",
        "step 'a' is a merge there; it was a test.idempotent",
    ]
    copy = finish(replay(original, by="test", start="c", version=1).id)
    assert where(copy) == {"a": "old", "b": "old", "c": "new"}


def test_step_corrected_in_a_new_version_goes_on_from_there(call):
    original = ran(get("a"), node("b", "transform", {"output": "{{ input.no }}"}), get("c"))
    assert original.status == "FAILED"
    graph = {
        "nodes": [get("a"), node("b", "transform", {"output": "{{ input.no | default('-') }}"}), get("c")]
    }
    update_workflow(original.automation, by="test", graph=graph)
    copy = finish(replay(original, by="test", start="b").id)
    assert (copy.status, where(copy)) == ("SUCCESS", {"a": "old", "b": None, "c": "new"})


def test_step_behind_a_new_one_runs_again(call):
    original = ran(*THREE)
    edges = [edge("a", "new"), edge("new", "b"), edge("b", "c")]
    update_workflow(original.automation, by="test", graph={"nodes": [*THREE, get("new")], "edges": edges})
    copy = finish(replay(original, by="test", start="c").id)
    assert where(copy) == {"a": "old", "new": "new", "b": "new", "c": "new"}
    assert steps(copy) == [(path, 1, "SUCCESS") for path in ("a", "new", "b", "c")]


def test_version_that_cannot_run_is_refused(call):
    original = ran(*THREE)
    WorkflowVersion.objects.update(graph={"nodes": [{"id": "a", "type": "gone"}]})
    plans.forget()
    with pytest.raises(Conflict, match="unknown type 'gone'"):
        replay(original, by="test", start="a")


@pytest.mark.parametrize("start", ["absent", "a[0]", "a/b", "", "[", "a[0]/b"])
def test_step_that_is_not_there_is_refused(call, start):
    original = ran(*THREE)
    with pytest.raises(ValidationFailed) as refused:
        replay(original, by="test", start=start)
    assert [problem.field for problem in refused.value.details] == ["from"]
    assert Execution.objects.count() == 1


# loops


def looped(fails=(), concurrency=1, on_item_error="stop"):
    """Run a loop of two steps over four items, with a step before and one after."""
    nodes = [
        get("before"),
        node(
            "each", "for_each",
            {"items": "{{ input.all }}", "concurrency": concurrency, "on_item_error": on_item_error,
             "result": "{{ item }}/{{ steps.take.output.execution }}"},
        ),
        get("take", "{{ item }}"),
        get("send", "{{ steps.take.output.saw }}"),
        get("after", "{{ steps.each.output.count }}"),
    ]  # fmt: skip
    edges = [
        edge("before", "each"),
        edge("each", "take", "item"),
        edge("take", "send"),
        edge("each", "after", "done"),
    ]
    return ran(*nodes, edges=edges, payload={"all": ["p", "q", "r", "s"]}, fails=fails)


def test_replay_from_within_an_iteration_reuses_those_before(call):
    original = looped(fails={"each[2]/send"})
    assert original.status == "FAILED"
    copy = replay(original, by="test", start="each[2]/send")
    copy = finish(copy.id)
    assert copy.status == "SUCCESS"
    assert where(copy) == {
        "before": "old",
        "each": None, "each[0]": None, "each[1]": None, "each[2]": None, "each[3]": None,
        "each[0]/take": "old", "each[0]/send": "old", "each[1]/take": "old", "each[1]/send": "old",
        "each[2]/take": "old", "each[2]/send": "new", "each[3]/take": "new", "each[3]/send": "new",
        "after": "new",
    }  # fmt: skip
    old, new = str(original.id), str(copy.id)
    assert StepRun.objects.get(execution=copy, path="each").output_data["results"] == [
        f"p/{old}", f"q/{old}", f"r/{old}", f"s/{new}",
    ]  # fmt: skip
    assert StepRun.objects.get(execution=copy, path="each[2]/send").output_data["saw"] == "r"
    assert StepRun.objects.get(execution=copy, path="after").output_data["saw"] == 4


def test_replay_from_an_iteration_runs_the_whole_of_it(call):
    original = looped()
    copy = finish(replay(original, by="test", start="each[3]").id)
    found = where(copy)
    assert (found["each[2]/send"], found["each[3]/take"], found["each[3]/send"]) == ("old", "new", "new")
    assert (found["before"], found["after"]) == ("old", "new")


def test_replay_of_a_concurrent_loop_runs_the_iterations_behind_again(call):
    original = looped(concurrency=4)
    copy = finish(replay(original, by="test", start="each[1]/take").id)
    assert copy.status == "SUCCESS"
    made_for = {path: kind for path, kind in where(copy).items() if path.endswith("/take")}
    assert made_for == {
        "each[0]/take": "old", "each[1]/take": "new", "each[2]/take": "new", "each[3]/take": "new",
    }  # fmt: skip


def test_iteration_that_failed_before_stays_failed_when_the_loop_goes_on(call):
    original = looped(fails={"each[0]/send"}, on_item_error="collect")
    assert original.status == "SUCCESS"
    copy = finish(replay(original, by="test", start="each[2]/take").id)
    output = StepRun.objects.get(execution=copy, path="each").output_data
    assert (output["failed"], [error["index"] for error in output["errors"]]) == (1, [0])


def test_replay_behind_an_iteration_that_stopped_the_loop_is_refused(call):
    original = looped(fails={"each[0]/send"}, concurrency=4)
    assert StepRun.objects.filter(execution=original, path="each[1]").exists()
    with pytest.raises(ValidationFailed) as refused:
        replay(original, by="test", start="each[1]/send")
    assert refused.value.details[0].message == "each[0] did not succeed; replay from it"


def test_iteration_that_never_was_is_refused(call):
    original = looped()
    with pytest.raises(ValidationFailed) as refused:
        replay(original, by="test", start="each[4]/send")
    assert refused.value.details[0].message == "the original never came to each[4]"


def test_finished_loop_before_the_step_is_reused_whole(call):
    original = looped()
    copy = finish(replay(original, by="test", start="after").id)
    assert [kind for path, kind in where(copy).items() if "/" in path] == ["old"] * 8
    assert where(copy)["after"] == "new"


def test_replay_from_the_loop_runs_all_of_it(call):
    original = looped()
    copy = finish(replay(original, by="test", start="each").id)
    assert {kind for path, kind in where(copy).items() if "/" in path} == {"new"}
    assert where(copy)["before"] == "old"


def test_replay_within_a_loop_survives_losing_its_worker(call):
    original = looped(fails={"each[2]/send"})
    copy = replay(original, by="test", start="each[2]/send")
    for _ in range(2):
        lost = Drain()
        lost.turn()
        lost.close()
        lose_workers()
    copy = finish(copy.id)
    assert copy.status == "SUCCESS"
    assert where(copy)["each[1]/send"] == "old"


def test_replay_inside_nested_loops(call):
    nodes = [
        node("rows", "for_each", {"items": [[1, 2], [3, 4]]}),
        node("cells", "for_each", {"items": "{{ item }}"}),
        get("cell", "{{ item }}"),
    ]
    edges = [edge("rows", "cells", "item"), edge("cells", "cell", "item")]
    original = ran(*nodes, edges=edges, fails={"rows[1]/cells[1]/cell"})
    assert original.status == "FAILED"
    copy = finish(replay(original, by="test", start="rows[1]/cells[1]/cell").id)
    assert copy.status == "SUCCESS"
    assert {path: kind for path, kind in where(copy).items() if path.endswith("/cell")} == {
        "rows[0]/cells[0]/cell": "old", "rows[0]/cells[1]/cell": "old",
        "rows[1]/cells[0]/cell": "old", "rows[1]/cells[1]/cell": "new",
    }  # fmt: skip


def test_replay_within_a_while_goes_on_counting(call):
    nodes = [
        node("more", "while", {"rule": {"<": [{"var": "index"}, 4]}}),
        get("page", "{{ index }}"),
    ]
    original = ran(*nodes, edges=[edge("more", "page", "item")], fails={"more[2]/page"})
    copy = finish(replay(original, by="test", start="more[2]/page").id)
    assert copy.status == "SUCCESS"
    assert [kind for path, kind in sorted(where(copy).items()) if "/" in path] == ["old", "old", "new", "new"]


def test_many_steps_are_copied(call):
    original = ran(
        node("each", "for_each", {"items": "{{ input.all }}"}), node("t", "transform", {"output": "{{ item }}"}),
        get("end"), edges=[edge("each", "t", "item"), edge("each", "end", "done")], payload={"all": list(range(500))},
    )  # fmt: skip
    copy = replay(original, by="test", start="end")
    assert StepRun.objects.filter(execution=copy).count() == 1_001
    assert finish(copy.id).status == "SUCCESS"
