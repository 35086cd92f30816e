"""Which role each route takes, for every route and role; and that a key never does more than its owner may now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from automate_api.models import ApiKey
from automate_core.models import Membership, Role, Tenant
from tests.automate.api.conftest import make_execution, make_workflow
from tests.automate_api.test_routes import PRIVATE, Route, call

__all__ = ["make_execution", "make_workflow"]

pytestmark = pytest.mark.django_db

VIEWER, RUNNER, EDITOR = Role.VIEWER, Role.RUNNER, Role.EDITOR
UNLIKE_THEIR_METHOD = {
    ("post", "/api/automate/workflows/<pk>/run/"): RUNNER,
    ("post", "/api/automate/workflows/<pk>/validate/"): VIEWER,
    ("post", "/api/automate/events/"): RUNNER,
    ("post", "/api/v1/events/"): RUNNER,
    ("post", "/api/automate/approvals/<pk>/approve/"): VIEWER,
    ("post", "/api/automate/approvals/<pk>/reject/"): VIEWER,
    **{
        ("post", f"{base}/executions/<pk>/{verb}/"): RUNNER
        for base in ("/api/automate", "/api/v1")
        for verb in ("cancel", "pause", "resume", "replay", "steps/skip", "steps/retry")
    },
    ("post", "/api/v1/endpoints/<pk>/run/"): RUNNER,
    ("post", "/api/v1/jobs/<pk>/cancel/"): RUNNER,
    ("post", "/api/modal/endpoints/<pk>/run/"): RUNNER,
    ("post", "/api/modal/endpoints/<pk>/stream/"): RUNNER,
    ("post", "/api/modal/endpoints/<pk>/job/"): RUNNER,
    ("get", "/api/workflow/<pk>/start_execution/"): RUNNER,
    ("post", "/api/workflow/<pk>/start_execution/"): RUNNER,
    ("get", "/api/workflow/<pk>/stop_execution/"): RUNNER,
    ("post", "/api/workflow/<pk>/stop_execution/"): RUNNER,
}
"""Routes whose least role is another than viewer for GET and editor for the rest. Votes are a matter of assignees."""


def least(method: str, url: str) -> Role:
    return UNLIKE_THEIR_METHOD.get((method, url), VIEWER if method == "get" else EDITOR)


def test_every_exception_is_a_route() -> None:
    assert (
        set(UNLIKE_THEIR_METHOD) - {(one, route.url) for route in PRIVATE for one in route.methods} == set()
    )


@pytest.mark.parametrize("route", PRIVATE, ids=lambda route: route.url)
def test_route_takes_its_role_and_no_less(route: Route, make_user: Callable[..., Any]) -> None:
    """A new route that takes another role than its method suggests belongs in UNLIKE_THEIR_METHOD."""
    staff = make_user(role=None, is_staff=True)
    member = Membership.objects.create(user=staff, tenant=Tenant.objects.get(), role=Role.VIEWER)
    client = Client(raise_request_exception=False)
    client.force_login(staff)
    path = route.path(pk="01990000-0000-7000-8000-000000000001")
    for method in route.methods:
        refused = []
        for role in Role:
            Membership.objects.filter(pk=member.pk).update(role=role)
            answer = call(client, method, path)
            assert answer.status_code < 500
            if answer.status_code == 403 and "needs the role" in answer.content.decode():
                refused.append(role)
        needed = least(method, route.url)
        assert refused == [role for role in Role if not role.includes(needed)], method


Held = Callable[..., tuple[ApiKey, str]]


@pytest.fixture
def may(make_workflow: Callable[..., Any]) -> Callable[[Client], list[int]]:
    """Tell what a client may do: look, run and change."""
    workflow = make_workflow()

    def ask(client: Client) -> list[int]:
        url = f"/api/automate/workflows/{workflow.pk}/"
        sent = [
            client.get(url),
            client.post(f"{url}run/", {}, content_type="application/json"),
            client.patch(url, {"description": "new"}, content_type="application/json"),
        ]
        return [answer.status_code for answer in sent]

    return ask


@pytest.fixture
def owned(make_key: Held, make_user: Callable[..., Any]) -> tuple[Any, Client]:
    owner = make_user("owner", role=Role.ADMIN)
    _, plain = make_key(Role.EDITOR, user=owner)
    return owner, Client(headers={"X-API-Key": plain}, raise_request_exception=False)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (Role.ADMIN, [200, 202, 200]),
        (Role.EDITOR, [200, 202, 200]),
        (Role.RUNNER, [200, 202, 403]),
        (Role.VIEWER, [200, 403, 403]),
    ],
)
def test_key_weakens_at_once_with_its_owner(
    owned: tuple[Any, Client], may: Callable[[Client], list[int]], role: Role, expected: list[int]
) -> None:
    owner, client = owned
    assert may(client) == [200, 202, 200]
    Membership.objects.filter(user=owner).update(role=role)
    assert may(client) == expected


def test_key_ends_at_once_with_the_membership_of_its_owner(
    owned: tuple[Any, Client], may: Callable[[Client], list[int]]
) -> None:
    owner, client = owned
    assert may(client) == [200, 202, 200]
    Membership.objects.filter(user=owner).delete()
    assert may(client) == [403, 403, 403]


def test_key_ends_at_once_with_the_account_of_its_owner(
    owned: tuple[Any, Client], may: Callable[[Client], list[int]]
) -> None:
    owner, client = owned
    assert may(client) == [200, 202, 200]
    owner.is_active = False
    owner.save()
    assert may(client) == [401, 401, 401]


@pytest.mark.parametrize(
    "change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now()}], ids=["revoked", "expired"]
)
def test_key_ends_at_once_when_it_is_over(
    owned: tuple[Any, Client], may: Callable[[Client], list[int]], change: dict[str, Any]
) -> None:
    assert may(owned[1]) == [200, 202, 200]
    ApiKey.all_tenants.update(**change)
    assert may(owned[1]) == [401, 401, 401]


def test_key_ends_at_once_with_its_tenant(
    owned: tuple[Any, Client], may: Callable[[Client], list[int]], tenant: Tenant
) -> None:
    assert may(owned[1]) == [200, 202, 200]
    Tenant.objects.filter(pk=tenant.pk).update(is_active=False)
    assert may(owned[1]) == [401, 401, 401]


def test_key_of_a_superuser_does_no_more_than_its_own_role(
    make_key: Held, make_user: Callable[..., Any], may: Callable[[Client], list[int]]
) -> None:
    root = make_user("root", role=None, is_superuser=True, is_staff=True)
    _, plain = make_key(Role.VIEWER, user=root)
    assert may(Client(headers={"X-API-Key": plain})) == [200, 403, 403]
    root.is_superuser = False
    root.save()
    assert may(Client(headers={"X-API-Key": plain})) == [403, 403, 403]


def test_key_role_is_the_lower_of_both(make_key: Held, may: Callable[[Client], list[int]]) -> None:
    key, plain = make_key(Role.RUNNER)
    client = Client(headers={"X-API-Key": plain})
    assert may(client) == [200, 202, 403]
    ApiKey.all_tenants.filter(pk=key.pk).update(role=Role.VIEWER)
    assert may(client) == [200, 403, 403]
