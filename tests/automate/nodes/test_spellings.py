"""Every node type is understood under each of its names and spellings, and is called in records what it was called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.runtime.plans import find_handler
from automate.workflows import problems
from automate_connectors.registry import registry
from automate_connectors.steps import action_handler
from automate_core.steps import find_step, folded, step_registry
from tests.factories.engine import EVENT, drain, edge, finish, node, workflow

DOCUMENTED = {
    "http-request": "http_request",
    "if-condition": "condition",
    "switch": "switch",
    "for-each": "for_each",
    "data-transformer": "transform",
    "static-delay": "delay",
    "counter": "counter",
    "string-iterator": "string_iterator",
    "queue-reader": "queue_reader",
    "queue-writer": "queue_writer",
    "webhook": "webhook",
    "http-response": "respond",
    "subworkflow": "subworkflow",
    "approval": "approval",
}


def actions() -> list[str]:
    return [f"{key}.{spec.name}" for key in registry for spec in registry.get(key).actions()]


@pytest.mark.parametrize(("spelling", "registered"), DOCUMENTED.items())
def test_documented_type_is_the_registered_step_in_both_spellings(spelling: str, registered: str) -> None:
    handler = step_registry.get(registered)
    assert find_handler(spelling) is handler
    assert find_handler(spelling.replace("-", "_")) is handler


def test_every_registered_step_is_found_in_both_spellings() -> None:
    for name in step_registry:
        handler = step_registry.get(name)
        for one in (name, *handler.aliases):
            assert find_handler(one.replace("_", "-")) is find_handler(one.replace("-", "_")) is handler


def test_every_action_is_found_in_every_spelling() -> None:
    for name in actions():
        handler = action_handler(name)
        assert find_handler(name) is find_handler(name.replace("_", "-")) is handler
        if find_step(name.replace(".", "_")) is None:
            flat = name.replace(".", "_")
            assert find_handler(flat) is find_handler(flat.replace("_", "-")) is handler


def test_no_name_means_two_steps() -> None:
    names = [folded(one) for name in step_registry for one in (name, *step_registry.get(name).aliases)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    "kind", ["for--each", "foreach", "For-Each", "slack", "slack.send.message", "http", "-", ""]
)
def test_other_names_are_unknown(kind: str) -> None:
    assert find_handler(kind) is None


def forms() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in [*step_registry, *actions()]:
        handler = find_handler(name)
        assert handler is not None
        if type(handler).__module__.startswith("automate"):
            yield name, handler.config_schema


@pytest.mark.parametrize(("kind", "schema"), list(forms()))
def test_every_field_of_a_form_says_what_it_is(kind: str, schema: Mapping[str, Any]) -> None:
    fields = dict(schema.get("properties", {}))
    silent = [name for name, one in fields.items() if not (one.get("title") and one.get("description"))]
    assert silent == []
    assert set(schema.get("required", ())) <= set(fields)


@pytest.mark.django_db(transaction=True)
def test_graph_and_records_keep_the_name_that_was_written() -> None:
    nodes = [
        node("check", "if-condition", {"rule": True}),
        node("each", "for-each", {"items": [1, 2]}),
        node("shape", "data-transformer", {"output": "{{ item }}"}),
        node("wait", "static-delay", {"duration": 0, "unit": "hours"}),
    ]
    edges = [edge("check", "each", "true"), edge("each", "shape", "item"), edge("each", "wait", "done")]
    automation = workflow(*nodes, edges=edges)
    emit_event(EVENT, {})
    execution = finish()
    assert execution.status == "SUCCESS"
    assert automation.live_version is not None
    assert [one["type"] for one in automation.live_version.graph["nodes"]] == [one["type"] for one in nodes]
    kinds = StepRun.objects.order_by("seq").values_list("path", "node_type")
    assert dict(kinds) == {
        "check": "if-condition", "each": "for-each", "each[0]": "for-each", "each[1]": "for-each",
        "each[0]/shape": "data-transformer", "each[1]/shape": "data-transformer", "wait": "static-delay",
    }  # fmt: skip


def test_problem_names_the_type_as_it_was_written() -> None:
    graph = {"nodes": [node("a", "for-eech"), node("b", "static-delay")], "edges": []}
    assert [(one.field, one.message) for one in problems(graph=graph)] == [
        ("graph.nodes[0].type", "node 'a' has the unknown type 'for-eech'"),
        ("graph.nodes[1].config", "node 'b': give one of seconds, duration (with its unit) and until"),
    ]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"duration": 1, "seconds": 1}, ""),
        ({"duration": 1, "unit": "weeks"}, "unit"),
        ({"seconds": 1, "unit": "days"}, "unit"),
        ({"duration": 367, "unit": "days"}, "duration"),
        ({"duration": -1}, "duration"),
    ],
)
def test_delay_refuses_a_duration_it_cannot_wait(config: Mapping[str, Any], field: str) -> None:
    handler = find_handler("static-delay")
    assert handler is not None
    assert [one.field for one in handler.problems(config)] == [field]


@pytest.mark.django_db(transaction=True)
def test_delay_waits_a_duration_in_its_unit() -> None:
    workflow(node("wait", "static-delay", {"duration": "{{ input.n }}", "unit": "days"}))
    emit_event(EVENT, {"n": 2})
    drain()
    step = StepRun.objects.get()
    assert (Execution.objects.get().status, step.started_at is not None) == ("WAITING", True)
    assert 172_700 < (step.wake_at - step.started_at).total_seconds() < 172_900


@pytest.mark.django_db(transaction=True)
def test_webhook_gives_the_payload_of_its_event() -> None:
    workflow(node("in", "webhook"), node("out", "transform", {"output": "{{ steps.in.output.n }}"}))
    emit_event(EVENT, {"n": 7, "list": [1]})
    execution = finish()
    found = dict(StepRun.objects.filter(execution=execution).values_list("path", "output_data"))
    assert found == {"in": {"n": 7, "list": [1]}, "out": 7}
