"""The Zapier routes: triggers with samples, subscribe, unsubscribe, and who may do what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIRequestFactory

from automate.api.viewsets.zapier import ZapierViewSet
from automate.models import Event, WebhookSubscription
from automate.subscriptions import samples
from automate_api.models import IdempotencyRecord
from automate_core.ids import uuid7
from automate_core.models import AuditEntry, Role, Tenant
from automate_core.secrets import resolve
from tests.automate_api.conftest import make_key

__all__ = ["make_key"]

pytestmark = pytest.mark.django_db

BASE = "/api/automate/zapier"
URL = "https://hooks.example.com/hooks/standard/1/abc/"
MADE_UP = {
    "id": "00000000-0000-7000-8000-000000000000",
    "type": "order.paid",
    "source": "",
    "payload": {"key": "value"},
    "trace_id": "abc123",
    "created_at": "2024-01-15T10:30:00Z",
}


def post(client: Client, name: str, body: Any, **headers: str) -> Any:
    return client.post(f"{BASE}/{name}/", body, content_type="application/json", headers=headers)


def subscribed(client: Client, **given: Any) -> Any:
    return post(client, "subscribe", {"event_type": "order.created", "callback_url": URL, **given})


def details(answer: Any) -> list[str]:
    return [problem["field"] for problem in answer.json()["error"]["details"]]


def test_triggers_are_a_bare_list_with_the_last_real_events(
    key_client: Callable[..., Client], make_event: Callable[..., Event], other_tenant: Tenant
) -> None:
    make_event("invoice.created", of=other_tenant)
    events = [make_event("order.created", payload={"n": n, "api_key": "abcdef-123"}) for n in range(4)]
    (trigger,) = key_client(Role.VIEWER).get(f"{BASE}/triggers/").json()
    newest = events[3]
    newest.refresh_from_db()
    assert {name: trigger[name] for name in ("id", "name", "event_type")} == {
        "id": "order.created",
        "name": "Order created",
        "event_type": "order.created",
    }
    assert [sample["payload"]["n"] for sample in trigger["samples"]] == [3, 2, 1]
    assert trigger["samples"][0] == {
        "id": str(newest.id),
        "type": "order.created",
        "source": "",
        "payload": {"n": 3, "api_key": "***REDACTED***"},
        "trace_id": "",
        "created_at": newest.created_at.isoformat().replace("+00:00", "Z"),
    }


def test_triggers_of_workflows_that_never_ran_have_a_made_up_sample(
    key_client: Callable[..., Client], make_workflow: Callable[..., Any]
) -> None:
    make_workflow("Paid", trigger_type="event", trigger_config={"event_type": "order.paid"}, enabled=True)
    make_workflow("All", trigger_type="event", trigger_config={"event_type": "order.*"}, enabled=True)
    assert key_client().get(f"{BASE}/triggers/").json() == [
        {"id": "order.paid", "name": "Order paid", "event_type": "order.paid", "samples": [MADE_UP]}
    ]


def test_triggers_of_a_new_tenant_are_none(key_client: Callable[..., Client]) -> None:
    assert key_client().get(f"{BASE}/triggers/").json() == []


def test_triggers_cost_the_same_for_one_type_and_for_three(
    key_client: Callable[..., Client], make_event: Callable[..., Event]
) -> None:
    client = key_client()
    client.get(f"{BASE}/triggers/")
    counts = []
    for event_type in ("a", "b", "c"):
        make_event(event_type)
        with CaptureQueriesContext(connection) as seen:
            client.get(f"{BASE}/triggers/")
        counts.append(len(seen))
    assert counts[0] == counts[2]


def test_samples_leave_out_large_and_pruned_events(make_event: Callable[..., Event]) -> None:
    make_event("big", payload={"text": "x" * samples.LARGEST_SAMPLE_BYTES})
    make_event("old", payload={}, pruned_at="2024-01-01T00:00:00Z")
    found = samples.samples(["big", "old"])
    assert [found[name][0]["payload"] for name in ("big", "old")] == [{"key": "value"}] * 2


def test_known_types_are_limited(make_event: Callable[..., Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_TYPES", 2)
    for event_type in ("c", "a", "b"):
        make_event(event_type)
    assert samples.known_types() == ["a", "b"]


def test_subscribe_shows_the_secret_once(key_client: Callable[..., Client]) -> None:
    client = key_client(Role.EDITOR)
    answer = subscribed(client)
    made = WebhookSubscription.objects.get()
    assert (answer.status_code, sorted(answer.json())) == (
        201,
        ["callback_url", "created_at", "event_type", "id", "secret"],
    )
    body = answer.json()
    assert (body["id"], body["event_type"], body["callback_url"]) == (str(made.id), "order.created", URL)
    assert body["secret"] == resolve(f"$secret:{made.secret_name}")
    assert answer["Cache-Control"] == "no-store"
    assert AuditEntry.objects.get(action="subscription.created").actor.startswith("apikey:")


@pytest.mark.parametrize(
    "body",
    [{"event": "order.created", "target_url": URL}, {"trigger": "order.created", "hookUrl": URL}],
)
def test_subscribe_understands_zapiers_spellings(key_client: Callable[..., Client], body: Any) -> None:
    answer = post(key_client(), "subscribe", body)
    assert (answer.status_code, answer.json()["event_type"], answer.json()["callback_url"]) == (
        201,
        "order.created",
        URL,
    )


def test_subscribe_again_is_409(key_client: Callable[..., Client]) -> None:
    client = key_client()
    assert [subscribed(client).status_code for _ in range(2)] == [201, 409]


def test_subscribe_again_with_the_same_request_id_is_answered_from_the_first(
    key_client: Callable[..., Client],
) -> None:
    client = key_client()
    body = {"event_type": "order.created", "callback_url": URL}
    first, second = (post(client, "subscribe", body, **{"X-Request-ID": "once"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert second["Idempotent-Replayed"] == "true"
    assert WebhookSubscription.objects.count() == 1
    kept = bytes(IdempotencyRecord.objects.get().body)
    assert kept.startswith(b"\x00sealed:")
    assert first.json()["secret"].encode() not in kept


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["event_type", "callback_url"]),
        ({"event_type": "", "callback_url": URL}, ["event_type"]),
        ({"event_type": "x" * 256, "callback_url": URL}, ["event_type"]),
        ({"event_type": "a", "callback_url": "http://hooks.example.com/"}, ["callback_url"]),
        ({"event_type": "a", "callback_url": "https://10.0.0.1/"}, ["callback_url"]),
        ({"event_type": "a", "callback_url": "https://localhost/"}, ["callback_url"]),
        ({"event_type": "a", "callback_url": ["https://a.example/"]}, ["callback_url"]),
        ({"event_type": "a", "callback_url": "https://a.example/" + "x" * 2000}, ["callback_url"]),
        ({"event_type": {}, "callback_url": URL}, ["event_type"]),
    ],
)
def test_subscribe_names_wrong_fields(
    key_client: Callable[..., Client], body: Any, fields: list[str]
) -> None:
    answer = post(key_client(), "subscribe", body)
    assert (answer.status_code, details(answer)) == (400, fields)
    assert not WebhookSubscription.objects.exists()


@pytest.mark.parametrize("how", ["id", "url", "zapiers", "delete", "query"])
def test_unsubscribe_ends_the_subscription(key_client: Callable[..., Client], how: str) -> None:
    client = key_client(Role.EDITOR)
    made = subscribed(client).json()
    body = {"url": {"callback_url": URL}, "zapiers": {"target_url": URL}}.get(how, {"id": made["id"]})
    calls = {
        "delete": lambda: client.delete(f"{BASE}/unsubscribe/", body, content_type="application/json"),
        "query": lambda: client.delete(f"{BASE}/unsubscribe/?id={made['id']}"),
    }
    call = calls.get(how, lambda: post(client, "unsubscribe", body))
    assert [call().status_code, call().status_code] == [204, 404]
    assert not WebhookSubscription.objects.exists()


@pytest.mark.parametrize("body", [{}, {"id": "1"}, {"id": []}, {"id": None}, {"callback_url": ""}])
def test_unsubscribe_of_nothing_in_particular_is_400(key_client: Callable[..., Client], body: Any) -> None:
    assert post(key_client(), "unsubscribe", body).status_code == 400


def test_unsubscribe_ends_what_could_not_be_subscribed_any_more(
    key_client: Callable[..., Client], tenant: Tenant
) -> None:
    url = "http://10.0.0.9:8080/hook"
    WebhookSubscription.all_tenants.create(tenant=tenant, event_type="a", callback_url=url)
    assert post(key_client(), "unsubscribe", {"callback_url": url}).status_code == 204


def test_unsubscribe_of_another_tenants_subscription_is_like_that_of_none(
    key_client: Callable[..., Client], other_tenant: Tenant
) -> None:
    foreign = WebhookSubscription.all_tenants.create(tenant=other_tenant, event_type="a", callback_url=URL)
    client = key_client()
    bodies = [{"id": str(foreign.id)}, {"callback_url": URL}, {"id": str(uuid7())}]
    answers = [post(client, "unsubscribe", body) for body in bodies]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert len({answer.json()["error"]["message"] for answer in answers}) == 1
    assert WebhookSubscription.all_tenants.filter(pk=foreign.pk).exists()


@pytest.mark.parametrize(
    ("role", "statuses"),
    [(Role.VIEWER, [200, 403, 403]), (Role.RUNNER, [200, 403, 403]), (Role.EDITOR, [200, 201, 204])],
)
def test_editors_subscribe_and_viewers_read(
    key_client: Callable[..., Client], role: Role, statuses: list[int]
) -> None:
    client = key_client(role)
    answers = [
        client.get(f"{BASE}/triggers/"),
        subscribed(client),
        post(client, "unsubscribe", {"callback_url": URL}),
    ]
    assert [answer.status_code for answer in answers] == statuses


def test_scoped_key_needs_the_scope(key_client: Callable[..., Client]) -> None:
    assert subscribed(key_client(scopes=["events:write"])).status_code == 403
    assert subscribed(key_client(scopes=["zapier:write"], name="second")).status_code == 201


@pytest.mark.parametrize(
    ("name", "method"), [("triggers", "post"), ("subscribe", "get"), ("unsubscribe", "get")]
)
def test_other_methods_are_405(key_client: Callable[..., Client], name: str, method: str) -> None:
    assert getattr(key_client(), method)(f"{BASE}/{name}/").status_code == 405


def test_override_points_limit_types_and_urls(make_key: Callable[..., Any]) -> None:
    class Ours(ZapierViewSet):
        available_triggers = ["order.created", {"event_type": "order.paid", "name": "An order was paid"}]

        def validate_callback_url(self, url: str) -> str:
            return super().validate_callback_url(url.replace("http://", "https://"))

    headers = {"X-API-Key": make_key()[1]}
    listed = Ours.as_view({"get": "triggers"})(APIRequestFactory().get("/", headers=headers))
    assert [(one["event_type"], one["name"]) for one in listed.data] == [
        ("order.created", "Order created"),
        ("order.paid", "An order was paid"),
    ]
    subscribe = Ours.as_view({"post": "subscribe"})
    statuses = []
    for event_type in ("order.paid", "order.refunded"):
        body = {"event_type": event_type, "callback_url": URL.replace("https", "http")}
        statuses.append(
            subscribe(APIRequestFactory().post("/", body, format="json", headers=headers)).status_code
        )
    assert statuses == [201, 400]
    assert WebhookSubscription.objects.get().callback_url == URL


def test_openapi_shows_examples_of_every_operation() -> None:
    paths = Client().get("/api/schema/").json()["paths"]
    subscribe = paths[f"{BASE}/subscribe/"]["post"]
    assert "subscribe" in str(subscribe["requestBody"]["content"]["application/json"]["examples"]).lower()
    assert "whsec_" in str(subscribe["responses"]["201"])
    assert "ORD-123" in str(paths[f"{BASE}/triggers/"]["get"]["responses"]["200"])
    listed = paths[f"{BASE}/triggers/"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert listed["type"] == "array"
    assert sorted(paths[f"{BASE}/unsubscribe/"]) == ["delete", "post"]


def test_wrong_type_does_not_hide_a_wrong_url(key_client: Callable[..., Client]) -> None:
    answer = subscribed(key_client(), event_type=5, callback_url="https://127.0.0.1/")
    assert (answer.status_code, details(answer)) == (400, ["event_type", "callback_url"])


def test_unsubscribe_takes_no_number_for_an_id(key_client: Callable[..., Client]) -> None:
    answer = post(key_client(), "unsubscribe", {"id": 5})
    assert (answer.status_code, details(answer)) == (400, ["id"])
