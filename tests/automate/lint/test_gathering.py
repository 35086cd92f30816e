from __future__ import annotations

from typing import Any

import pytest

from automate.lint import Severity
from automate.lint.gathering import last_sample, lint_workflow, stored_facts
from automate.models import Automation, Event, Execution, Trigger
from automate.triggers import trigger_spec
from automate_connectors import connections
from automate_core import secrets
from tests.automate.lint.graphs import graph, log
from tests.factories.engine import workflow

pytestmark = pytest.mark.django_db


def payload(automation: Automation, kind: str = "event", **config: Any) -> Any:
    sample = last_sample(automation, trigger_spec(kind, config, automation_id=str(automation.pk)))
    return None if sample is None else sample.payload


def happened(type: str = "order.created", **fields: Any) -> Event:
    return Event.objects.create(type=type, **fields)


@pytest.fixture
def orders() -> Automation:
    return workflow(log())


def test_sample_is_the_last_event_of_the_type(orders: Automation) -> None:
    assert payload(orders, event_type="order.created") is None
    happened(payload={"n": 1})
    happened(payload={"n": 2})
    happened("order.deleted", payload={"n": 3})
    assert payload(orders, event_type="order.created") == {"n": 2}
    assert payload(orders, event_type="order.*") == {"n": 3}
    assert payload(orders, event_type="order.[c]*") == {"n": 2}


def test_sample_agrees_with_source_and_rule(orders: Automation) -> None:
    happened(source="shop", payload={"n": 1})
    happened(source="till", payload={"n": 2})
    assert payload(orders, event_type="order.created", source="shop") == {"n": 1}
    assert payload(orders, source="shop") == {"n": 1}
    assert payload(orders, event_type="order.created", rule={"<": [{"var": "input.n"}, 2]}) == {"n": 1}
    assert payload(orders, event_type="order.created", rule={"<": [{"var": "input.n"}, 1]}) is None
    throws = {"throw": "no"}
    assert payload(orders, event_type="order.created", rule=throws) is None


def test_sample_is_no_event_whose_payload_was_pruned(orders: Automation) -> None:
    from django.utils import timezone

    happened(payload={"n": 1})
    happened(payload={}, pruned_at=timezone.now(), dedupe_key="k")
    assert payload(orders, event_type="order.created") == {"n": 1}


def test_sample_of_a_manual_workflow_is_the_input_of_its_last_run(orders: Automation) -> None:
    assert payload(orders, "manual") is None
    first = Execution.objects.create(automation=orders, context={"n": 1})
    Execution.objects.create(automation=orders, context={"n": 2}, replay_of=first)
    Execution.objects.create(automation=orders, context={"source": "", "event_type": "x"}, event=happened())
    assert payload(orders, "manual") == {"n": 1}


def test_sample_of_a_schedule_is_its_own_last_fire(orders: Automation) -> None:
    trigger = Trigger.objects.get(automation=orders)
    fired = happened("schedule.fired", source="schedule", payload={"trigger_id": str(trigger.pk)})
    assert payload(orders, "schedule", interval_seconds=60) is None
    Execution.objects.create(automation=orders, event=fired)
    assert payload(orders, "schedule", interval_seconds=60) == {"trigger_id": str(trigger.pk)}


def test_stored_facts_are_those_of_the_tenant() -> None:
    secrets.store("API_KEY", "x", by="test")
    connections.create(name="shop", connector="http", config={"base_url": "https://api.example.com"})
    facts = stored_facts()
    assert (facts.secrets, facts.bound) == (frozenset({"API_KEY"}), frozenset({"slack"}))
    assert facts.workflows == frozenset()
    assert {name: one.connector for name, one in (facts.connections or {}).items()} == {"shop": "http"}


def test_workflow_is_compared_with_its_last_event(orders: Automation) -> None:
    event = happened(payload={"total": 1})
    trigger = {"trigger_type": "event", "trigger_config": {"event_type": "order.created"}}
    (only,) = lint_workflow(orders, graph=graph(log(message="{{ input.totl }}")), **trigger)
    assert only.message.startswith(f"'input.totl' was not in the last event order.created ({event.pk})")


def test_wrong_trigger_is_an_error(orders: Automation) -> None:
    (only,) = lint_workflow(orders, graph=graph(log()), trigger_type="event", trigger_config={})
    assert (only.code, only.field, only.severity) == ("invalid", "trigger_config.event_type", Severity.ERROR)
