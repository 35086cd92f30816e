from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from automate.models import Automation, Execution
from automate.workflows import create_workflow, update_workflow
from automate_core.models import OutboxItem

pytestmark = pytest.mark.django_db(transaction=True)


def workflow(config: dict[str, object] | None = None, *, kind: str = "transform") -> Automation:
    node = {"id": "shape", "type": kind, "config": config or {"output": "{{ input.n }}"}}
    return create_workflow(name="Orders", slug="orders", graph={"nodes": [node]}, by="test")


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("automate_run", *arguments, stdout=out)
    return out.getvalue().strip()


def test_run_queues_an_execution_and_prints_its_id() -> None:
    workflow()
    execution_id = run("orders", '{"n": 1}')
    execution = Execution.objects.get()
    assert (str(execution.id), execution.status, execution.context) == (execution_id, "QUEUED", {"n": 1})
    assert OutboxItem.objects.get().kind == "execution"


def test_run_with_wait_runs_it_here() -> None:
    workflow()
    assert run("orders", '{"n": 1}', "--wait") == str(Execution.objects.get().id)
    assert (Execution.objects.get().status, OutboxItem.objects.count()) == ("SUCCESS", 0)


def test_run_with_wait_ends_with_1_when_it_failed() -> None:
    workflow()
    with pytest.raises(CommandError, match="It ended as FAILED: TEMPLATE_ERROR") as caught:
        run("orders", "{}", "--wait")
    assert (caught.value.returncode, Execution.objects.get().status) == (1, "FAILED")


def test_run_with_wait_leaves_what_waits_too_long_to_the_workers() -> None:
    workflow({"seconds": 3600}, kind="delay")
    with pytest.raises(CommandError, match="It is still WAITING; a worker goes on with it"):
        run("orders", "{}", "--wait", "--timeout", "0")
    assert (Execution.objects.get().status, OutboxItem.objects.get().status) == ("WAITING", "PENDING")


def test_run_says_in_one_line_what_is_wrong() -> None:
    automation = workflow()
    with pytest.raises(CommandError, match="There is no workflow 'nothing'") as caught:
        run("nothing", "{}")
    assert caught.value.returncode == 1
    with pytest.raises(CommandError, match="JSON must be a JSON object") as caught:
        run("orders", '"text"')
    assert caught.value.returncode == 2
    update_workflow(automation, by="test", enabled=False)
    with pytest.raises(CommandError, match="The workflow 'orders' is disabled"):
        run("orders", "{}")
    assert Execution.objects.count() == 0
