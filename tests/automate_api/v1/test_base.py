from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

from automate_api.models import ApiKey
from automate_core.models import Role, Tenant

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.automate_api.urls")]

MakeClient = Callable[..., Client]
ORIGIN = {"Origin": "https://example.com"}


def test_viewset_answers_as_documented(key_client: MakeClient) -> None:
    assert key_client(Role.VIEWER).get("/api/items/").json() == {"items": []}


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        (Role.VIEWER, "get", "/api/tenants/", 200),
        (Role.VIEWER, "get", "/api/tenants/stats/", 200),
        (Role.VIEWER, "post", "/api/tenants/", 403),
        (Role.RUNNER, "post", "/api/tenants/", 403),
        (Role.EDITOR, "post", "/api/tenants/", 201),
        (Role.PUBLISHER, "post", "/api/ping/", 200),
        (Role.PUBLISHER, "delete", "/api/ping/", 403),
        (Role.ADMIN, "delete", "/api/ping/", 204),
    ],
)
def test_undeclared_methods_read_for_viewers_edit_for_editors_and_close_otherwise(
    key_client: MakeClient, role: Role, method: str, path: str, status: int
) -> None:
    body = {"slug": "new", "name": "New"}
    answer = (
        getattr(key_client(role), method)(path, body, content_type="application/json")
        if method == "post"
        else getattr(key_client(role), method)(path)
    )
    assert answer.status_code == status


def test_custom_actions_work_as_documented(key_client: MakeClient, tenant: Tenant) -> None:
    client = key_client()
    path = f"/api/tenants/{tenant.pk}/activate/"
    assert client.post(path).json() == {"slug": "default"}
    assert key_client(Role.PUBLISHER).post(path).status_code == 403
    assert client.get("/api/tenants/stats/").json() == {"total": 1}


@pytest.mark.parametrize("pk", ["absent", "1", "%F0%9F%98%80"])
def test_id_that_is_no_uuid_is_404(key_client: MakeClient, pk: str) -> None:
    assert key_client().get(f"/api/tenants/{pk}/").status_code == 404


def test_duplicate_is_400_in_shape(key_client: MakeClient) -> None:
    answer = key_client().post(
        "/api/tenants/", {"slug": "default", "name": "x"}, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (400, "slug")


@pytest.mark.parametrize("path", ["/api/keys/", "/api/plain-keys/"])
def test_rows_of_other_tenants_are_not_listed_or_read(
    make_key: Callable[..., tuple[ApiKey, str]], other_tenant: Tenant, path: str
) -> None:
    mine, plain = make_key(name="mine")
    theirs, _ = make_key(name="theirs", tenant_id=other_tenant.pk)
    client = Client(headers={"X-API-Key": plain})
    listed = client.get(path).json()
    assert [row["id"] for row in listed["results"]] == [str(mine.pk)]
    assert client.get(f"{path}{mine.pk}/").status_code == 200
    assert client.get(f"{path}{theirs.pk}/").status_code == 404


def test_plain_view_is_closed_to_anonymous() -> None:
    assert Client().get("/api/settings/").status_code == 401


def test_setting_comes_from_dictionary_then_flat_name_then_default(key_client: MakeClient) -> None:
    client = key_client()
    assert client.get("/api/settings/").json() == {"page_size": 25, "own": 3}
    with override_settings(AUTOMATE_API_PAGE_SIZE=50, AUTOMATE_API_OWN=5):
        assert client.get("/api/settings/").json() == {"page_size": 50, "own": 5}
        with override_settings(AUTOMATE_API={"PAGE_SIZE": 10, "RATE_STORAGE": "memory://"}):
            assert client.get("/api/settings/").json() == {"page_size": 10, "own": 5}


@pytest.mark.parametrize("path", ["/api/items/", "/api/cors/"])
def test_allowed_origin_gets_cors_headers(key_client: MakeClient, path: str) -> None:
    answer = key_client().get(path, headers=ORIGIN)
    assert answer["Access-Control-Allow-Origin"] == "https://example.com"
    assert "Origin" in answer["Vary"]
    other = key_client().get(path, headers={"Origin": "https://example.com.evil.test"})
    assert "Access-Control-Allow-Origin" not in other


@pytest.mark.parametrize("path", ["/api/items/", "/api/cors/"])
def test_preflight_is_answered_before_authentication(path: str) -> None:
    headers = {**ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = Client().options(path, headers=headers)
    assert (answer.status_code, answer["Access-Control-Allow-Methods"]) == (204, "GET, POST")
    refused = Client().options(path, headers={**headers, "Origin": "https://evil.test"})
    assert refused.status_code == 401


def test_error_carries_cors_headers_too() -> None:
    answer = Client().get("/api/items/", headers=ORIGIN)
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (401, "https://example.com")


def test_rate_limit_mixin_counts_by_user(key_client: MakeClient) -> None:
    client = key_client()
    assert [client.get("/api/limited/").status_code for _ in range(3)] == [200, 200, 429]
    assert key_client().get("/api/limited/").status_code == 200
    assert client.get("/api/ping/").status_code == 200


def test_rate_limit_mixin_counts_by_address(key_client: MakeClient) -> None:
    statuses = [key_client().get("/api/address-limited/").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_public_view_is_open_and_limited_by_address() -> None:
    answers = [Client().get("/api/public/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].json() == {"open": True}
    assert answers[0]["X-RateLimit-Limit"] == "2"


def test_staff_view_is_closed_to_others(make_user: Callable[..., Any], key_client: MakeClient) -> None:
    statuses = {}
    for name, is_staff in (("staff", True), ("other", False)):
        client = Client()
        client.force_login(make_user(name, is_staff=is_staff))
        statuses[name] = client.get("/api/staff/").status_code
    assert statuses == {"staff": 200, "other": 403}
    assert key_client(Role.ADMIN).get("/api/staff/").status_code == 200
    assert key_client(Role.PUBLISHER).get("/api/staff/").status_code == 403


def page(client: Client, query: str) -> Any:
    return client.get(f"/api/users/{query}")


def test_pages_have_count_and_relative_links(key_client: MakeClient) -> None:
    model = get_user_model()
    model.objects.bulk_create(model(username=f"u{n:03}") for n in range(120))
    client = key_client()
    first = page(client, "?search=x").json()
    assert (first["count"], first["previous"], first["next"]) == (120, None, "/api/users/?page=2&search=x")
    assert [row["username"] for row in first["results"]] == [f"u{n:03}" for n in range(25)]
    last = page(client, "?page=3&page_size=50").json()
    assert (len(last["results"]), last["next"]) == (20, None)
    assert last["previous"] == "/api/users/?page=2&page_size=50"
    assert page(client, "?page=2").json()["previous"] == "/api/users/"
    assert len(page(client, "?page_size=1000000000").json()["results"]) == 100


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?page=-1", 400),
        ("?page=0", 400),
        ("?page=x", 400),
        ("?page=", 200),
        ("?page=1.5", 400),
        ("?page=" + "9" * 5000, 400),
        ("?page=" + "9" * 30, 404),
        ("?page=2", 404),
        ("?page_size=0", 400),
        ("?page_size=-5", 400),
        ("?page_size=x", 400),
        ("?page=%D9%A1", 400),
    ],
)
def test_bad_page_is_refused(key_client: MakeClient, query: str, status: int) -> None:
    assert page(key_client(), query).status_code == status


@pytest.mark.parametrize("path", ["/api/items/", "/api/tenants/", "/api/settings/", "/api/ping/"])
def test_options_describes_nothing(key_client: MakeClient, path: str) -> None:
    assert key_client().options(path).status_code == 405


def test_tenant_filter_keeps_what_is_saved_inside_too(
    key_client: MakeClient, tenant: Tenant, other_tenant: Tenant
) -> None:
    client, theirs = key_client(), str(other_tenant.pk)
    body = {"name": "mine", "tenant_id": theirs}
    made = client.post("/api/plain-keys/", body, content_type="application/json").json()
    assert made["tenant_id"] == str(tenant.pk)
    moved = client.patch(
        f"/api/plain-keys/{made['id']}/", {"tenant_id": theirs}, content_type="application/json"
    )
    assert moved.json()["tenant_id"] == str(tenant.pk)
