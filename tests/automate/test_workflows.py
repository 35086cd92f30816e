"""What may be done to a workflow, and what each change leaves behind."""

from __future__ import annotations

import pytest

from automate.models import Automation, Trigger, WorkflowVersion
from automate.workflows import create_workflow, delete_workflow, problems, restore_version, update_workflow
from automate_core.errors import NotFound, ValidationFailed
from automate_core.models import AuditEntry
from tests.factories.engine import node

pytestmark = pytest.mark.django_db

GRAPH = {"nodes": [node("a", "merge")], "edges": []}
OTHER = {"nodes": [node("b", "merge")], "edges": []}


def create(**changes):
    return create_workflow(**{"name": "Orders", "graph": GRAPH, "by": "test", **changes})


def fields(error):
    return [problem.field for problem in error.value.details]


def test_created_workflow_has_a_first_version_and_a_trigger():
    made = create(trigger_type="event", trigger_config={"event_type": "order.*"})
    assert (made.slug, made.enabled, made.live_version.number, made.live_version.graph) == (
        "orders",
        True,
        1,
        GRAPH,
    )
    trigger = Trigger.objects.get()
    assert (trigger.automation_id, trigger.type, trigger.event_type) == (made.id, "event", "order.*")
    assert AuditEntry.objects.get().action == "workflow.create"


def test_slug_is_made_from_the_name_and_numbered_when_taken():
    assert [create(name="Søren & Co").slug for _ in range(3)] == ["sren-co", "sren-co-2", "sren-co-3"]
    assert create(name="日本").slug == "workflow"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "x" * 201}, ["name"]),
        ({"name": None}, ["name"]),
        ({"slug": "Not A Slug"}, ["slug"]),
        ({"slug": "x" * 101}, ["slug"]),
        ({"trigger_type": "fax"}, ["trigger_type"]),
        ({"graph": {"nodes": [{"id": "a", "type": "nope"}]}}, ["graph.nodes[0].type"]),
        ({"name": "", "slug": "-A", "trigger_type": "event"}, ["name", "slug", "trigger_config.event_type"]),
    ],
)
def test_wrong_workflow_is_refused_with_every_field(changes, expected):
    with pytest.raises(ValidationFailed) as caught:
        create(**changes)
    assert fields(caught) == expected
    assert Automation.objects.count() == 0


def test_explicit_slug_twice_is_refused_and_leaves_the_transaction_usable():
    create(slug="orders")
    with pytest.raises(ValidationFailed) as caught:
        create(slug="orders")
    assert (fields(caught), Automation.objects.count()) == (["slug"], 1)


def test_rename_keeps_the_version_and_a_changed_graph_makes_the_next():
    made = create()
    made = update_workflow(made, by="test", name="Renamed", description="x", enabled=False)
    assert (made.name, made.description, made.enabled, made.live_version.number) == ("Renamed", "x", False, 1)
    made = update_workflow(made, by="test", graph=OTHER)
    assert (made.live_version.number, made.live_version.graph, made.name) == (2, OTHER, "Renamed")
    assert WorkflowVersion.objects.get(number=1).graph == GRAPH


def test_changed_trigger_makes_a_version_and_changes_the_one_trigger_in_place():
    made = create(trigger_type="event", trigger_config={"event_type": "a"})
    before = Trigger.objects.get().id
    made = update_workflow(made, by="test", trigger_type="schedule", trigger_config={"cron": "0 * * * *"})
    trigger = Trigger.objects.get()
    assert (trigger.id, trigger.type, trigger.event_type) == (before, "schedule", "")
    assert (trigger.next_fire_at is not None, made.live_version.number) == (True, 2)
    update_workflow(made, by="test", trigger_type="manual", trigger_config={})
    assert Trigger.objects.get().next_fire_at is None


def test_refused_update_changes_nothing():
    made = create()
    with pytest.raises(ValidationFailed):
        update_workflow(made, by="test", name="New", graph={"nodes": [{"id": "a", "type": "nope"}]})
    made.refresh_from_db()
    assert (made.name, WorkflowVersion.objects.count()) == ("Orders", 1)


def test_restored_version_is_a_new_one_with_the_old_graph_and_trigger():
    made = create(trigger_type="event", trigger_config={"event_type": "a"})
    made = update_workflow(made, by="test", graph=OTHER, trigger_type="manual", trigger_config={})
    made = restore_version(made, 1, by="test")
    assert (made.live_version.number, made.live_version.graph) == (3, GRAPH)
    assert Trigger.objects.get().event_type == "a"
    with pytest.raises(NotFound, match="no version 9"):
        restore_version(made, 9, by="test")


def test_deleted_workflow_leaves_its_audit_trail():
    delete_workflow(create(), by="ann")
    assert (Automation.objects.count(), WorkflowVersion.objects.count(), Trigger.objects.count()) == (0, 0, 0)
    entry = AuditEntry.objects.order_by("-id").first()
    assert (entry.action, entry.actor) == ("workflow.delete", "ann")


def test_problems_are_named_as_in_the_rest_body():
    found = problems(graph={"nodes": 3}, trigger_type="model", trigger_config={})
    assert [problem.field for problem in found] == ["graph.nodes", "trigger_config.model"]
