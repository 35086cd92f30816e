from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.utils import timezone

from automate_api import idempotency
from automate_api.models import ApiKey, IdempotencyRecord
from automate_core.models import Role, Tenant

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.automate_api.urls")]

MakeClient = Callable[..., Client]
MAKING = "/api/making/"


def make(client: Client, slug: str = "made", *, query: str = "", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(MAKING + query, {"slug": slug}, content_type="application/json", headers=named)


@pytest.mark.parametrize("header", ["X_Request_ID", "Idempotency_Key"])
def test_same_key_and_body_replays_the_first_answer(key_client: MakeClient, header: str) -> None:
    client = key_client()
    first = make(client, **{header: "k1"})
    again = make(client, **{header: "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again["Content-Type"] == first["Content-Type"]
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert again["X-RateLimit-Limit"] == "1000000"
    assert Tenant.objects.filter(name="made").count() == 1


def test_same_key_with_another_body_is_400(key_client: MakeClient) -> None:
    client = key_client()
    make(client, "one", X_Request_ID="k1")
    answer = make(client, "two", X_Request_ID="k1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


def test_key_is_scoped_to_caller_method_and_route(key_client: MakeClient) -> None:
    one, two = key_client(), key_client()
    assert make(one, "one", X_Request_ID="k1").status_code == 201
    assert make(two, "two", X_Request_ID="k1").status_code == 201
    elsewhere = one.post("/api/ping/", {}, content_type="application/json", headers={"X-Request-ID": "k1"})
    assert (elsewhere.status_code, "Idempotent-Replayed" in elsewhere) == (200, False)


def test_failure_is_not_stored_and_leaves_nothing(key_client: MakeClient) -> None:
    client = key_client()
    for kind, status in (("validation", 400), ("bug", 500), ("conflict", 409)):
        assert make(client, query=f"?fail={kind}", X_Request_ID="k1").status_code == status
    assert (Tenant.objects.filter(name="made").count(), IdempotencyRecord.all_tenants.count()) == (0, 0)
    assert make(client, X_Request_ID="k1").status_code == 201


def test_empty_answer_is_replayed_empty(key_client: MakeClient) -> None:
    client = key_client()
    answers = [client.delete("/api/ping/", headers={"X-Request-ID": "k1"}) for _ in range(2)]
    assert [(a.status_code, a.content, a.get("Content-Type")) for a in answers] == [
        (204, b"", answers[0].get("Content-Type"))
    ] * 2
    assert answers[1]["Idempotent-Replayed"] == "true"


def test_reading_stores_nothing(key_client: MakeClient) -> None:
    key_client().get("/api/ping/", headers={"X-Request-ID": "k1"})
    assert IdempotencyRecord.all_tenants.count() == 0


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
def test_malformed_key_is_400(key_client: MakeClient, key: str) -> None:
    assert make(key_client(), X_Request_ID=key).status_code == 400


def test_two_keys_that_differ_are_400(key_client: MakeClient) -> None:
    client = key_client()
    assert make(client, X_Request_ID="a", Idempotency_Key="b").status_code == 400
    assert make(client, X_Request_ID="a", Idempotency_Key="a").status_code == 201


def test_replay_needs_the_right_still(
    make_key: Callable[..., tuple[ApiKey, str]],
) -> None:
    key, plain = make_key(Role.EDITOR)
    client = Client(headers={"X-API-Key": plain})
    make(client, X_Request_ID="k1")
    ApiKey.all_tenants.filter(pk=key.pk).update(role=Role.VIEWER)
    assert make(client, X_Request_ID="k1").status_code == 403


def test_record_is_kept_a_day(key_client: MakeClient) -> None:
    client = key_client()
    make(client, "one", X_Request_ID="k1")
    now = timezone.now()
    IdempotencyRecord.all_tenants.update(created_at=now - timedelta(hours=23, minutes=59))
    assert make(client, "one", X_Request_ID="k1")["Idempotent-Replayed"] == "true"
    IdempotencyRecord.all_tenants.update(created_at=now - timedelta(hours=24, seconds=1))
    assert "Idempotent-Replayed" not in make(client, "two", X_Request_ID="k1")
    assert idempotency.prune(now=now) == 0
    assert idempotency.prune(now=now + timedelta(hours=25)) == 1


@pytest.mark.django_db(transaction=True)
def test_second_request_in_flight_is_409_with_retry_after(key_client: MakeClient) -> None:
    client = key_client()
    answers: list[Any] = []

    def second() -> None:
        try:
            answers.append(make(client, X_Request_ID="k1"))
        finally:
            connections.close_all()

    with transaction.atomic():
        make(client, X_Request_ID="k1")
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (409, "CONFLICT")
    assert answers[0]["Retry-After"] == "1"
    assert make(client, X_Request_ID="k1")["Idempotent-Replayed"] == "true"


@pytest.mark.django_db(transaction=True)
def test_parallel_requests_with_one_key_make_one_thing(key_client: MakeClient) -> None:
    client = key_client()
    answers: list[Any] = []

    def work() -> None:
        try:
            answers.append(make(client, X_Request_ID="k1"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = {answer.content for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert Tenant.objects.filter(name="made").count() == 1
    assert connection.in_atomic_block is False


@pytest.mark.parametrize("header", ["X-Request-ID", "Idempotency-Key"])
def test_refused_key_is_named_by_the_header_it_came_in(key_client: MakeClient, header: str) -> None:
    client = key_client()
    make(client, "one", **{header: "k1"})
    for answer in (make(client, "two", **{header: "k1"}), make(client, **{header: "a b"})):
        assert [problem["field"] for problem in answer.json()["error"]["details"]] == [header]
