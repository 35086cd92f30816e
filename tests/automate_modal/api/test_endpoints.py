"""Endpoints over HTTP: made, read, changed and deleted by those who may."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from automate_core.models import AuditEntry, Role
from automate_modal import following
from automate_modal.models import Endpoint, Job
from tests.factories.engine import drain, workflow

pytestmark = pytest.mark.django_db

NEW = {"name": "Price check", "kind": "automation", "config": {"workflow": "orders"}}


@pytest.fixture(autouse=True)
def _orders(tenant: Any) -> None:
    workflow({"id": "a", "type": "merge"}, slug="orders", trigger_type="manual", trigger_config={})


def send(client: Client, method: str, path: str, body: Any) -> Any:
    return client.generic(method, path, json.dumps(body), content_type="application/json")


def test_editor_makes_reads_changes_and_deletes_an_endpoint(key_client: Callable[..., Client]) -> None:
    client = key_client(Role.EDITOR)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    made = send(client, "POST", "/api/v1/endpoints/", {**NEW, "input_schema": schema, "description": "Asks"})
    body = made.json()
    assert (made.status_code, body["slug"], body["enabled"], body["config"]) == (
        201, "price-check", True, {"workflow": "orders"},
    )  # fmt: skip
    assert (body["input_schema"], body["description"]) == (schema, "Asks")
    assert client.get(f"/api/v1/endpoints/{body['id']}/").json() == body
    assert client.get("/api/v1/endpoints/price-check/").json() == body
    for method, change in (("PUT", {"enabled": False}), ("PATCH", {"name": "Check", "input_schema": None})):
        changed = send(client, method, "/api/v1/endpoints/price-check/", change)
        assert (changed.status_code, {name: changed.json()[name] for name in change}) == (200, change)
    (row,) = client.get("/api/v1/endpoints/?search=check&enabled=false&kind=automation").json()["results"]
    assert (row["name"], row["enabled"], "config" in row) == ("Check", False, False)
    assert client.delete("/api/v1/endpoints/price-check/").status_code == 204
    assert client.get("/api/v1/endpoints/price-check/").status_code == 404
    actions = AuditEntry.all_tenants.filter(target=f"endpoint:{body['id']}").order_by("id")
    assert [entry.action for entry in actions] == [
        "endpoint.create", "endpoint.update", "endpoint.update", "endpoint.delete",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"slug": "No Slug"}, "slug"),
        ({"slug": "0198f2a1-7a10-7b21-8d41-6a5b4c3d2e1f"}, "slug"),
        ({"slug": "taken"}, "slug"),
        ({"kind": "magic"}, "kind"),
        ({"config": {}}, "config.workflow"),
        ({"config": {"workflow": 1}}, "config.workflow"),
        ({"config": {"workflow": "absent"}}, "config.workflow"),
        ({"config": {"workflow": "orders", "more": 1}}, "config.more"),
        ({"config": []}, "config"),
        ({"input_schema": {"type": "array"}}, "input_schema"),
        ({"input_schema": {"properties": {"a": {"pattern": "(a+)+$"}}}}, "input_schema.properties.a.pattern"),
        ({"enabled": "yes"}, "enabled"),
    ],
)
def test_wrong_field_is_named(key_client: Callable[..., Client], change: Any, field: str) -> None:
    client = key_client()
    assert send(client, "POST", "/api/v1/endpoints/", {**NEW, "slug": "taken"}).status_code == 201
    made = send(client, "POST", "/api/v1/endpoints/", {**NEW, **change})
    assert (made.status_code, made.json()["error"]["details"][0]["field"]) == (400, field)
    if change != {"slug": "taken"}:
        changed = send(client, "PATCH", "/api/v1/endpoints/taken/", change)
        assert (changed.status_code, changed.json()["error"]["details"][0]["field"]) == (400, field)
    assert Endpoint.all_tenants.count() == 1


def test_every_wrong_field_is_named_at_once(key_client: Callable[..., Client]) -> None:
    body = {
        "name": " ",
        "kind": "automation",
        "slug": "A B",
        "config": {"x": 1},
        "input_schema": {"$ref": "#"},
    }
    fields = [
        one["field"]
        for one in send(key_client(), "POST", "/api/v1/endpoints/", body).json()["error"]["details"]
    ]
    assert fields == ["name", "slug", "config.x", "config.workflow", "input_schema.$ref"]


def test_slug_is_made_from_the_name(key_client: Callable[..., Client]) -> None:
    client = key_client()
    slugs = [send(client, "POST", "/api/v1/endpoints/", NEW).json()["slug"] for _ in range(2)]
    odd = send(client, "POST", "/api/v1/endpoints/", {**NEW, "name": "0198f2a1-7a10-7b21-8d41-6a5b4c3d2e1f"})
    assert [*slugs, odd.json()["slug"]] == [
        "price-check", "price-check-2", "endpoint-0198f2a1-7a10-7b21-8d41-6a5b4c3d2e1f",
    ]  # fmt: skip


@pytest.mark.parametrize("role", [Role.VIEWER, Role.RUNNER])
def test_others_may_only_read(key_client: Callable[..., Client], role: Role) -> None:
    send(key_client(), "POST", "/api/v1/endpoints/", NEW)
    client = key_client(role)
    assert client.get("/api/v1/endpoints/price-check/").status_code == 200
    assert send(client, "POST", "/api/v1/endpoints/", NEW).status_code == 403
    assert send(client, "PUT", "/api/v1/endpoints/price-check/", {"name": "X"}).status_code == 403
    assert client.delete("/api/v1/endpoints/price-check/").status_code == 403


def test_read_only_fields_are_not_assigned(key_client: Callable[..., Client], other_tenant: Any) -> None:
    body = {
        **NEW,
        "id": str(other_tenant.pk),
        "tenant": str(other_tenant.pk),
        "created_at": "2020-01-01T00:00:00Z",
    }
    made = send(key_client(), "POST", "/api/v1/endpoints/", body).json()
    assert made["id"] != body["id"]
    assert made["created_at"] > "2024"
    assert Endpoint.all_tenants.get().tenant_id != other_tenant.pk


@pytest.mark.django_db(transaction=True)
def test_deleting_takes_jobs_and_files_along(
    key_client: Callable[..., Client], make_job: Callable[..., Job], storage: Path
) -> None:
    job = make_job(slug="goes", wants_artifact=True)
    drain()
    following.follow(job)
    assert len([path for path in storage.rglob("*") if path.is_file()]) == 1
    assert key_client().delete("/api/v1/endpoints/goes/").status_code == 204
    assert Job.all_tenants.count() == 0
    assert [path for path in storage.rglob("*") if path.is_file()] == []
