"""The string iterator: how texts are taken apart, and that its body runs for each part as in any loop."""

from __future__ import annotations

from typing import Any

import pytest

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.nodes.string_iterator import StringIteratorStep
from automate.runtime import run as run_module
from tests.factories.engine import EVENT, edge, finish, node, workflow
from tests.factories.killing import outcomes_under_kills


def iterate(config: dict[str, Any]) -> None:
    nodes = [
        node("parts", "string-iterator", config),
        node("show", "transform", {"output": "{{ index }}={{ item }}"}),
        node("end", "transform", {"output": "{{ steps.parts.output.count }}"}),
    ]
    workflow(*nodes, edges=[edge("parts", "show", "item"), edge("parts", "end", "done")])


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"text": " a, b ,,c "}, ["a", "b", "c"]),
        ({"text": "a, b", "trim": False}, ["a", " b"]),
        ({"text": "a,,b,", "skip_empty": False}, ["a", "", "b", ""]),
        ({"text": "a -> b -> c", "separator": "->"}, ["a", "b", "c"]),
        ({"text": "one\ntwo\r\n\nthree\n", "split_by": "lines"}, ["one", "two", "three"]),
        ({"text": "  to be\tor ", "split_by": "words"}, ["to", "be", "or"]),
        ({"text": "a é", "split_by": "characters"}, ["a", " ", "é"]),
        ({"text": ""}, []),
    ],
)
def test_text_is_taken_apart_as_the_form_says(config: dict[str, Any], parts: list[str]) -> None:
    handler = StringIteratorStep()
    assert handler.problems(config) == []
    assert handler.items_of(config) == parts


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "text"),
        ({"text": 5}, "text"),
        ({"text": "a", "split_by": "bytes"}, "split_by"),
        ({"text": "a", "separator": ""}, "separator"),
        ({"text": "a", "separator": ",", "split_by": "lines"}, "separator"),
        ({"text": "a", "trim": "yes"}, "trim"),
        ({"text": "a", "concurrency": 0}, "concurrency"),
        ({"text": "a", "items": []}, "items"),
    ],
)
def test_form_that_cannot_be_split_by_is_refused(config: dict[str, Any], field: str) -> None:
    assert [one.field for one in StringIteratorStep().problems(config)] == [field]


@pytest.mark.django_db(transaction=True)
def test_body_runs_for_each_part() -> None:
    iterate({"text": "{{ input.tags }}", "result": "{{ steps.show.output | upper }}"})
    emit_event(EVENT, {"tags": "red, green"})
    finish()
    found = dict(StepRun.objects.values_list("path", "output_data"))
    assert found["parts"] == {"results": ["0=RED", "1=GREEN"], "count": 2, "failed": 0, "errors": []}
    assert (found["parts[1]/show"], found["end"]) == ("1=green", 2)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("tags", [["red"], None, 5])
def test_what_is_no_text_fails_the_loop(tags: Any) -> None:
    iterate({"text": "{{ input.tags }}"})
    emit_event(EVENT, {"tags": tags})
    execution = finish()
    assert (execution.status, execution.error_code) == ("FAILED", "PERMANENT_ERROR")
    assert execution.error_summary.startswith("parts: text must be a text, not ")


@pytest.mark.django_db(transaction=True)
def test_loop_survives_a_worker_lost_at_any_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "TURN_STEPS", 2)
    iterate({"text": "{{ input.tags }}"})
    for execution in outcomes_under_kills({"tags": "a,b,c"}):
        rows = StepRun.objects.filter(execution=execution)
        assert Execution.objects.get(pk=execution.pk).status == "SUCCESS"
        assert rows.get(path="parts").output_data["results"] == ["0=a", "1=b", "2=c"]
