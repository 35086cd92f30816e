"""Who may do what, on every route: roles, scopes of keys, credentials that disagree, and sessions with CSRF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest
from django.test import Client

from automate_api import tokens
from automate_api.permissions import required_role
from automate_core.models import Role
from tests.automate_api.conftest import key_client, make_key, make_user, other_tenant, tenant
from tests.automate_api.test_routes import PRIVATE, Route, call

__all__ = ["key_client", "make_key", "make_user", "other_tenant", "tenant"]

pytestmark = pytest.mark.django_db

MakeClient = Callable[..., Client]
MakeKey = Callable[..., tuple[Any, str]]
by_url = {"ids": lambda route: route.url}

VIEWERS_MAY = {
    "POST /api/automate/workflows/<pk>/validate/": "saves nothing",
    "POST /api/automate/approvals/<pk>/approve/": "who may decide is up to the approval",
    "POST /api/automate/approvals/<pk>/reject/": "who may decide is up to the approval",
}
"""What changes nothing of its own accord, and why viewers may do it."""


def requests(route: Route) -> Iterator[tuple[str, Role]]:
    """Yield the methods of a route with the least role each takes."""
    for method in route.methods:
        view = route.view()
        view.action = (getattr(route.callback, "actions", None) or {}).get(method)
        yield method, required_role(view, method)


def is_read(route: Route, method: str) -> bool:
    # The canvas starts and stops by GET, as its document has it.
    return method == "get" and not route.url.endswith("_execution/")


@pytest.mark.parametrize("route", PRIVATE, **by_url)
def test_changes_take_more_than_a_viewer(route: Route) -> None:
    for method, role in requests(route):
        if is_read(route, method) or f"{method.upper()} {route.url}" in VIEWERS_MAY:
            continue
        assert role in (Role.RUNNER, Role.EDITOR, Role.PUBLISHER, Role.ADMIN), method


def test_scopes_narrow_a_key_to_their_resource_and_verb(make_key: MakeKey) -> None:
    every = {f"{route.view.api_scope}:{verb}" for route in PRIVATE for verb in ("read", "write")}
    assert ":read" not in every
    clients = {
        scope: (
            Client(headers={"X-API-Key": make_key(scopes=[scope])[1]}),
            Client(headers={"X-API-Key": make_key(scopes=sorted(every - {scope}))[1]}),
        )
        for scope in every
    }
    wrong = []
    for route in PRIVATE:
        for method in route.methods:
            scope = f"{route.view.api_scope}:{'read' if is_read(route, method) else 'write'}"
            statuses = [call(client, method, route.path()).status_code for client in clients[scope]]
            # A GET of the canvas that starts or stops needs the scope for reading besides.
            is_both = method == "get" and not is_read(route, method)
            if [status == 403 for status in statuses] != [is_both, True]:
                wrong.append((method, route.url, statuses))
    assert wrong == []


def test_credentials_that_disagree_are_401_on_every_route(make_key: MakeKey, make_user: Any) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    session = Client()
    session.force_login(ada)
    cookie = f"sessionid={session.cookies['sessionid'].value}"
    of_bob = {"X-API-Key": make_key(user=bob)[1], "Authorization": f"Bearer {tokens.issue(bob).access}"}
    of_nobody = make_key()[1]
    pairs = [
        {"Cookie": cookie, "X-API-Key": of_bob["X-API-Key"]},
        {"Cookie": cookie, "Authorization": of_bob["Authorization"]},
        {"Cookie": cookie, "X-API-Key": of_nobody},
        {"Cookie": cookie, "Authorization": f"Bearer {of_nobody}"},
        {"X-API-Key": of_nobody, "Authorization": of_bob["Authorization"]},
        {"X-API-Key": of_nobody, "Authorization": f"Bearer {of_bob['X-API-Key']}"},
        {"X-API-Key": of_nobody, "Authorization": "Bearer nonsense"},
        {"Cookie": cookie, **of_bob},
    ]
    clients = [Client(headers=headers) for headers in pairs]
    statuses = {
        (route.url, number): call(client, route.methods[0], route.path()).status_code
        for route in PRIVATE
        for number, client in enumerate(clients)
    }
    assert {key: status for key, status in statuses.items() if status != 401} == {}


def test_all_credentials_of_one_caller_agree(make_key: MakeKey, make_user: Any) -> None:
    ada = make_user("ada")
    client = Client()
    client.force_login(ada)
    every = {
        "Cookie": f"sessionid={client.cookies['sessionid'].value}",
        "X-API-Key": make_key(user=ada)[1],
        "Authorization": f"Bearer {tokens.issue(ada).access}",
    }
    for count in (1, 2, 3):
        for names in combinations(every, count):
            headers = {name: every[name] for name in names}
            assert Client(headers=headers).get("/api/automate/workflows/").status_code == 200


def test_session_changes_nothing_without_its_csrf_token(make_user: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user(is_staff=True))
    client.cookies["csrftoken"] = "a" * 32
    for route in PRIVATE:
        for method in set(route.methods) - {"get"}:
            for headers in ({}, {"X-CSRFToken": "b" * 32}):
                answer = client.generic(
                    method.upper(), route.path(), b"{}", content_type="application/json", headers=headers
                )
                assert (route.url, method, answer.status_code) == (route.url, method, 403)
                assert "CSRF" in answer.content.decode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Referer": "https://testserver/studio/"}, 400),
        ({"Origin": "https://testserver"}, 400),
        ({}, 403),
        ({"Referer": "https://evil.example/"}, 403),
        ({"Referer": "http://testserver/"}, 403),
        ({"Origin": "https://evil.example", "Referer": "https://testserver/"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_session_over_https_comes_from_this_site(
    make_user: Any, headers: dict[str, str], status: int
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user())
    client.cookies["csrftoken"] = "a" * 32
    answer = client.post(
        "/api/automate/workflows/",
        {},
        content_type="application/json",
        secure=True,
        headers={"X-CSRFToken": "a" * 32, **headers},
    )
    assert answer.status_code == status
