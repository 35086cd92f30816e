"""An unmodified client follows runs, on each channel layer."""

from __future__ import annotations

import pytest
from django.db import transaction

from automate.events import run_workflow
from automate.models import Execution
from automate_core.steps import Effect, StepResult
from tests.factories.engine import edge, node, workflow
from tests.factories.live import hear, hear_until

pytestmark = pytest.mark.django_db(transaction=True)

LAYERS = ["memory", "postgres", "redis"]
ENDS = ("workflow_completed", "workflow_failed", "workflow_cancelled")


@pytest.mark.parametrize("layer", LAYERS, indirect=True)
def test_client_follows_a_run_to_its_end(site, worker, key, register_step):
    register_step("fetch", Effect.IDEMPOTENT, lambda config, context: StepResult({"ok": 1}, "found"))
    automation = workflow(
        node("shape", "transform", {"output": 1}), node("get", "fetch"), node("log", "merge")
    )
    with site.follow(automation.id, key=key) as socket:
        first = hear(socket)
        assert (first["type"], first["state"]["status"], first["seq"]) == ("state_sync", "idle", 0)
        execution_id = str(run_workflow("orders", {"n": 1}))
        heard = hear_until(socket, *ENDS)
    assert [one["seq"] for one in heard] == list(range(1, len(heard) + 1))
    assert {one["execution_id"] for one in heard} == {execution_id}
    assert {one["workflow_id"] for one in heard} == {str(automation.id)}
    assert [(one["type"], one.get("node_id"), one.get("route")) for one in heard] == [
        ("workflow_started", None, None),
        ("node_started", "shape", None),
        ("node_completed", "shape", "default"),
        ("node_started", "get", None),
        ("node_completed", "get", "found"),
        ("node_started", "log", None),
        ("node_completed", "log", "default"),
        ("workflow_completed", None, None),
    ]
    assert Execution.objects.get(pk=execution_id).seq == len(heard)


def test_many_runs_at_once_are_all_told_each_in_order(site, worker, key):
    automation = workflow(node("one", "merge"), node("two", "merge"))
    numbers: dict[str, list[int]] = {}
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        with transaction.atomic():
            begun = {str(run_workflow("orders", {})) for _ in range(200)}
        ended: set[str] = set()
        while ended < begun:
            said = hear(socket)
            numbers.setdefault(said["execution_id"], []).append(said["seq"])
            if said["type"] in ENDS:
                ended.add(said["execution_id"])
    assert numbers == {execution_id: [1, 2, 3, 4, 5, 6] for execution_id in begun}


def test_reader_who_goes_on_reading_gets_every_message_of_a_burst(site, worker, key):
    automation = workflow(
        node("each", "for_each", {"items": list(range(1_250))}),
        node("one", "merge"),
        edges=[edge("each", "one", "item")],
    )
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        run_workflow("orders", {})
        heard = hear_until(socket, *ENDS)
    assert [one["seq"] for one in heard] == list(range(1, len(heard) + 1))
    assert len(heard) > 5_000
    assert heard[-1]["type"] == "workflow_completed"
