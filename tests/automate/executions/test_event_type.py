"""The event type an execution carries: given by whoever makes it, else filled in by the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from automate.events import emit_event, run_workflow
from automate.limits.debounce import close_due
from automate.models import Event, Execution, TriggerWindow
from automate.replays import replay
from automate.workflows import update_workflow
from tests.factories.engine import EVENT, drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

LOG = node("log", "logging", {"message": "done"})
TRIGGER = "automate_execution_event_type"


@pytest.fixture
def no_trigger() -> Iterator[None]:
    """Leave it to whoever makes executions."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE automate_execution DISABLE TRIGGER {TRIGGER}")
        yield
        cursor.execute(f"ALTER TABLE automate_execution ENABLE TRIGGER {TRIGGER}")


def types() -> list[str]:
    return list(Execution.objects.order_by("id").values_list("event_type", flat=True))


def dispatched() -> None:
    workflow(LOG)
    emit_event(EVENT, {})
    drain()


def held() -> None:
    made = workflow(LOG)
    graph = {"nodes": [LOG], "settings": {"concurrency": {"limit": 1}}}
    update_workflow(made, by="test", graph=graph)
    emit_event(EVENT, {})
    drain()


def debounced() -> None:
    workflow(LOG, trigger_config={"event_type": EVENT, "debounce": {"seconds": 60}})
    emit_event(EVENT, {})
    drain()
    TriggerWindow.objects.update(closes_at="2024-01-01T00:00:00Z", opened_at="2024-01-01T00:00:00Z")
    close_due(list(TriggerWindow.objects.values_list("id", flat=True)))


@pytest.mark.parametrize("start", [dispatched, held, debounced])
@pytest.mark.usefixtures("no_trigger")
def test_execution_that_an_event_starts_carries_its_type(start: Callable[[], None]) -> None:
    start()
    assert types() == [EVENT]


@pytest.mark.usefixtures("no_trigger")
def test_replay_carries_the_type_too() -> None:
    dispatched()
    original = Execution.objects.get()
    assert replay(original, by="test").event_type == EVENT
    assert replay(original, by="test", payload={"n": 1}).event_type == EVENT
    assert types() == [EVENT] * 3


def test_execution_without_an_event_has_none() -> None:
    workflow(LOG, trigger_type="manual", trigger_config={})
    run_workflow("orders", {})
    assert types() == [""]


def test_database_fills_in_the_type_however_the_row_is_made() -> None:
    automation = workflow(LOG)
    event = Event.objects.create(type="order.paid")
    made = Execution.objects.create(automation=automation, event=event)
    row = Execution(automation=automation, event=event, tenant_id=automation.tenant_id)
    Execution.objects.bulk_create([row])
    assert types() == ["order.paid"] * 2
    made.save()
    assert types() == ["order.paid"] * 2


def test_executions_that_were_there_before_are_filled_in() -> None:
    automation = workflow(LOG)
    kinds = ["a", "b", "", "c"]
    events = [Event.objects.create(type=kind) if kind else None for kind in kinds]
    made = [Execution.objects.create(automation=automation, event=event) for event in events]
    migration = import_module("automate.migrations.0013_event_type_of_old")
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE automate_execution SET event_type = ''")
        cursor.execute("RESET session_replication_role")
    assert types() == ["", "", "", ""]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "ROWS", 2)
        migration.fill(apps, connection.schema_editor())
    assert [Execution.objects.get(pk=one.pk).event_type for one in made] == kinds
