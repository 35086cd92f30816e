from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from automate.models import WorkflowVersion
from automate_core.context import tenant_scope
from automate_core.models import Tenant
from tests.automate.lint.graphs import log
from tests.factories.engine import workflow

pytestmark = pytest.mark.django_db


def lint(*arguments: str) -> str:
    out = io.StringIO()
    call_command("automate_lint", *arguments, stdout=out, no_color=True)
    return out.getvalue()


@pytest.fixture
def _two() -> None:
    workflow(log(), slug="clean")
    workflow(log("say", "{{ evnt.id }}"), slug="doubtful")


def broken() -> None:
    graph: Any = {"nodes": [{"id": "gone", "type": "gone.away", "config": {}}], "edges": []}
    automation = workflow(log(), slug="broken")
    WorkflowVersion.objects.filter(automation=automation).update(graph=graph)


@pytest.mark.usefixtures("_two")
def test_lint_goes_through_every_workflow_and_sums_up() -> None:
    assert lint().splitlines() == [
        "clean v1  ok",
        "doubtful v1  warning  unknown_path  graph.nodes[0].config.message",
        "    'evnt.id' begins with 'evnt', which is nothing; did you mean 'event'?",
        "2 workflows: 0 errors, 1 warning",
    ]


@pytest.mark.usefixtures("_two")
def test_lint_of_named_workflows_leaves_out_the_others() -> None:
    assert lint("clean").splitlines() == ["clean v1  ok", "1 workflow: 0 errors, 0 warnings"]
    with pytest.raises(CommandError, match="There is no workflow 'absent'"):
        lint("clean", "absent")


@pytest.mark.usefixtures("_two")
def test_lint_fails_at_the_level_asked_for() -> None:
    with pytest.raises(CommandError, match="2 workflows: 0 errors, 1 warning") as caught:
        lint("--fail-on", "warning")
    assert caught.value.returncode == 1
    assert lint("clean", "--fail-on", "warning").endswith("1 workflow: 0 errors, 0 warnings\n")


def test_lint_fails_for_a_workflow_that_cannot_run() -> None:
    broken()
    with pytest.raises(CommandError, match="1 workflow: 1 error, 0 warnings"):
        lint()


@pytest.mark.usefixtures("_two")
def test_lint_as_json_has_everything() -> None:
    report = json.loads(lint("--format", "json"))
    assert (report["errors"], report["warnings"]) == (0, 1)
    assert [(one["workflow"], one["version"], len(one["findings"])) for one in report["workflows"]] == [
        ("clean", 1, 0),
        ("doubtful", 1, 1),
    ]
    assert set(report["workflows"][1]["findings"][0]) == {"code", "node", "field", "message", "severity"}


@pytest.mark.usefixtures("_two")
def test_lint_stays_in_the_tenant() -> None:
    other = Tenant.objects.create(slug="other", name="Other")
    with tenant_scope(other.pk):
        workflow(log(), slug="theirs")
    assert lint("--tenant", "other").splitlines() == ["theirs v1  ok", "1 workflow: 0 errors, 0 warnings"]
