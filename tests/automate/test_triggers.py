"""Triggers: which events start a workflow, by type, glob, source and rule."""

from __future__ import annotations

import pytest

from automate.events import emit_event
from automate.models import Event, Execution
from automate.triggers import trigger_problems, trigger_spec
from tests.factories.engine import drain, node, workflow


@pytest.mark.parametrize(
    ("kind", "config", "fields"),
    [
        ("manual", {}, []),
        ("event", {"event_type": "a"}, []),
        ("event", {"source": "shop"}, []),
        ("event", {}, ["trigger_config.event_type"]),
        ("webhook", {}, ["trigger_config.event_type"]),
        ("event", {"event_type": 7}, ["trigger_config.event_type"]),
        ("event", {"event_type": "x" * 256}, ["trigger_config.event_type"]),
        ("event", {"event_type": "a", "source": "s" * 101}, ["trigger_config.source"]),
        ("event", {"event_type": "a", "rule": {"nope": []}}, ["trigger_config.rule"]),
        ("event", {"event_type": None, "source": []}, ["trigger_config.event_type", "trigger_config.source"]),
        ("model", {"model": "auth.Group"}, []),
        ("model", {}, ["trigger_config.model"]),
        ("model", {"model": "Order"}, ["trigger_config.model"]),
        ("model", {"model": "shop.Order"}, ["trigger_config.model"]),
        ("model", {"model": "auth.Order"}, ["trigger_config.model"]),
        ("model", {"model": "automate.Execution"}, ["trigger_config.model"]),
        ("model", {"model": "auth.Group", "changes": []}, ["trigger_config.changes"]),
        ("model", {"model": "auth.Group", "changes": ["read"]}, ["trigger_config.changes"]),
        ("model", {"model": "auth.Group", "changes": [{}]}, ["trigger_config.changes"]),
        ("model", {"model": "auth.Group", "changes": "created"}, ["trigger_config.changes"]),
        ("schedule", {"cron": "0 * * * *"}, []),
        ("schedule", {"cron": "0 * * * *", "jitter_seconds": 60, "missed": "all", "missed_limit": 5}, []),
        ("schedule", {"cron": "0 * * * *", "jitter": 60}, ["trigger_config.jitter"]),
        ("event", {"event_type": "a", "cron": "0 * * * *"}, ["trigger_config.cron"]),
        ("webhook", {"event_type": "a", "b": 1, "a": 1}, ["trigger_config.a", "trigger_config.b"]),
        ("manual", {"event_type": "a", "source": "b", "rule": True}, []),
        ("manual", {"form": {"type": "object"}}, []),
        ("manual", {"model": "auth.Group"}, ["trigger_config.model"]),
        ("event", {"event_type": "a", 5: 1}, ["trigger_config.5"]),
        ("execution", {"on": "failed"}, []),
        ("execution", {"on": "finished", "workflow": "orders-*"}, []),
        ("execution", {"on": "overdue", "after_seconds": 60}, []),
        ("execution", {}, ["trigger_config.on"]),
        ("execution", {"on": "ended"}, ["trigger_config.on"]),
        ("execution", {"on": ["failed"]}, ["trigger_config.on"]),
        ("execution", {"on": "failed", "workflow": "Orders"}, ["trigger_config.workflow"]),
        ("execution", {"on": "failed", "workflow": ""}, ["trigger_config.workflow"]),
        ("execution", {"on": "failed", "workflow": []}, ["trigger_config.workflow"]),
        ("execution", {"on": "failed", "after_seconds": 5}, ["trigger_config.after_seconds"]),
        ("execution", {"on": "overdue"}, ["trigger_config.after_seconds"]),
        ("execution", {"on": "overdue", "after_seconds": 0}, ["trigger_config.after_seconds"]),
        ("execution", {"on": "overdue", "after_seconds": 1.5}, ["trigger_config.after_seconds"]),
        ("fax", {}, ["trigger_type"]),
        (None, {}, ["trigger_type"]),
        ([], {}, ["trigger_type"]),
        ("event", [], ["trigger_config"]),
    ],
)
def test_problems_name_the_field(kind, config, fields):
    assert [problem.field for problem in trigger_problems(kind, config)] == fields


@pytest.mark.parametrize(
    "config", [{}, {"cron": "99 * * * *"}, {"cron": 7}, {"cron": "0 * * * *", "timezone": "Mars"}]
)
def test_wrong_schedule_is_named_under_the_trigger(config):
    found = trigger_problems("schedule", config)
    assert found
    assert all(problem.field.startswith("trigger_config.") for problem in found)


@pytest.mark.parametrize(
    ("changes", "matches"),
    [
        (["created"], {"created"}),
        (["created", "updated"], {"created", "updated"}),
        (["deleted", "created"], {"created", "deleted"}),
        (["updated", "updated"], {"updated"}),
        (None, {"created", "updated", "deleted"}),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_model_trigger_listens_to_exactly_its_changes(changes, matches):
    config = {"model": "auth.Group", **({"changes": changes} if changes else {})}
    workflow(node("a", "merge"), trigger_type="model", trigger_config=config)
    for change in ("created", "updated", "deleted"):
        emit_event(f"model.auth.group.{change}", {}, source="model")
    drain()
    started = Execution.objects.values_list("event__type", flat=True)
    assert {kind.rpartition(".")[2] for kind in started} == matches


def test_model_trigger_listens_to_models_only():
    assert (
        trigger_spec("model", {"model": "auth.Group", "changes": ["created"]}, automation_id="").source
        == "model"
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("config", "started"),
    [
        ({"event_type": "order.created"}, {"order.created"}),
        ({"event_type": "order.*"}, {"order.created", "order.paid"}),
        ({"event_type": "order.?aid"}, {"order.paid"}),
        ({"event_type": "*"}, {"order.created", "order.paid", "user.created"}),
        ({"source": "shop"}, {"order.paid"}),
        ({"event_type": "order.created", "source": "shop"}, set()),
        ({"event_type": "*", "rule": {">": [{"var": "n"}, 1]}}, {"order.paid", "user.created"}),
        ({"event_type": "*", "rule": {"==": [{"var": "event.type"}, "user.created"]}}, {"user.created"}),
        ({"event_type": "*", "rule": {"==": [{"var": "source"}, "shop"]}}, {"order.paid"}),
        ({"event_type": "order.*", "rule": {"throw": "x"}}, set()),
    ],
)
def test_events_that_match_start_the_workflow(config, started):
    workflow(node("a", "merge"), trigger_config=config)
    for number, (kind, source) in enumerate(
        [("order.created", ""), ("order.paid", "shop"), ("user.created", "")], 1
    ):
        emit_event(kind, {"n": number}, source=source)
    drain()
    assert set(Execution.objects.values_list("event__type", flat=True)) == started
    assert Event.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_one_event_starts_every_workflow_that_listens_once():
    for slug, kind in (("exact", "order.created"), ("glob", "order.*"), ("other", "user.*")):
        workflow(node("a", "merge"), slug=slug, trigger_config={"event_type": kind})
    emit_event("order.created", {})
    drain()
    assert sorted(Execution.objects.values_list("automation__slug", "status")) == [
        ("exact", "SUCCESS"),
        ("glob", "SUCCESS"),
    ]


def test_unknown_key_is_told_what_is_known():
    (problem,) = trigger_problems("manual", {"forms": {}})
    assert problem.message == ("is not known to manual triggers; known: event_type, form, rule, source")


@pytest.mark.parametrize(
    ("kind", "config"),
    [("model", {"model": "auth.User", "fields": ["email"]}), ("execution", {"on": "failed"})],
)
def test_rule_that_is_too_deep_beside_what_the_trigger_demands_is_refused_when_saved(kind, config):
    """On its own the rule is just short enough."""
    rule = {"var": "a"}
    while not trigger_problems("event", {"event_type": "a", "rule": {"!": [rule]}}):
        rule = {"!": [rule]}
    found = trigger_problems(kind, {**config, "rule": rule})
    assert [problem.field for problem in found] == ["trigger_config.rule"]
