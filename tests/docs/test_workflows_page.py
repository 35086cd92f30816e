"""The page on workflows shows what really happens: its graphs compile, its steps give the outputs beside them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from automate import workflows
from automate.enums import TriggerType
from automate.models import Execution, StepRun
from automate.runtime import Runtime
from tests.docs.pages import ROOT, blocks
from tests.factories.engine import workflow

PAGE = ROOT / "docs" / "how-to" / "workflows.md"
INPUT = {"order_id": "O1", "total": 150, "items": ["a", "b"], "email": "ada@example.com"}

_EXAMPLE = re.compile(
    r"^### ([\w.]+)\n.*?^```json\n(.*?)^```\n\nOutput: `(.*?)`[.;]", re.MULTILINE | re.DOTALL
)


def examples() -> dict[str, tuple[dict[str, Any], Any]]:
    """Return each built-in step's example node and the output shown with it."""
    sections = re.split(r"^(?=### )", PAGE.read_text().split("## Triggers")[0], flags=re.MULTILINE)
    found = [match for section in sections if (match := _EXAMPLE.search(section))]
    return {match[1]: (json.loads(match[2]), json.loads(match[3])) for match in found}


def test_every_step_with_an_output_has_an_example() -> None:
    assert set(examples()) == {
        "transform", "set", "condition", "logging", "merge", "http.request", "email.send", "slack.send_message",
    }  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_steps_give_the_output_shown() -> None:
    shown = {kind: example for kind, example in examples().items() if "." not in kind}
    order = ["transform", "set", "condition", "logging", "merge"]
    automation = workflow(*(shown[kind][0] for kind in order), slug="shown")
    execution = Execution.objects.create(automation=automation, context=INPUT)
    Runtime().run_execution(execution.id)

    given = dict(StepRun.objects.filter(execution=execution).values_list("node_type", "output_data"))
    assert given == {kind: output for kind, (_, output) in shown.items()}


def test_an_email_step_gives_the_output_shown(db: None, mailoutbox: list[Any]) -> None:
    from automate_connectors import registry

    node, shown = examples()["email.send"]
    config = {**node["config"], "to": INPUT["email"]}
    output = registry.get_connector("email")({}).execute_action("send", config)
    assert (set(output), output["sent"]) == (set(shown), shown["sent"])
    assert [message.to for message in mailoutbox] == [["ada@example.com"]]


def test_graphs_and_triggers_of_the_page_are_valid() -> None:
    found = [json.loads(block.text) for block in blocks(PAGE, "json")]
    graphs = [one if "nodes" in one else {"nodes": [one]} for one in found if "nodes" in one or "type" in one]
    triggers = [one for one in found if "nodes" not in one and "type" not in one]
    assert (len(graphs), len(triggers)) == (10, 1)
    for graph in graphs:
        assert workflows.problems(graph=graph) == []
    for trigger in triggers:
        assert workflows.problems(trigger_type=TriggerType.EVENT, trigger_config=trigger) == []


def test_messages_of_the_page_are_those_of_the_compiler() -> None:
    texts = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text().split("## When saving is refused")[1].split("## ")[0],
                       re.MULTILINE)  # fmt: skip
    log = {"type": "logging", "config": {"message": "x"}}
    wrong: list[dict[str, Any]] = [
        {"nodes": [{"id": "a", "type": "loging"}]},
        {"nodes": [{"id": "a", **log}, {"id": "a", **log}]},
        {"nodes": [{"id": "a", **log}], "edges": [{"source": "a", "target": "b"}]},
        {
            "nodes": [{"id": "a", **log}, {"id": "b", **log}],
            "edges": [{"source": "a", "target": "b"}, {"source": "b", "target": "a"}],
        },
        {
            "nodes": [{"id": "a", "type": "condition", "config": {"rule": True}}, {"id": "b", **log}],
            "edges": [{"source": "a", "target": "b", "source_handle": "big"}],
        },
        {"nodes": [{"id": "a", "type": "logging", "config": {"message": "{{ x | nope }}"}}]},
        {"nodes": [{"id": "a", "type": "condition", "config": {"rule": {"vra": 1}}}]},
        {"nodes": [{"id": "a", "type": "http.request", "config": {}}]},
    ]
    assert len(texts) == len(wrong)
    for text, graph in zip(texts, wrong, strict=True):
        (problem,) = workflows.problems(graph=graph)
        assert problem.message.startswith(text.rstrip("."))
