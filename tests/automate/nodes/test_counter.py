"""The counter: what it adds to, how long it remembers, and that no lost worker makes it forget or count twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.runtime import run as run_module
from automate.runtime.plans import find_handler
from automate_core.steps import Effect
from tests.factories.engine import EVENT, drain, edge, finish, node, workflow
from tests.factories.killing import outcomes_under_kills

pytestmark = pytest.mark.django_db(transaction=True)


def counted(execution: Execution) -> list[Any]:
    rows = StepRun.objects.filter(execution=execution, node_type="counter", status="SUCCESS").order_by("seq")
    return [row.output_data["count"] for row in rows]


def in_a_loop(counter: dict[str, Any], *body: dict[str, Any], **config: Any) -> None:
    inside = [counter, *body]
    nodes = [node("all", "for_each", {"items": "{{ input.items }}", **config}), *inside]
    chain = [edge(a["id"], b["id"]) for a, b in pairwise(inside)]
    end = node("end", "transform", {"output": "{{ variables.n }}"})
    later = node("later", "delay", {"seconds": 60})
    edges = [edge("all", counter["id"], "item"), *chain, edge("all", "later", "done"), edge("later", "end")]
    workflow(*nodes, later, end, edges=edges)


def test_counter_goes_on_in_each_iteration() -> None:
    in_a_loop(node("n", "counter", {"start": 10, "step": -2}))
    emit_event(EVENT, {"items": [1, 2, 3]})
    execution = finish()
    assert counted(execution) == [8, 6, 4]
    assert StepRun.objects.get(path="end").output_data == 4


def test_each_execution_counts_for_itself() -> None:
    in_a_loop(node("n", "counter"))
    counts = []
    for _ in range(2):
        emit_event(EVENT, {"items": [1, 2]})
        drain()
        counts.append(counted(finish(Execution.objects.order_by("-id").values_list("id", flat=True)[0])))
    assert counts == [[1, 2], [1, 2]]


def test_counters_of_one_name_share_their_count() -> None:
    workflow(
        node("a", "counter", {"name": "both"}),
        node("b", "counter", {"name": "both", "start": 100, "step": "{{ input.step }}"}),
        node("c", "transform", {"output": "{{ variables.both }}"}),
    )
    emit_event(EVENT, {"step": "0.5"})
    execution = finish()
    assert counted(execution) == [1, 1.5]
    assert StepRun.objects.get(path="c").output_data == 1.5


@pytest.mark.parametrize("step", ["many", True, None, "1e400", 2**54])
def test_counter_fails_on_what_is_no_number(step: Any) -> None:
    workflow(node("n", "counter", {"step": "{{ input.step }}"}))
    emit_event(EVENT, {"step": step})
    execution = finish()
    assert (execution.status, execution.error_code) == ("FAILED", "PERMANENT_ERROR")
    assert execution.error_summary.startswith("n: step must be a number")


def test_counter_fails_on_a_variable_that_is_no_number() -> None:
    workflow(node("set", "set", {"values": {"n": "text"}}), node("n", "counter"))
    emit_event(EVENT, {})
    assert finish().error_summary.startswith("n: The variable 'n' must be a number")


@pytest.mark.parametrize(
    ("config", "field"),
    [({"name": ""}, "name"), ({"name": 3}, "name"), ({"start": []}, "start"), ({"step": False}, "step")],
)
def test_counter_refuses_a_config_it_cannot_count_with(config: dict[str, Any], field: str) -> None:
    handler = find_handler("counter")
    assert handler is not None
    assert [one.field for one in handler.problems(config)] == [field]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_count_survives_a_worker_lost_at_any_commit(
    register_step: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    monkeypatch.setattr(run_module, "TURN_STEPS", 2)
    register_step("t.call", Effect.IDEMPOTENT, lambda config, context: config["n"])
    in_a_loop(node("n", "counter"), node("call", "t.call", {"n": "{{ item }}"}), concurrency=concurrency)
    for execution in outcomes_under_kills({"items": ["a", "b", "c", "d"]}):
        assert execution.status == "SUCCESS"
        assert counted(execution) == [1, 2, 3, 4]
        assert StepRun.objects.get(execution=execution, path="end").output_data == 4
