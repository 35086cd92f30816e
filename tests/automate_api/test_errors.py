from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DataError, OperationalError
from django.test import Client, override_settings
from rest_framework.exceptions import ErrorDetail

from automate_api.errors import failure_of, messages_by_field, problems_of
from automate_core.errors import AutomateError, ErrorCodes, Problem
from automate_core.models import Role

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.automate_api.urls")]

MakeClient = Callable[..., Client]


@pytest.mark.parametrize(
    ("kind", "status", "code", "message"),
    [
        ("validation", 400, "VALIDATION_ERROR", "Wrong"),
        ("missing", 404, "NOT_FOUND", "No such thing"),
        ("conflict", 409, "CONFLICT", "Already done"),
        ("denied", 403, "FORBIDDEN", "Not you"),
        ("transient", 503, "TRANSIENT_ERROR", "Later"),
        ("permanent", 400, "PERMANENT_ERROR", "Never"),
    ],
)
def test_error_has_its_status_and_the_nested_shape(
    key_client: MakeClient, kind: str, status: int, code: str, message: str
) -> None:
    answer = key_client().get(f"/api/raise/{kind}/", headers={"X-Trace-ID": "t-1"})
    assert answer.status_code == status
    assert answer.json() == {"error": {"code": code, "message": message, "details": [], "trace_id": "t-1"}}


@pytest.mark.parametrize("kind", ["automate", "bug"])
def test_unforeseen_error_is_500_and_tells_nothing(key_client: MakeClient, kind: str) -> None:
    answer = key_client().get(f"/api/raise/{kind}/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert b"secret internals" not in answer.content
    assert answer.json()["error"]["trace_id"] == answer["X-Trace-ID"]


def test_unforeseen_error_outside_drf_is_500_in_the_same_shape() -> None:
    answer = Client(raise_request_exception=False).get("/api/plain/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert answer.json()["error"]["trace_id"] == answer["X-Trace-ID"]


def test_transient_error_says_when_to_come_back(key_client: MakeClient) -> None:
    assert key_client().get("/api/raise/transient/")["Retry-After"] == "7"


def test_unknown_url_is_404_in_shape_with_limits() -> None:
    answer = Client().get("/api/no/such/route/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert answer["X-RateLimit-Limit"] == "1000000"


def test_unknown_url_outside_the_api_keeps_its_page() -> None:
    assert Client().get("/elsewhere/")["Content-Type"].startswith("text/html")


def test_wrong_method_is_405_in_shape(key_client: MakeClient) -> None:
    answer = key_client().put("/api/ping/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.json()["error"]["message"].startswith("PUT is not answered here; use GET, POST, DELETE")
    assert "GET" in answer["Allow"]


def test_method_no_role_could_use_is_405_for_every_caller(key_client: MakeClient) -> None:
    assert [key_client(role).put("/api/ping/").status_code for role in Role] == [405] * len(Role)
    assert Client().put("/api/ping/").status_code == 401


def test_messages_say_what_to_do(key_client: MakeClient) -> None:
    client = key_client()
    with override_settings(AUTOMATE_API={"RATE_STANDARD": "1/hour", "RATE_STORAGE": "memory://"}):
        Client().get("/api/ping/")
        limited = Client().get("/api/ping/")
    answers = [
        Client().get("/api/ping/"),
        client.post("/api/ping/", b"a", content_type="text/plain"),
        client.get("/api/tenants/0190a5f1-11d0-7c55-8a2b-6b1f0c9d8e7f/"),
        limited,
    ]
    assert [answer.status_code for answer in answers] == [401, 415, 404, 429]
    messages = [answer.json()["error"]["message"] for answer in answers]
    assert messages[:3] == [
        "Send a credential: a Bearer token or an API key",
        "Send the body as application/json",
        "There is no such thing in this tenant; check the id",
    ]
    assert re.fullmatch(r"Too many requests; try again in \d+ seconds?", messages[3])


def test_flat_surface_has_the_flat_shape(key_client: MakeClient) -> None:
    answer = key_client().get("/api/workflow/raise/conflict/", headers={"X-Trace-ID": "t-1"})
    assert answer.json() == {"error": "Already done", "code": "CONFLICT", "details": {}, "trace_id": "t-1"}


def test_flat_surface_names_messages_by_field(key_client: MakeClient) -> None:
    body = {"nodes": [{"url": "http://a.example/"}, {"url": "no"}, {}]}
    answer = key_client().post("/api/workflow/nested/", body, content_type="application/json")
    assert answer.json()["details"] == {
        "nodes[1].url": ["Enter a valid URL"],
        "nodes[2].url": ["This field is required."],
        "name": ["This field is required."],
    }


def test_messages_of_nodes_are_told_by_node_and_field() -> None:
    problems = [
        Problem("url", "Must be string", "a"),
        Problem("url", "Is long", "a"),
        Problem("name", "Is short"),
    ]
    assert messages_by_field(problems) == {"a": {"url": ["Must be string", "Is long"]}, "name": ["Is short"]}


def test_flat_surface_tells_malformed_from_invalid(key_client: MakeClient) -> None:
    client = key_client()
    malformed = client.post("/api/workflow/nested/", b"{", content_type="application/json")
    assert (malformed.status_code, malformed.json()["code"]) == (400, "INVALID_REQUEST")
    invalid = client.post("/api/workflow/nested/", {}, content_type="application/json")
    assert (invalid.status_code, invalid.json()["code"]) == (422, "VALIDATION_ERROR")


def test_nested_problems_carry_their_paths(key_client: MakeClient) -> None:
    body = {"nodes": [{"url": "http://a.example/"}, {"url": "no"}, {}]}
    answer = key_client().post("/api/nested/", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Invalid input"
    assert answer.json()["error"]["details"] == [
        {"field": "nodes[1].url", "message": "Enter a valid URL"},
        {"field": "nodes[2].url", "message": "This field is required"},
        {"field": "name", "message": "This field is required"},
    ]


def test_problems_of_index_keys_and_non_field_errors() -> None:
    detail = {"tags": {0: [ErrorDetail("Too long.")]}, "non_field_errors": [ErrorDetail("Clash.")]}
    assert problems_of(detail) == [Problem("tags[0]", "Too long"), Problem("body", "Clash")]


def test_every_error_code_has_a_status() -> None:
    statuses = {}
    for code in ErrorCodes:
        found = failure_of(AutomateError(code, "x"), "/api/x/")
        statuses[code.value] = found.status if found else 500
    assert statuses == {
        "VALIDATION_ERROR": 400,
        "INVALID_REQUEST": 400,
        "UNAUTHORIZED": 401,
        "FORBIDDEN": 403,
        "NOT_FOUND": 404,
        "METHOD_NOT_ALLOWED": 405,
        "CONFLICT": 409,
        "PAYLOAD_TOO_LARGE": 413,
        "UNSUPPORTED_MEDIA_TYPE": 415,
        "RATE_LIMITED": 429,
        "SERVICE_UNAVAILABLE": 503,
        "INTERNAL_ERROR": 500,
        "TRANSIENT_ERROR": 503,
        "PERMANENT_ERROR": 400,
        "TIMEOUT": 503,
        "TEMPLATE_ERROR": 400,
        "RULE_ERROR": 400,
        "OUTCOME_UNKNOWN": 500,
        "WORKER_LOST": 500,
        "LOOP_LIMIT": 500,
        "CHILD_FAILED": 500,
        "DROPPED": 500,
        "REPLACED": 500,
        "TENANT_REQUIRED": 400,
    }


def test_database_errors_are_named_by_whose_fault_they_are() -> None:
    def status(error: Exception) -> int | None:
        found = failure_of(error, "/api/x/")
        return found.status if found else None

    assert status(DataError("value out of range")) == 400
    assert status(OperationalError("connection refused")) == 503


def test_role_too_low_is_403_naming_the_role(key_client: MakeClient) -> None:
    answer: Any = key_client(Role.VIEWER).post("/api/ping/", {}, content_type="application/json")
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == "This needs the role 'runner'; yours is 'viewer'"
