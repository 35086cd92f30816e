"""Dispatch: routing tables that are complete or not there at all."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection

from automate import dispatch
from automate.events import emit_event
from automate.models import Execution
from automate.workflows import create_workflow
from automate_core.context import tenant_scope
from automate_core.models import Tenant
from automate_core.outbox.drain import Drain

pytestmark = pytest.mark.django_db(transaction=True)

GRAPH = {"nodes": [{"id": "only", "type": "transform", "config": {"output": "done"}}]}


@pytest.fixture(autouse=True)
def _no_tables():
    dispatch.forget()
    yield
    dispatch.forget()


def orders():
    return create_workflow(
        name="Orders", graph=GRAPH, by="test", trigger_type="event", trigger_config={"event_type": "order"}
    )


def statuses():
    return list(Execution.all_tenants.values_list("status", flat=True))


def test_event_starts_its_workflow_although_the_connection_broke_while_triggers_were_read(monkeypatch):
    orders()
    emit_event("order", {})
    with monkeypatch.context() as patch:
        patch.setattr(
            dispatch, "_TRIGGERS", "SELECT pg_terminate_backend(pg_backend_pid()), %(tenants)s::uuid[]"
        )
        with pytest.raises(OperationalError):
            Drain().run_until_empty()
    connection.close()
    emit_event("order", {})
    Drain().run_until_empty()
    assert statuses() == ["SUCCESS"]


def test_tables_of_a_batch_stay_when_there_is_room_for_fewer(monkeypatch):
    monkeypatch.setattr(dispatch, "KEEP_TENANTS", 1)
    for slug in ("first", "second"):
        tenant = Tenant.objects.create(slug=slug, name=slug)
        with tenant_scope(tenant.id):
            orders()
            emit_event("order", {})
    Drain().run_until_empty()
    with tenant_scope(Tenant.objects.get(slug="first").id):
        emit_event("order", {})
    Drain().run_until_empty()
    assert statuses() == ["SUCCESS", "SUCCESS", "SUCCESS"]
