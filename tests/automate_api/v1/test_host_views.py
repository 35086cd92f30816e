"""Views a host project builds on the base classes: its own models, permissions, authentication and URLs."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings

from automate_api.checks import check_api_settings
from automate_api.models import ApiKey
from automate_api.v1.base import PublicAPIMixin, RateLimitMixin
from automate_core import audit
from automate_core.context import tenant_scope
from automate_core.models import Membership, Role, Tenant
from tests.automate_api.test_middleware import chunked

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.automate_api.v1.urls")]

MakeClient = Callable[..., Client]


def sent(client: Client, method: str, path: str, body: Any, **headers: str) -> Any:
    return getattr(client, method)(path, body, content_type="application/json", headers=headers)


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def basic(username: str = "ada") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:correct horse".encode()).decode()}


def test_rows_without_a_tenant_are_shared_by_all_who_have_the_role(
    key_client: MakeClient, other_tenant: Tenant
) -> None:
    made = sent(key_client(Role.EDITOR), "post", "/api/groups/", {"name": "readers"})
    assert (made.status_code, made.json()["name"]) == (201, "readers")
    path = f"/api/groups/{made.json()['id']}/"
    elsewhere = key_client(Role.EDITOR, tenant_id=other_tenant.pk)
    assert sent(elsewhere, "patch", path, {"name": "writers"}).json()["name"] == "writers"
    assert key_client(Role.VIEWER).delete(path).status_code == 403
    assert key_client(Role.EDITOR).delete(path).status_code == 204
    assert not Group.objects.exists()


def test_change_the_database_refuses_is_409(key_client: MakeClient) -> None:
    client = key_client()
    sent(client, "post", "/api/groups/", {"name": "one"})
    two = sent(client, "post", "/api/groups/", {"name": "two"}).json()
    assert code_of(sent(client, "post", "/api/groups/", {"name": "one"})) == (409, "CONFLICT")
    assert code_of(sent(client, "patch", f"/api/groups/{two['id']}/", {"name": "one"})) == (409, "CONFLICT")


def test_refused_change_with_a_request_id_can_be_repeated(key_client: MakeClient) -> None:
    client = key_client()
    held = Group.objects.create(name="one")
    first = sent(client, "post", "/api/groups/", {"name": "one"}, **{"X-Request-ID": "r1"})
    held.delete()
    again = sent(client, "post", "/api/groups/", {"name": "one"}, **{"X-Request-ID": "r1"})
    assert (first.status_code, again.status_code) == (409, 201)


def test_row_that_others_depend_on_is_not_deleted(key_client: MakeClient, other_tenant: Tenant) -> None:
    with tenant_scope(other_tenant.pk):
        audit.record(actor="test", action="test", target="test")
    answer = key_client().delete(f"/api/tenants/{other_tenant.pk}/")
    assert code_of(answer) == (409, "CONFLICT")
    assert Tenant.objects.filter(pk=other_tenant.pk).exists()


def test_list_without_an_order_comes_by_primary_key(key_client: MakeClient) -> None:
    made = [Group.objects.create(name=f"g{n}").pk for n in range(5)]
    Group.objects.filter(pk=made[0]).update(name="moved")
    client = key_client()
    pages = [client.get(f"/api/groups/?page_size=2&page={n}").json()["results"] for n in (1, 2, 3)]
    assert [row["id"] for page in pages for row in page] == made


def test_rows_of_a_tenant_are_saved_there_whatever_the_body_says(
    key_client: MakeClient, tenant: Tenant, other_tenant: Tenant
) -> None:
    client = key_client()
    made = sent(client, "post", "/api/keys/", {"name": "mine", "tenant_id": str(other_tenant.pk)})
    assert (made.status_code, made.json()["tenant_id"]) == (201, str(tenant.pk))
    path = f"/api/keys/{made.json()['id']}/"
    moved = sent(client, "put", path, {"name": "still mine", "tenant_id": str(other_tenant.pk)})
    assert (moved.status_code, moved.json()["tenant_id"]) == (200, str(tenant.pk))


def test_format_suffix_of_a_router_reaches_handlers_written_without_it(key_client: MakeClient) -> None:
    client = key_client()
    group = Group.objects.create(name="readers")
    assert client.get("/api/groups.json").json()["count"] == 1
    answer = client.post(f"/api/groups/{group.pk}/rename.json")
    assert (answer.status_code, answer.json()) == (200, {"renamed": str(group.pk)})
    assert client.get("/api/groups.xml").status_code == 404


def test_parameter_called_format_is_the_views_own(key_client: MakeClient) -> None:
    assert key_client().get("/api/export/pdf/").json() == {"format": "pdf"}


def test_public_view_of_a_base_class_is_open_but_not_for_rows_of_tenants(key_client: MakeClient) -> None:
    Group.objects.create(name="readers")
    assert Client().get("/api/open-groups/").json()["count"] == 1
    assert key_client().get("/api/open-groups/").json()["count"] == 1
    assert code_of(Client().get("/api/open-keys/")) == (403, "FORBIDDEN")


def test_scopes_of_a_key_hold_whatever_the_permissions_are(
    key_client: MakeClient, make_user: Callable[..., Any]
) -> None:
    user = make_user(role=Role.RUNNER)
    assert key_client(user=user).get("/api/members/").json() == {"user": "ada"}
    assert code_of(key_client(user=user, scopes=["events:write"]).get("/api/members/")) == (403, "FORBIDDEN")


def test_key_without_a_user_is_refused_where_an_account_is_needed(key_client: MakeClient) -> None:
    answer = key_client().get("/api/members/")
    assert code_of(answer) == (403, "FORBIDDEN")
    assert "belongs to no user, so it has no 'automate_memberships'" in answer.json()["error"]["message"]


def test_users_of_a_projects_own_authentication_are_looked_up(
    make_user: Callable[..., Any], tenant: Tenant
) -> None:
    member = make_user(role=Role.RUNNER)
    make_user("stranger", role=None)
    answer = Client().get("/api/own/", headers=basic())
    assert answer.json() == {"caller": f"user:{member.pk}", "role": "runner"}
    assert code_of(Client().get("/api/own/", headers=basic("stranger"))) == (403, "FORBIDDEN")
    unknown = Client().get("/api/own/", headers={**basic(), "X-Tenant-ID": "absent"})
    assert code_of(unknown) == (404, "NOT_FOUND")
    assert Client().get("/api/own/").status_code == 401


def test_staff_of_a_projects_own_authentication_are_staff(make_user: Callable[..., Any]) -> None:
    make_user("staff", is_staff=True, role=None)
    make_user("other", role=None)
    statuses = [
        Client().get("/api/plain-staff/", headers=basic(name)).status_code for name in ("staff", "other")
    ]
    assert statuses == [200, 403]
    assert Client().get("/api/plain-staff/").status_code == 401


def test_tenant_filter_knows_users_of_a_projects_own_authentication(
    make_user: Callable[..., Any], tenant: Tenant, other_tenant: Tenant
) -> None:
    user, friend = make_user(), make_user("friend", role=None)
    Membership.objects.create(tenant=other_tenant, user=friend)
    listed = Client().get("/api/memberships/", headers=basic()).json()["results"]
    assert [row["user"] for row in listed] == [user.pk]
    body = {"user": make_user("new", role=None).pk, "tenant": str(other_tenant.pk), "role": "viewer"}
    made = sent(Client(), "post", "/api/memberships/", body, **basic())
    assert (made.status_code, made.json()["tenant"]) == (201, str(tenant.pk))
    theirs = dict.fromkeys(("tenant", "tenant_id"), str(other_tenant.pk))
    moved = sent(Client(), "patch", f"/api/memberships/{made.json()['id']}/", theirs, **basic())
    assert (moved.status_code, moved.json()["tenant"]) == (200, str(tenant.pk))


@pytest.mark.parametrize(
    ("username", "headers", "status"),
    [("stranger", {}, 403), ("ada", {"X-Tenant-ID": "absent"}, 404), ("twice", {}, 400)],
)
def test_tenant_filter_refuses_in_words_a_projects_own_handler_knows(
    make_user: Callable[..., Any], other_tenant: Tenant, username: str, headers: dict[str, str], status: int
) -> None:
    make_user()
    make_user("stranger", role=None)
    Membership.objects.create(tenant=other_tenant, user=make_user("twice"))
    answer = Client().get("/api/memberships/", headers={**basic(username), **headers})
    assert answer.status_code == status


def test_tenants_of_a_projects_own_are_told_by_an_override(key_client: MakeClient) -> None:
    Group.objects.create(name="mine")
    Group.objects.create(name="theirs")
    client = key_client()
    listed = client.get("/api/by-hand/", headers={"X-Group": "mine"}).json()["results"]
    assert [row["name"] for row in listed] == ["mine"]
    assert client.get("/api/by-hand/").json()["count"] == 0


def test_limit_counts_users_of_a_projects_own_authentication(make_user: Callable[..., Any]) -> None:
    make_user()
    make_user("friend")
    answers = [Client().get("/api/plain-limited/", headers=basic()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert Client().get("/api/plain-limited/", headers=basic("friend")).status_code == 200


def test_limited_view_says_so_wherever_it_is_mounted(make_user: Callable[..., Any]) -> None:
    make_user()
    answer = Client().get("/backend/plain-limited/", headers=basic())
    assert (answer["X-RateLimit-Limit"], answer["X-RateLimit-Remaining"]) == ("2", "1")


def test_any_origin_may_be_allowed_for_some_methods() -> None:
    headers = {"Origin": "https://anywhere.test"}
    assert Client().post("/api/cors/", headers=headers)["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Origin" not in Client().get("/api/cors/", headers=headers)
    preflight = Client().options("/api/cors/", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert (preflight.status_code, preflight["Access-Control-Allow-Origin"]) == (204, "*")
    assert preflight["Access-Control-Allow-Methods"] == "POST"


@pytest.mark.parametrize(
    ("base", "attributes", "message"),
    [
        (RateLimitMixin, {"rate_limit": "often"}, "Wrong.rate_limit must be like"),
        (RateLimitMixin, {"rate_limit_key": "moon"}, "Wrong.rate_limit_key must be 'user' or 'ip'"),
        (PublicAPIMixin, {"public_rate_limit": 10}, "Wrong.public_rate_limit must be like"),
    ],
)
def test_limit_that_cannot_be_read_is_refused_when_the_class_is_made(
    base: type, attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        type("Wrong", (base,), attributes)


@override_settings(AUTOMATE_API={"URL_PREFIXES": ["/backend/automation/"], "RATE_STORAGE": "memory://"})
def test_api_mounted_elsewhere_answers_as_under_api(make_key: Callable[..., tuple[ApiKey, str]]) -> None:
    key, plain = make_key()
    client = Client(headers={"X-API-Key": plain})
    answer = client.get("/backend/automation/automate/workflows/")
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    key.refresh_from_db()
    assert key.last_used_at is not None
    missing = client.get("/backend/automation/absent/")
    assert code_of(missing) == (404, "NOT_FOUND")
    large = client.post(
        "/backend/automation/automate/events/",
        b"{}",
        content_type="application/json",
        CONTENT_LENGTH="2000000",
    )
    assert code_of(large) == (413, "PAYLOAD_TOO_LARGE")
    flat = client.get("/backend/automation/workflow/absent/").json()
    assert sorted(flat) == ["code", "details", "error", "trace_id"]
    assert client.get("/api/absent/")["Content-Type"].startswith("text/html")


@override_settings(AUTOMATE_API={"URL_PREFIXES": ["/backend/automation/"], "RATE_STORAGE": "memory://"})
@pytest.mark.parametrize(("prefix", "status"), [("/backend/automation/", 413), ("/api/", 404)])
def test_chunked_bodies_are_stopped_where_the_api_is(prefix: str, status: int) -> None:
    sent, _ = chunked(f"{prefix}absent/", [b"x" * 600_000] * 2)
    assert sent[0]["status"] == status


@pytest.mark.parametrize("prefixes", [["api/"], ["/api"], "/api/"])
def test_prefix_that_is_no_path_is_refused_by_the_checks(prefixes: Any) -> None:
    with override_settings(AUTOMATE_API={"URL_PREFIXES": prefixes}):
        assert {error.id for error in check_api_settings()} == {"automate_api.E003"}
