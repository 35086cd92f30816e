"""The webhook route: durable before it answers, one event for one delivery, and every wrong one refused."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from automate.emission import NewEvent, new_event
from automate.models import Event, Execution
from automate.webhooks import ingest, sources
from automate.webhooks.ingest import IngestUnavailable
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, OutboxItem
from tests.factories.engine import drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "webhook-secret"


@pytest.fixture
def source():
    sources.forget()
    return sources.create_source(slug="shop", preset="generic", secret=SECRET, by="test")


def signed(body, secret=SECRET):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def in_loop(*work):
    """Await coroutines at the same time in one event loop, and close what ingest opened in it."""

    async def main():
        try:
            return await asyncio.gather(*(make() for make in work), return_exceptions=True)
        finally:
            connection = ingest.current()._connection
            if connection is not None:
                await connection.close()

    return async_to_sync(main)()


def post(body, *, slug="shop", signature=None, content_type="application/json", **headers):
    """Return a function that posts one delivery."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"x-webhook-signature": signed(raw) if signature is None else signature, **headers}
    path = f"/api/automate/webhooks/{slug}/"
    return lambda: AsyncClient().post(path, raw, content_type=content_type, headers=headers)


def deliver(body, **options):
    (response,) = in_loop(post(body, **options))
    return response


def test_delivery_is_answered_202_once_it_is_durable(source):
    response = deliver({"event_type": "order.created", "data": {"n": 1}}, **{"x-trace-id": "trace-7"})
    event = Event.objects.get()
    assert (response.status_code, response.json()) == (
        202,
        {"event_id": str(event.id), "trace_id": "trace-7", "message": "Event accepted for processing"},
    )
    assert (event.type, event.payload, event.source, event.trace_id) == (
        "order.created",
        {"n": 1},
        "shop",
        "trace-7",
    )
    assert OutboxItem.objects.get().payload == {"event_id": str(event.id)}


def test_delivery_starts_the_workflow_that_listens(source):
    workflow(node("a", "merge"), trigger_type="webhook", trigger_config={"source": "shop"})
    deliver({"event_type": "order.created", "data": {}})
    drain()
    assert Execution.objects.get().status == "SUCCESS"


@pytest.mark.parametrize("headers", [{"x-webhook-id": "delivery-1"}, {}])
def test_repeat_is_202_with_the_same_event(source, headers):
    first, second = (deliver({"n": 1}, **headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["event_id"] == second.json()["event_id"]
    assert (Event.objects.count(), OutboxItem.objects.count()) == (1, 1)


def test_other_delivery_id_or_body_is_another_event(source):
    deliver({"n": 1}, **{"x-webhook-id": "delivery-1"})
    deliver({"n": 1}, **{"x-webhook-id": "delivery-2"})
    deliver({"n": 2})
    assert Event.objects.count() == 3


@pytest.mark.parametrize("signature", ["", "sha256=" + "0" * 64, "nonsense", signed(b"{}", "other")])
def test_wrong_signature_is_401_and_stores_nothing(source, signature):
    response = deliver(b"{}", signature=signature)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert Event.objects.count() == 0


def test_unknown_and_disabled_sources_answer_like_a_wrong_signature(source):
    wrong = deliver(b"{}", signature="sha256=" + "0" * 64)
    unknown = deliver(b"{}", slug="nobody")
    source.is_enabled = False
    source.save()
    sources.forget()
    disabled = deliver(b"{}")
    answers = [{**answer.json()["error"], "trace_id": ""} for answer in (wrong, unknown, disabled)]
    assert [answer.status_code for answer in (wrong, unknown, disabled)] == [401, 401, 401]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(
    ("body", "kind", "payload"),
    [
        ({"event_type": "paid", "data": {"n": 1}}, "paid", {"n": 1}),
        ({"event_type": "paid", "n": 1}, "paid", {"event_type": "paid", "n": 1}),
        ({"n": 1}, "webhook.shop", {"n": 1}),
        ([1, 2], "webhook.shop", {"data": [1, 2]}),
    ],
)
def test_envelope_or_whole_body(source, body, kind, payload):
    assert deliver(body).status_code == 202
    assert list(Event.objects.values_list("type", "payload")) == [(kind, payload)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'"\\u0000"',
        b'{"a":"\\ud800"}',
        b"[" * 100 + b"]" * 100,
    ],
)
def test_malformed_body_with_a_good_signature_is_400(source, body):
    response = deliver(body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert Event.objects.count() == 0


@pytest.mark.parametrize(
    "label",
    [
        "text/plain",
        "application/octet-stream",
        "application/vnd.shop+json",
        "x-www-form-urlencoded",
        "nonsense",
    ],
)
def test_json_is_json_whatever_its_label(source, label):
    assert deliver({"event_type": "paid", "data": {"n": 1}}, content_type=label).status_code == 202
    assert list(Event.objects.values_list("type", "payload")) == [("paid", {"n": 1})]


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (b"<order/>", "text/xml"),
        (b"n=1", "text/plain"),
        ('{"n":1}'.encode("utf-16"), "application/json"),
        (b"n=%ff%fe", "application/x-www-form-urlencoded"),
        (b"n=%00", "application/x-www-form-urlencoded"),
    ],
)
def test_body_that_is_neither_json_nor_a_form_is_400(source, body, label):
    response = deliver(body, content_type=label)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert Event.objects.count() == 0


def test_form_is_an_object_of_texts(source):
    label = "application/x-www-form-urlencoded; charset=utf-8"
    assert deliver(b"command=%2Fpay&text=5&text=6", content_type=label).status_code == 202
    assert Event.objects.get().payload == {"command": "/pay", "text": ["5", "6"]}


@pytest.mark.parametrize("signature", [None, "sha256=" + "0" * 64])
def test_encoded_body_is_415_whatever_its_signature(source, signature):
    response = deliver({"n": 1}, signature=signature, **{"content-encoding": "gzip"})
    assert (response.status_code, response.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert response.headers["Accept-Encoding"] == "identity"
    assert Event.objects.count() == 0


def test_other_methods_are_405(source):
    (response,) = in_loop(lambda: AsyncClient().get("/api/automate/webhooks/shop/"))
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


def test_both_secrets_are_valid_after_a_rotation(source):
    sources.rotate_secret(source, "new-secret", by="test")
    body = b'{"n":1}'
    assert deliver(body, signature=signed(body, "new-secret")).status_code == 202
    assert deliver(body, signature=signed(body, SECRET)).status_code == 202
    assert deliver(body, signature=signed(body, "neither")).status_code == 401


def test_sixty_four_posts_of_one_delivery_at_once_are_one_event(source):
    responses = in_loop(*(post({"n": 1}, **{"x-webhook-id": "same"}) for _ in range(64)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["event_id"] for response in responses}) == 1
    assert (Event.objects.count(), OutboxItem.objects.count()) == (1, 1)


def test_sixty_four_different_deliveries_at_once_are_all_stored(source):
    responses = in_loop(*(post({"n": number}) for number in range(64)))
    ids = {response.json()["event_id"] for response in responses}
    assert ids == {str(pk) for pk in Event.objects.values_list("pk", flat=True)}
    assert len(ids) == 64


def event(number, tenant_id=DEFAULT_TENANT_ID) -> NewEvent:
    return new_event("order.created", {"n": number}, f"k{number}", tenant_id=tenant_id)


def test_event_the_database_refuses_does_not_refuse_its_neighbours():
    nobody = UUID(str(uuid7()))

    def put(number):
        return lambda: ingest.current().put(event(number, nobody if number == 3 else DEFAULT_TENANT_ID))

    answers = in_loop(*(put(number) for number in range(8)))
    assert isinstance(answers[3], IngestUnavailable)
    stored = sorted(Event.objects.values_list("payload__n", flat=True))
    assert stored == [0, 1, 2, 4, 5, 6, 7]
    kept = {answer.event_id for number, answer in enumerate(answers) if number != 3}
    assert kept == {str(pk) for pk in Event.objects.values_list("pk", flat=True)}


def test_ingest_goes_on_after_its_connection_broke():
    async def main():
        first = await ingest.current().put(event(1))
        await ingest.current()._connection.close()
        return first, await ingest.current().put(event(2))

    ((first, second),) = in_loop(main)
    assert (first.created, second.created, Event.objects.count()) == (True, True, 2)


def test_repeats_in_one_batch_get_the_first_ones_id():
    answers = in_loop(*(lambda: ingest.current().put(event(1)) for _ in range(10)))
    assert [answer.created for answer in answers].count(True) == 1
    assert len({answer.event_id for answer in answers}) == 1


def test_unsigned_deliveries_use_up_their_senders_limit_not_the_sources(source, settings):
    settings.AUTOMATE_API = {**settings.AUTOMATE_API, "RATE_WEBHOOK": "3/hour"}
    refused = [deliver({"n": n}, signature="sha256=00").status_code for n in range(5)]
    accepted = [deliver({"n": n}).status_code for n in range(4)]
    assert refused == [401, 401, 401, 429, 429]
    assert accepted == [202, 202, 202, 429]


def test_full_queue_is_429_and_stores_nothing(source, settings):
    settings.AUTOMATE = {**settings.AUTOMATE, "MAX_QUEUE": 2}

    async def fill_and_post():
        statuses = []
        for n in range(5):
            ingest.current()._look_at = 0.0
            statuses.append((await post({"n": n})()).status_code)
            # The queue is looked at after the answer; the next delivery comes after that.
            await asyncio.gather(*filter(None, [ingest.current()._task]))
        return statuses

    (statuses,) = in_loop(fill_and_post)
    assert statuses == [202, 202, 202, 429, 429]
    assert Event.objects.count() == 3
