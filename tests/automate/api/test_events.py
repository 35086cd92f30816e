from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path

from automate.api.viewsets import EventIngestView
from automate.models import Event
from automate_core.models import OutboxItem, Role, Tenant

pytestmark = pytest.mark.django_db

URL = "/api/automate/events/"
MakeClient = Callable[..., Client]
Make = Callable[..., Any]
BOTH = pytest.mark.parametrize("url", [URL, "/api/v1/events/"])

urlpatterns = [path("api/ingest/", EventIngestView.as_view())]


def emit(client: Client, body: Any, url: str = URL) -> Any:
    return client.post(url, body, content_type="application/json", headers={"X-Trace-ID": "t-1"})


@BOTH
def test_documented_example_is_accepted_once(key_client: MakeClient, tenant: Tenant, url: str) -> None:
    client = key_client(Role.RUNNER)
    body = {"type": "custom.event", "payload": {"key": "value"}, "dedupe_key": "unique-key-123"}
    first = emit(client, body, url)
    event = Event.objects.get()
    assert (first.status_code, first.json()) == (201, {"event_id": str(event.pk), "trace_id": "t-1"})
    assert (event.type, event.payload, event.dedupe_key, event.trace_id) == (
        "custom.event",
        {"key": "value"},
        "unique-key-123",
        "t-1",
    )
    again = emit(client, body, url)
    assert (again.status_code, again.json()["event_id"]) == (200, str(event.pk))
    assert OutboxItem.objects.filter(kind="event").count() == 1


def test_one_dedupe_key_serves_each_tenant_once(
    key_client: MakeClient, tenant: Tenant, other_tenant: Tenant
) -> None:
    body = {"type": "a", "dedupe_key": "k"}
    clients = (key_client(), key_client(tenant_id=other_tenant.pk))
    assert [emit(client, body).status_code for client in clients] == [201, 201]
    assert sorted(str(e.tenant_id) for e in Event.all_tenants.all()) == sorted(
        [str(tenant.pk), str(other_tenant.pk)]
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "type"),
        ({"type": ""}, "type"),
        ({"type": "x" * 256}, "type"),
        ({"type": None}, "type"),
        ({"type": "a", "payload": []}, "payload"),
        ({"type": "a", "payload": "text"}, "payload"),
        ({"type": "a", "dedupe_key": ""}, "dedupe_key"),
        ({"type": "a", "dedupe_key": "x" * 256}, "dedupe_key"),
        ({"type": "a", "source": "x" * 101}, "source"),
    ],
)
def test_invalid_event_is_400_naming_the_field(
    key_client: MakeClient, tenant: Tenant, body: dict[str, Any], field: str
) -> None:
    answer = emit(key_client(), body)
    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["error"]["details"]] == [field]
    assert Event.objects.count() == 0


@pytest.mark.parametrize(
    "text",
    [
        b'{"type": "a", "type": "b"}',
        b'{"type": "a", "payload": {"x": "\\u0000"}}',
        b'{"type": "a", "payload": {"x": NaN}}',
        b'{"type": "a", "payload": {"x": "\\ud800"}}',
        b'{"type": "a", "payload": ' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}",
        b"[]",
        b"\xff",
    ],
)
def test_bad_body_is_400(key_client: MakeClient, tenant: Tenant, text: bytes) -> None:
    assert emit(key_client(), text).status_code == 400


def test_viewer_may_not_emit(key_client: MakeClient, tenant: Tenant) -> None:
    assert emit(key_client(Role.VIEWER), {"type": "a"}).status_code == 403


@BOTH
def test_events_are_listed_and_read(key_client: MakeClient, make_event: Make, url: str) -> None:
    client = key_client(Role.VIEWER)
    made = make_event(
        "order.created",
        payload={"n": 1, "api_key": "abcdefgh"},
        source="shop",
        created_at=datetime(2024, 1, 20, tzinfo=UTC),
    )
    row = {
        "id": str(made.pk),
        "type": "order.created",
        "source": "shop",
        "dedupe_key": None,
        "trace_id": "",
        "created_at": "2024-01-20T00:00:00Z",
    }
    assert client.get(url).json() == {"count": 1, "next": None, "previous": None, "results": [row]}
    detail = client.get(f"{url}{made.pk}/").json()
    assert detail == {**row, "payload": {"n": 1, "api_key": "***REDACTED***"}}


def test_list_is_filtered(key_client: MakeClient, make_event: Make) -> None:
    client = key_client()
    a = make_event("a", source="s", dedupe_key="k", trace_id="t", created_at=datetime(2024, 1, 1, tzinfo=UTC))
    b = make_event("b", created_at=datetime(2024, 1, 2, tzinfo=UTC))

    def found(query: str) -> list[str]:
        return [row["id"] for row in client.get(f"{URL}?{query}").json()["results"]]

    assert found("") == [str(b.pk), str(a.pk)]
    assert [found(query) for query in ("type=a", "source=s", "dedupe_key=k", "trace_id=t")] == [
        [str(a.pk)]
    ] * 4
    assert (found("since=2024-01-02"), found("until=2024-01-01")) == ([str(b.pk)], [str(a.pk)])
    assert client.get(f"{URL}?since=x").status_code == 400


@pytest.mark.parametrize("rows", [1, 3])
def test_list_takes_two_queries(key_client: MakeClient, make_event: Make, rows: int) -> None:
    client = key_client()
    client.get(URL)
    for _ in range(rows):
        make_event()
    with CaptureQueriesContext(connection) as queries:
        assert len(client.get(URL).json()["results"]) == rows
    assert len(queries) == 2  # the key, the rows


def test_events_of_other_tenants_are_404(
    key_client: MakeClient, make_event: Make, other_tenant: Tenant
) -> None:
    client, theirs = key_client(), make_event(of=other_tenant)
    assert client.get(URL).json()["count"] == 0
    assert client.get(f"{URL}{theirs.pk}/").status_code == 404


def test_events_cannot_be_changed(key_client: MakeClient, make_event: Make) -> None:
    client, url = key_client(), f"{URL}{make_event().pk}/"
    assert [client.post(url).status_code, client.put(url).status_code, client.delete(url).status_code] == [
        405
    ] * 3


@pytest.mark.urls("tests.automate.api.test_events")
def test_ingest_view_stands_alone(key_client: MakeClient, tenant: Tenant) -> None:
    assert emit(key_client(), {"type": "a"}, "/api/ingest/").status_code == 201
    assert key_client().get("/api/ingest/").status_code == 405


@pytest.mark.parametrize("source", ["schedule", "model"])
def test_source_of_the_engine_itself_is_400(key_client: MakeClient, tenant: Tenant, source: str) -> None:
    response = emit(key_client(Role.ADMIN), {"type": "schedule.fired", "payload": {}, "source": source})
    assert response.status_code == 400
    assert [one["field"] for one in response.json()["error"]["details"]] == ["source"]
    assert Event.objects.count() == 0
