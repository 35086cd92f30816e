"""The override points of the views reference: each is there, and overriding it changes what HTTP callers see."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client

from automate.models import Event, WebhookSubscription
from automate_core.models import Role
from tests.contract import documented

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.automate_api.v1.urls")]

HOOK = "https://hooks.example.com/1/"
TO_COME = {
    "ChatViewSet": "automate_datachat.viewsets",
    "EmbedViewSet": "automate_datachat.viewsets",
    "PromptEvalViewSet": "automate.api.viewsets",
    "RAGQueryViewSet": "rag.api",
}
"""Documented views of apps to come, and where they will be; then they get tests here."""

HERE = {
    ("WorkflowViewSet", "service_class"),
    ("ZapierViewSet", "available_triggers"),
    ("ZapierViewSet", "validate_callback_url()"),
    ("SchemaViewSet", "excluded_apps"),
}
"""Override points with a test below."""


def override_points() -> dict[tuple[str, str], str]:
    """Return the default of each documented override point by its view and name."""
    found: dict[tuple[str, str], str] = {}
    view, is_inside = "", False
    for line, following in pairwise(documented.VIEWS.splitlines()):
        view = line if re.fullmatch(r"\w+ViewSet", line) else view
        pipes = line.count("|")
        is_inside = line.startswith("| Override Point |") or (is_inside and pipes > 0)
        if is_inside and pipes == 1:
            found[view, line.removesuffix(" |")] = following.split(" | ")[0]
    return found


def exists(view: str, module: str) -> bool:
    try:
        return find_spec(module) is not None and hasattr(import_module(module), view)
    except ModuleNotFoundError:
        return False


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(f"/api/{path}", body, content_type="application/json")


def test_every_documented_override_point_has_a_test_or_is_to_come() -> None:
    points = set(override_points())
    assert len(points) == 13
    assert {point for point in points if point[0] not in TO_COME} == HERE
    assert {view for view, _ in points} >= set(TO_COME)
    assert [view for view, module in TO_COME.items() if exists(view, module)] == []


def test_override_points_have_the_documented_defaults() -> None:
    shown = {}
    for view, name in HERE:
        value = getattr(getattr(import_module("automate.api.viewsets"), view), name.removesuffix("()"))
        shown[view, name] = "-" if name.endswith("()") else getattr(value, "__name__", type(value).__name__)
    assert shown == {point: default for point, default in override_points().items() if point in HERE}


def test_service_class_decides_what_a_workflow_becomes(key_client: Callable[..., Client]) -> None:
    client = key_client(Role.EDITOR)
    made = post(client, "workflows/", {"name": "quiet"})
    assert (made.status_code, made.json()["name"]) == (201, "QUIET")
    assert client.get(f"/api/workflows/{made.json()['id']}/").json()["name"] == "QUIET"


def test_available_triggers_are_those_offered_and_accepted(key_client: Callable[..., Client]) -> None:
    client = key_client()
    (offered,) = client.get("/api/few-triggers/triggers/").json()
    assert (offered["event_type"], offered["name"]) == ("order.paid", "Paid!")
    statuses = [
        post(client, "few-triggers/subscribe/", {"event_type": name, "callback_url": HOOK}).status_code
        for name in ("order.paid", "order.created")
    ]
    assert statuses == [201, 400]


@pytest.mark.parametrize(
    ("url", "status", "called"),
    [
        (HOOK, 201, [HOOK]),
        ("https://hooks.example.com.evil.test/", 400, []),
        ("https://hooks.example.com.moved.test/", 201, ["https://hooks.example.com.here.test/"]),
        ("http://moved.test/", 400, []),
    ],
)
def test_validate_callback_url_decides_which_urls_are_called(
    key_client: Callable[..., Client], url: str, status: int, called: list[str]
) -> None:
    answer = post(key_client(), "own-callbacks/subscribe/", {"event_type": "order.paid", "callback_url": url})
    assert answer.status_code == status
    if status == 400:
        assert [problem["field"] for problem in answer.json()["error"]["details"]] == ["callback_url"]
    assert list(WebhookSubscription.all_tenants.values_list("callback_url", flat=True)) == called


def test_excluded_apps_are_not_listed(key_client: Callable[..., Client]) -> None:
    answer = key_client().get("/api/fewer-apps/apps/")
    labels = {app["label"] for app in answer.json()["apps"]}
    assert "automate_connectors" in labels
    assert labels & {"automate", "auth"} == set()


def test_event_ingest_view_works_on_its_own(key_client: Callable[..., Client]) -> None:
    client = key_client(Role.RUNNER)
    body = {"type": "order.created", "payload": {"n": 1}, "dedupe_key": "order-1"}
    first, second = (post(client, "ingest/", body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["event_id"] == second.json()["event_id"]
    assert str(Event.all_tenants.get().pk) == first.json()["event_id"]
    assert (
        key_client(Role.VIEWER).post("/api/ingest/", {}, content_type="application/json").status_code == 403
    )
    assert client.get("/api/ingest/").status_code == 405
