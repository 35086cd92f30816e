"""The page on nodes shows what really happens: each of its graphs is run, and does what is written below it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from automate import workflows
from automate.approvals.verbs import decide
from automate.events import emit_event, run_workflow
from automate.models import Approval, StepRun
from automate.waits.tokens import resume_token
from automate.workflows import create_workflow
from automate_core.management.base import aligned
from automate_core.models import DEFAULT_TENANT_ID, Membership, Role
from automate_core.steps import step_registry
from tests.docs.pages import ROOT, blocks
from tests.factories.engine import drain, finish, node, workflow

PAGE = ROOT / "docs" / "reference" / "nodes.md"

_SHOWN = re.compile(
    r"^```json\n((?:(?!^```).)*)^```\n(?:(?!^```|^#).)*?^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL
)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def has_an_approver() -> None:
    user = get_user_model().objects.create_user("ada")
    Membership.objects.create(user=user, tenant_id=DEFAULT_TENANT_ID, role=Role.RUNNER)


def has_an_invoice_workflow() -> None:
    workflow(
        node("number", "transform", {"output": {"number": "INV-{{ input.order }}"}}), slug="make-invoice"
    )


def is_paid(execution_id: str) -> None:
    emit_event("order.paid", {"order_id": "O1", "by": "card"})


def is_posted_to(execution_id: str) -> None:
    url = f"/api/automate/resume/{resume_token(execution_id, 'courier')}/"
    answer = Client().post(url, {"parcel": "P7"}, content_type="application/json")
    assert answer.status_code == 202


def is_approved(execution_id: str) -> None:
    approval = Approval.objects.get(execution_id=execution_id)
    by = get_user_model().objects.get(username="ada")
    decide(approval, by=by, decision="approve", data={"amount": 100})


BEFORE: dict[str, Callable[[], None]] = {
    "approval": has_an_approver,
    "subworkflow": has_an_invoice_workflow,
}
"""What the example of a section takes for granted."""

MEANWHILE: dict[str, Callable[[str], None]] = {
    "approval": is_approved,
    "wait_for_event": is_paid,
    "wait_for_webhook": is_posted_to,
}
"""What happens while the example of a section waits."""


def sections() -> dict[str, tuple[dict[str, Any], str]]:
    """Return each section's graph and what is shown of its run."""
    parts = re.split(r"^##+ (.+)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        match = _SHOWN.search(text)
        if match:
            found[title] = (json.loads(match[1]), match[2])
    return found


def given() -> dict[str, Any]:
    """Return the input the page shows."""
    return json.loads(blocks(PAGE, "json")[0].text)


def outcome(title: str, graph: dict[str, Any]) -> str:
    """Run a graph as a worker would and return its steps as the page shows them."""
    BEFORE.get(title, lambda: None)()
    create_workflow(name="shown", graph=graph, by="test")
    execution_id = run_workflow("shown", given())
    drain()
    MEANWHILE.get(title, lambda _: None)(execution_id)
    execution = finish(execution_id)
    steps = StepRun.objects.filter(execution=execution).order_by("seq", "id")
    shown = "".join(f"{line}\n" for line in aligned([_row(step) for step in steps]))
    return _TIME.sub("2026-05-01T09:30:00+00:00", _UUID.sub("01990000-0000-7000-8000-000000000001", shown))


def _row(step: StepRun) -> list[str]:
    said = step.error_code if step.error_code else json.dumps(step.output_data)
    return [step.path, step.status, step.route or "-", said]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("title", sections())
def test_graph_does_what_is_shown(title: str) -> None:
    graph, shown = sections()[title]
    assert outcome(title, graph) == shown


def test_every_graph_and_node_of_the_page_compiles() -> None:
    found = [json.loads(block.text) for block in blocks(PAGE, "json")[1:]]
    graphs = [one if "nodes" in one else {"nodes": [one]} for one in found]
    assert [workflows.problems(graph=graph) for graph in graphs] == [[]] * len(graphs)


def test_every_type_of_node_has_a_section() -> None:
    titles = re.findall(r"^### (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    described = {word for title in titles for word in re.split(r" and |, ", title)}
    ours = {kind for kind in step_registry if type(step_registry.get(kind)).__module__.startswith("automate")}
    assert ours - described == set()


def test_every_second_name_is_listed() -> None:
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| \[(\w+)\]", PAGE.read_text(), flags=re.MULTILINE))
    handlers = [step_registry.get(kind) for kind in step_registry]
    ours = [one for one in handlers if type(one).__module__.startswith("automate")]
    assert listed == {name.replace("_", "-"): one.type for one in ours for name in one.aliases}
