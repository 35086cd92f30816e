"""The webhook route under WSGI: the same answers, over the connection the thread has."""

from __future__ import annotations

import hashlib
import hmac
import json
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client

from automate.emission import new_event
from automate.models import Event
from automate.webhooks import ingest_threaded, sources
from automate.webhooks.ingest import IngestUnavailable
from automate_core.ids import uuid7
from automate_core.models import OutboxItem

pytestmark = pytest.mark.django_db

SECRET = "webhook-secret"


@pytest.fixture(autouse=True)
def _source():
    sources.forget()
    ingest_threaded.full_queues.forget()
    sources.create_source(slug="shop", preset="generic", secret=SECRET, by="test")
    yield
    ingest_threaded.full_queues.forget()


def deliver(body, **headers):
    raw = json.dumps(body).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    return Client().post(
        "/api/automate/webhooks/shop/",
        raw,
        content_type="application/json",
        headers={"X-Webhook-Signature": signature, **headers},
    )


def connections_open():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


def test_delivery_is_stored_over_the_connection_there_is():
    before = connections_open()
    answers = [deliver({"event_type": "paid", "data": {"n": n}}) for n in range(5)]
    assert [answer.status_code for answer in answers] == [202] * 5
    assert [answer.json()["event_id"] for answer in answers] == [
        str(pk) for pk in Event.objects.order_by("id").values_list("pk", flat=True)
    ]
    assert (connections_open(), OutboxItem.objects.count()) == (before, 5)


def test_repeat_is_202_with_the_same_event():
    first, second = (deliver({"n": 1}, **{"X-Webhook-Id": "delivery-1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["event_id"] == second.json()["event_id"]
    assert (Event.objects.count(), OutboxItem.objects.count()) == (1, 1)


def test_full_queue_is_429_with_retry_after(settings):
    settings.AUTOMATE = {**settings.AUTOMATE, "MAX_QUEUE": 2}
    statuses = []
    for n in range(5):
        ingest_threaded.full_queues.forget()
        answer = deliver({"n": n})
        statuses.append(answer.status_code)
    assert statuses == [202, 202, 202, 429, 429]
    assert (answer.json()["error"]["code"], answer["Retry-After"]) == ("RATE_LIMITED", "5")
    assert Event.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_event_the_database_refuses_is_to_be_sent_again():
    nobody = new_event("paid", {}, "k", tenant_id=UUID(str(uuid7())))
    with pytest.raises(IngestUnavailable):
        ingest_threaded.put(nobody)
    assert Event.objects.count() == 0
