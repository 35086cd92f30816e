"""Emitting: what is accepted, what is refused by field, and what asynchronous callers get."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync

from automate.emission import emit
from automate.events import aemit_event, arun_workflow, emit_event, run_workflow
from automate.models import Event, Execution
from automate_core.context import tenant_scope, trace_scope
from automate_core.errors import Conflict, NotFound, ValidationFailed
from automate_core.models import DEFAULT_TENANT_ID, OutboxItem, Tenant
from tests.factories.engine import drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)


def test_event_is_stored_with_its_promise_of_delivery():
    with trace_scope("trace-1"):
        event_id = emit_event("order.created", {"n": 1}, dedupe_key="k", source="shop")
    event = Event.objects.get()
    assert (str(event.id), event.type, event.payload) == (event_id, "order.created", {"n": 1})
    assert (event.dedupe_key, event.source, event.trace_id, event.depth) == ("k", "shop", "trace-1", 0)
    assert event.tenant_id == DEFAULT_TENANT_ID
    item = OutboxItem.objects.get()
    assert (item.kind, item.payload, item.trace_id) == ("event", {"event_id": event_id}, "trace-1")


def test_repeat_says_it_is_one_and_keeps_the_first_payload():
    first = emit("paid", {"n": 1}, "k")
    again = emit("paid", {"n": 2}, "k")
    assert (first.created, again.created, first.event_id == again.event_id) == (True, False, True)
    assert Event.objects.get().payload == {"n": 1}


def test_dedupe_outlives_the_delivery():
    first = emit_event("paid", {}, "k")
    drain()
    assert (emit_event("paid", {}, "k"), OutboxItem.objects.count()) == (first, 0)


@pytest.mark.parametrize(
    ("type", "payload", "key", "source", "field"),
    [
        ("", {}, None, "", "type"),
        ("x" * 256, {}, None, "", "type"),
        (None, {}, None, "", "type"),
        ("a\x00", {}, None, "", "type"),
        ("a\ud800", {}, None, "", "type"),
        ("a", [], None, "", "payload"),
        ("a", None, None, "", "payload"),
        ("a", {"x": object()}, None, "", "payload"),
        ("a", {"x": {1, 2}}, None, "", "payload"),
        ("a", {"x": Decimal(1)}, None, "", "payload"),
        ("a", {"x": "\x00"}, None, "", "payload"),
        ("a", {"x\x00": 1}, None, "", "payload"),
        ("a", {"x": "\ud800"}, None, "", "payload"),
        ("a", {"x": 2**80}, None, "", "payload"),
        ("a", {1: "x"}, None, "", "payload"),
        ("a", {}, "", "", "dedupe_key"),
        ("a", {}, "x" * 256, "", "dedupe_key"),
        ("a", {}, 7, "", "dedupe_key"),
        ("a", {}, "a\x00", "", "dedupe_key"),
        ("a", {}, "a\udfff", "", "dedupe_key"),
        ("a", {}, None, "s" * 101, "source"),
        ("a", {}, None, "s\x00", "source"),
    ],
)
def test_wrong_event_is_refused_by_field_before_the_database_sees_it(type, payload, key, source, field):
    with pytest.raises(ValidationFailed) as caught:
        emit_event(type, payload, key, source=source)
    assert [problem.field for problem in caught.value.details] == [field]
    assert Event.objects.count() == 0


def test_every_wrong_field_is_named_at_once():
    with pytest.raises(ValidationFailed) as caught:
        emit_event("", [], "")
    assert [problem.field for problem in caught.value.details] == ["type", "dedupe_key", "payload"]


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "\\", "😀", "x" * 100_000])
def test_text_that_only_looks_dangerous_is_kept(text):
    emit_event("a", {"x": text})
    assert Event.objects.get().payload == {"x": text}


def test_dates_and_ids_become_text():
    moment, key = datetime(2024, 2, 29, 12, tzinfo=UTC), UUID(int=7)
    emit_event("a", {"at": moment, "id": key})
    assert Event.objects.get().payload == {"at": "2024-02-29T12:00:00+00:00", "id": str(key)}


def test_run_workflow_takes_the_same_payloads_as_an_event():
    workflow(node("a", "merge"))
    moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
    execution_id = run_workflow("orders", {"at": moment, "id": UUID(int=7), "n": float("nan")})
    context = Execution.objects.get(pk=execution_id).context
    assert context == {"at": "2024-02-29T12:00:00+00:00", "id": str(UUID(int=7)), "n": None}


@pytest.mark.parametrize("payload", [None, [], {"x": object()}, {"x": "\x00"}])
def test_run_workflow_refuses_what_is_no_json_object(payload):
    workflow(node("a", "merge"))
    with pytest.raises(ValidationFailed) as caught:
        run_workflow("orders", payload)
    assert [problem.field for problem in caught.value.details] == ["payload"]
    assert (Execution.objects.count(), OutboxItem.objects.count()) == (0, 0)


def test_run_workflow_names_what_is_missing_or_disabled():
    with pytest.raises(NotFound, match="'nope'"):
        run_workflow("nope", {})
    workflow(node("a", "merge"), enabled=False)
    with pytest.raises(Conflict, match="disabled"):
        run_workflow("orders", {})


def test_run_workflow_sees_only_the_workflows_of_its_tenant():
    other = Tenant.objects.create(slug="other", name="Other")
    workflow(node("a", "merge"))
    with tenant_scope(other.id), pytest.raises(NotFound):
        run_workflow("orders", {})


def test_event_starts_only_the_workflows_of_its_tenant():
    other = Tenant.objects.create(slug="other", name="Other")
    mine = workflow(node("a", "merge"))
    with tenant_scope(other.id):
        theirs = workflow(node("a", "merge"))
        emit_event("order.created", {})
    drain()
    assert list(Execution.all_tenants.values_list("automation_id", flat=True)) == [theirs.id]
    assert mine.id != theirs.id


def test_asynchronous_variants_do_the_same():
    workflow(node("a", "merge"))
    event_id = async_to_sync(aemit_event)("order.created", {"n": 1}, dedupe_key="k")
    execution_id = async_to_sync(arun_workflow)("orders", {"n": 2})
    assert emit_event("order.created", {}, "k") == event_id
    assert Execution.objects.get(pk=execution_id).context == {"n": 2}
