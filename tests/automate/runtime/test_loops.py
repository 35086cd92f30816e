"""Loops: order, scope, error policies, breaks, nesting, limits; and each of them under a worker lost at any commit."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from automate.events import emit_event
from automate.executions.rows import StepRow
from automate.models import Execution, StepRun
from automate.runtime import run as run_module
from automate_core.errors import PermanentError, TransientError
from automate_core.steps import Effect
from tests.factories.engine import EVENT, drain, edge, finish, node, steps, workflow
from tests.factories.killing import outcomes_under_kills
from tests.factories.scripted import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

ITEMS = {"items": "{{ event.payload.items }}"}
DOUBLE = node("double", "transform", {"output": "{{ item }}/{{ index }}"})


def loop(config, *body, edges=(), after=(), kind="for_each"):
    """Return the nodes and edges of a loop `all`, its body a chain unless edges are given, then what follows it."""
    inside = edges or [edge(a["id"], b["id"]) for a, b in pairwise(body)]
    return (
        [node("all", kind, config), *body, *after],
        [edge("all", body[0]["id"], "item"), *inside, *(edge("all", one["id"], "done") for one in after)],
    )


def make(nodes, edges, **more):
    return workflow(*nodes, edges=edges, **more)


def run(items):
    emit_event(EVENT, {"items": items})
    return finish()


def output(execution, path="all"):
    return StepRun.objects.get(execution=execution, path=path).output_data


def test_body_runs_for_each_item_and_results_keep_their_order():
    make(*loop(ITEMS, DOUBLE, after=[node("end", "transform", {"output": "{{ steps.all.output.results }}"})]))
    execution = run(["a", "b", "c"])
    assert execution.status == "SUCCESS"
    assert output(execution) == {"results": ["a/0", "b/1", "c/2"], "count": 3, "failed": 0, "errors": []}
    assert output(execution, "end") == ["a/0", "b/1", "c/2"]
    assert [(path, status) for path, _, status in steps(execution)] == [
        ("all[0]/double", "SUCCESS"), ("all[0]", "SUCCESS"), ("all[1]/double", "SUCCESS"), ("all[1]", "SUCCESS"),
        ("all[2]/double", "SUCCESS"), ("all[2]", "SUCCESS"), ("all", "SUCCESS"), ("end", "SUCCESS"),
    ]  # fmt: skip
    seqs = StepRun.objects.filter(execution=execution).order_by("seq").values_list("seq", flat=True)
    assert list(seqs) == [4, 6, 8, 10, 12, 14, 15, 17]


def test_no_items_make_no_iteration():
    make(*loop(ITEMS, DOUBLE))
    execution = run([])
    assert output(execution) == {"results": [], "count": 0, "failed": 0, "errors": []}
    assert steps(execution) == [("all", 1, "SUCCESS")]


def test_an_object_is_repeated_by_key_and_value():
    make(*loop(ITEMS, node("show", "transform", {"output": "{{ item.key }}={{ item.value }}"})))
    assert output(run({"a": 1, "b": 2}))["results"] == ["a=1", "b=2"]


def test_items_that_are_no_list_fail_the_loop():
    make(*loop(ITEMS, DOUBLE))
    execution = run("abc")
    assert (execution.status, execution.error_code) == ("FAILED", "PERMANENT_ERROR")
    assert execution.error_summary == "all: items must be a list, not str; check the template"


def test_without_a_result_the_end_that_was_reached_counts():
    rule = {"==": [{"var": "item"}, "a"]}
    body = [
        node("is_a", "condition", {"rule": rule}), node("yes", "transform", {"output": "yes"}),
        node("no", "transform", {"output": "no"}),
    ]  # fmt: skip
    make(*loop(ITEMS, *body, edges=[edge("is_a", "yes", "true"), edge("is_a", "no", "false")]))
    assert output(run(["a", "b", "a"]))["results"] == ["yes", "no", "yes"]


def test_results_so_far_and_variables_reach_the_next_iteration():
    body = [
        node("add", "set", {"values": {"sum": "{{ variables.sum | default(0) }}{{ item }}"}}),
        node("seen", "transform", {"output": "{{ loop.results | length }}:{{ variables.sum }}"}),
    ]
    make(*loop(ITEMS, *body, after=[node("end", "transform", {"output": "{{ variables.sum }}"})]))
    execution = run([1, 2, 3])
    assert output(execution)["results"] == ["0:01", "1:012", "2:0123"]
    assert output(execution, "end") == "0123"


def test_concurrent_items_run_at_the_same_time_within_the_limit(register_step):
    meeting = threading.Barrier(3)
    lock, at_work, most = threading.Lock(), [0], [0]

    def act(config, context):
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        meeting.wait(PATIENCE_SECONDS)
        with lock:
            at_work[0] -= 1
        return config["n"]

    register_step("t.meet", Effect.IDEMPOTENT, act)
    make(*loop({**ITEMS, "concurrency": 3}, node("call", "t.meet", {"n": "{{ item }}"})))
    execution = run([5, 4, 3, 2, 1, 0])
    assert output(execution)["results"] == [5, 4, 3, 2, 1, 0]
    assert most == [3]


@pytest.mark.parametrize(
    ("policy", "status", "expected"),
    [
        ("stop", "FAILED", None),
        ("continue", "SUCCESS", {"results": [1, None, 3], "count": 3, "failed": 1, "errors": []}),
        ("collect", "SUCCESS", {"results": [1, None, 3], "count": 3, "failed": 1, "errors": [
            {"index": 1, "code": "PERMANENT_ERROR", "message": "two is bad", "step": "all[1]/call"},
        ]}),
    ],
)  # fmt: skip
def test_failed_item_does_what_the_policy_says(register_step, policy, status, expected):
    def act(config, context):
        if config["n"] == 2:
            raise PermanentError("two is bad")
        return config["n"]

    register_step("t.act", Effect.IDEMPOTENT, act)
    make(*loop({**ITEMS, "on_item_error": policy}, node("call", "t.act", {"n": "{{ item }}"})))
    execution = run([1, 2, 3])
    assert execution.status == status
    assert output(execution) == expected
    third = StepRun.objects.filter(execution=execution, path="all[2]/call").exists()
    assert third == (policy != "stop")


def test_break_and_continue_end_iteration_and_loop():
    rule = {"==": [{"var": "item"}, "stop"]}
    skip = {"==": [{"var": "item"}, "skip"]}
    body = [
        node("stops", "condition", {"rule": rule}), node("leave", "break"), node("skips", "condition", {"rule": skip}),
        node("next", "continue"), node("work", "transform", {"output": "did {{ item }}"}),
    ]  # fmt: skip
    edges = [
        edge("stops", "leave", "true"), edge("stops", "skips", "false"), edge("skips", "next", "true"),
        edge("skips", "work", "false"),
    ]  # fmt: skip
    result = {"result": "{{ steps.work.output | default('nothing') }}"}
    make(*loop({**ITEMS, **result}, *body, edges=edges))
    execution = run(["a", "skip", "b", "stop", "c"])
    assert output(execution)["results"] == ["did a", "nothing", "did b", "nothing"]
    assert not StepRun.objects.filter(path__startswith="all[4]").exists()
    assert StepRun.objects.get(path="all[1]/work").status == "SKIPPED"


def test_while_repeats_until_its_rule_fails_or_the_cap():
    rule = {"<": [{"var": "index"}, 4]}
    make(*loop({"rule": rule}, node("n", "transform", {"output": "{{ index }}"}), kind="while"))
    assert output(run([])) == {"iterations": 4, "result": 3}


def test_while_that_never_ends_fails_at_its_cap():
    config = {"rule": {"==": [1, 1]}, "max_iterations": 7}
    make(*loop(config, node("n", "merge"), kind="while"))
    execution = run([])
    assert (execution.status, execution.error_code) == ("FAILED", "LOOP_LIMIT")
    assert StepRun.objects.filter(node_key="n").count() == 7


def nested():
    nodes = [
        node("outer", "for_each", {"items": "{{ event.payload.items }}"}),
        node("inner", "for_each", {"items": "{{ item }}", "result": "{{ steps.leaf.output }}"}),
        node("leaf", "transform", {"output": "{{ loop.index }}:{{ item }}"}),
        node("sum", "transform", {"output": "{{ steps.inner.output.results | join('+') }}"}),
        node("end", "transform", {"output": "{{ steps.outer.output.results | join(' ') }}"}),
    ]
    edges = [
        edge("outer", "inner", "item"), edge("inner", "leaf", "item"), edge("leaf", "inner"),
        edge("inner", "sum", "done"), edge("sum", "outer"), edge("outer", "end", "done"),
    ]  # fmt: skip
    return nodes, edges


def test_loops_nest_and_paths_tell_where():
    make(*nested())
    execution = run([["a", "b"], [], ["c"]])
    assert execution.status == "SUCCESS"
    assert output(execution, "end") == "0:a+1:b  0:c"
    assert StepRun.objects.get(path="outer[0]/inner[1]/leaf").output_data == "1:b"


def test_a_large_loop_is_recorded_in_parts_and_holds_no_more_than_one(monkeypatch):
    made: list[int] = []
    original = StepRow.__init__

    def counted(self, *args, **kwargs):
        made.append(1)
        original(self, *args, **kwargs)

    make(*loop(ITEMS, DOUBLE))
    emit_event(EVENT, {"items": list(range(5_000))})
    largest = []
    recorded = run_module.Run.recorded

    def watch(self):
        largest.append(len(self.dirty))
        recorded(self)

    monkeypatch.setattr(run_module.Run, "recorded", watch)
    monkeypatch.setattr(StepRow, "__init__", counted)
    drain()
    execution = Execution.objects.get()
    assert execution.status == "SUCCESS"
    assert StepRun.objects.filter(execution=execution).count() == 10_001 == len(made)
    assert max(largest) <= 2 * run_module.TURN_STEPS + 2
    assert len(largest) <= 12


def test_pure_loop_survives_a_worker_lost_at_any_commit(monkeypatch):
    monkeypatch.setattr(run_module, "TURN_STEPS", 2)
    body = [node("add", "set", {"values": {"sum": "{{ variables.sum | default('') }}{{ item }}"}}), DOUBLE]
    make(*loop(ITEMS, *body, after=[node("end", "transform", {"output": "{{ variables.sum }}"})]))
    for execution in outcomes_under_kills({"items": ["a", "b", "c", "d"]}):
        assert output(execution)["results"] == ["a/0", "b/1", "c/2", "d/3"]
        assert output(execution, "end") == "abcd"


def test_nested_loop_survives_a_worker_lost_at_any_commit(monkeypatch):
    monkeypatch.setattr(run_module, "TURN_STEPS", 1)
    make(*nested())
    for execution in outcomes_under_kills({"items": [["a", "b"], [], ["c"]]}):
        assert output(execution, "end") == "0:a+1:b  0:c"


@pytest.mark.parametrize("concurrency", [1, 3])
def test_calls_in_a_loop_survive_a_worker_lost_at_any_commit(register_step, concurrency):
    failed: set[str] = set()

    def act(config, context):
        if config["n"] == 2 and str(context.execution_id) not in failed:
            failed.add(str(context.execution_id))
            raise TransientError("once", performed=False)
        return config["n"] * 10

    register_step("t.act", Effect.IDEMPOTENT, act)
    call = node("call", "t.act", {"n": "{{ item }}"}, retry={"initial_seconds": 0.001, "max_attempts": 9})
    make(
        *loop(
            {**ITEMS, "concurrency": concurrency},
            call,
            node("shape", "transform", {"output": "{{ steps.call.output }}"}),
        )
    )
    for execution in outcomes_under_kills({"items": [1, 2, 3, 4]}):
        assert execution.status == "SUCCESS"
        assert output(execution)["results"] == [10, 20, 30, 40]


def test_failing_loop_fails_the_same_under_a_worker_lost_at_any_commit(register_step):
    def act(config, context):
        if config["n"] == 3:
            raise PermanentError("three")
        return config["n"]

    register_step("t.act", Effect.IDEMPOTENT, act)
    make(*loop({**ITEMS, "concurrency": 2}, node("call", "t.act", {"n": "{{ item }}"})))
    for execution in outcomes_under_kills({"items": [1, 2, 3, 4, 5, 6]}):
        assert (execution.status, execution.error_code) == ("FAILED", "PERMANENT_ERROR")
        assert StepRun.objects.get(execution=execution, path="all").status == "FAILED"
        assert not StepRun.objects.filter(execution=execution, status__in=["RUNNING", "WAITING"]).exists()
