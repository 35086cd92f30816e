"""The pages on triggers: their configurations are valid, and what they say is sent is what is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from automate import model_triggers
from automate.executions.watchers import announce
from automate.forms import filled
from automate.models import Event, Execution
from automate.timetable import Timetable
from automate.triggers import KEYS, trigger_problems
from automate_core.errors import ValidationFailed
from tests.docs.pages import ROOT, blocks
from tests.factories.engine import node, workflow

REFERENCE = ROOT / "docs" / "reference" / "triggers.md"
MODELS = ROOT / "docs" / "how-to" / "model-triggers.md"
SCHEDULES = ROOT / "docs" / "how-to" / "schedules.md"


def shown(page: Any) -> list[dict[str, Any]]:
    return [json.loads(block.text) for block in blocks(page, "json")]


def test_configurations_of_the_pages_are_valid() -> None:
    event, manual, execution, _ = shown(REFERENCE)
    first, _, second, _ = shown(MODELS)
    given = [("event", event), ("manual", manual), ("execution", execution)]
    given += [("schedule", config) for config in shown(SCHEDULES)]
    for kind, config in given:
        assert trigger_problems(kind, config) == [], config
    here = {"shop.Order": "auth.User", "status": "email", "customer": "first_name"}
    for config in (first, second):
        config["model"] = here[config["model"]]
        if "fields" in config:
            config["fields"] = [here[name] for name in config["fields"]]
        assert trigger_problems("model", config) == [], config


def test_every_key_is_on_the_page() -> None:
    text = REFERENCE.read_text()
    assert {key for keys in KEYS.values() for key in keys if f"`{key}`" not in text} == set()


def test_form_does_what_the_page_says() -> None:
    form = shown(REFERENCE)[1]["form"]
    assert filled(form, {"amount": 5}) == {"amount": 5, "currency": "EUR"}
    with pytest.raises(ValidationFailed) as caught:
        filled(form, {"amount": "5"})
    assert [problem.as_dict() for problem in caught.value.details] == [
        {"field": "payload.amount", "message": "Must be number"}
    ]


@pytest.mark.django_db(transaction=True)
def test_payload_of_an_ended_execution_has_the_members_shown() -> None:
    made = workflow(node("a", "merge"), slug="orders-eu")
    workflow(node("a", "merge"), slug="w", trigger_type="execution", trigger_config={"on": "failed"})
    ended = Execution.objects.create(
        automation=made, status="FAILED", error_code="PERMANENT_ERROR", finished_at=timezone.now()
    )
    announce([ended.id])
    event = Event.objects.get()
    example = shown(REFERENCE)[3]
    assert (event.type, list(event.payload["error"])) == (
        "execution.failed.orders-eu",
        list(example["error"]),
    )
    assert set(event.payload) == set(example)


@pytest.mark.django_db(transaction=True)
def test_payload_of_a_changed_model_has_the_members_shown() -> None:
    config = {"model": "auth.Group", "fields": ["name"]}
    workflow(node("a", "merge"), trigger_type="model", trigger_config=config)
    group = Group.objects.create(name="a")
    Group(pk=group.pk, name="b").save()
    made, updated = Event.objects.order_by("id").values_list("payload", flat=True)
    assert set(made) == set(shown(MODELS)[1])
    assert set(updated) == set(made) | set(shown(MODELS)[3])
    model_triggers.forget()


def test_interval_counts_from_the_anchor_shown() -> None:
    table = Timetable.parse(shown(SCHEDULES)[2], seed="a")
    assert table.next_after(table.next_after(timezone.now()).at).at.minute == 10
