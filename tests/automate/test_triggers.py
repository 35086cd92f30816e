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
