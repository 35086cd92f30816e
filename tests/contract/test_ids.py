"""Ids of things that are not there for the caller: one answer, whatever the reason, on every route that takes an id."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import models
from django.test import Client

from automate.models import WebhookSubscription
from automate_core.models import Tenant, TenantOwned
from tests.automate_api.conftest import key_client, make_key, make_user, other_tenant, tenant
from tests.automate_api.test_routes import PRIVATE, ROUTES, Route, call
from tests.contract import rows

__all__ = ["key_client", "make_key", "make_user", "other_tenant", "tenant"]

pytestmark = pytest.mark.django_db

MakeClient = Callable[..., Client]

MALFORMED = ("1", "-1", "a b", "x" * 300, "%F0%9F%92%A9", "%ff", "1'--")
# The types of nodes are the same for every tenant, and their 404 names the type asked for.
WITH_ID = [route for route in PRIVATE if "<" in route.url and not route.url.startswith("/api/nodes/")]


def collection_of(route: Route) -> str:
    """Return the segment in front of a route's first placeholder."""
    found = re.search(r"/([\w-]+)/<", route.url)
    assert found is not None
    return found[1]


def parameters(route: Route) -> list[str]:
    return re.findall(r"<(\w+)>", route.url)


def told(answer: Any, value: str = "") -> str:
    """Return what an answer tells but its trace id and the value asked for, in either shape of errors."""
    body = copy.deepcopy(answer.json())
    error = body["error"] if isinstance(body["error"], dict) else body
    assert error.pop("trace_id") == answer["X-Trace-ID"]
    text = json.dumps(body, sort_keys=True)
    return text.replace(value, "<id>").replace(value.lower(), "<id>") if value else text


@pytest.fixture
def absent(tenant: Tenant, other_tenant: Tenant) -> Callable[[str], list[str]]:
    """Return ids of another tenant's thing, of a deleted one, of none, and texts that are no ids."""

    @cache
    def ids(collection: str) -> list[str]:
        found = [str(uuid4()), str(UUID(int=0)), *MALFORMED]
        if collection in rows.MAKERS:
            foreign, deleted = rows.make(collection, other_tenant), rows.make(collection, tenant)
            found += [str(foreign.pk), foreign.pk.hex, str(foreign.pk).upper(), str(deleted.pk)]
            type(deleted)._base_manager.filter(pk=deleted.pk).delete()
        return found

    return ids


def test_every_collection_can_be_made() -> None:
    kinds = {
        collection_of(route): route.view.queryset.model
        for route in WITH_ID
        if getattr(route.view, "queryset", None) is not None
    }
    missing = {name for name, kind in kinds.items() if issubclass(kind, TenantOwned)} - rows.MAKERS.keys()
    assert missing == set(), "add how to make one to tests/contract/rows.py"


def test_id_of_nothing_here_is_the_same_404(
    key_client: MakeClient, absent: Callable[[str], list[str]]
) -> None:
    client = key_client()
    statuses, tales = {}, {}
    for route in WITH_ID:
        name = parameters(route)[0]
        for method in route.methods:
            answers = {
                value: call(client, method, route.path(**{name: value}))
                for value in absent(collection_of(route))
            }
            found = {answer.status_code for answer in answers.values()}
            # What a route cannot take for an id is answered by none; odd characters are quoted in messages.
            plain = {value: answer for value, answer in answers.items() if re.fullmatch(r"[\w-]+", value)}
            tale = {told(a, value) for value, a in plain.items() if "No route answers" not in told(a)}
            if found != {404}:
                statuses[method, route.url] = found
            elif len(tale) != 1:
                tales[method, route.url] = tale
    assert (statuses, tales) == ({}, {})


@pytest.mark.parametrize("route", [r for r in WITH_ID if len(parameters(r)) > 1], ids=lambda route: route.url)
def test_part_of_a_thing_that_is_not_there_is_404(
    key_client: MakeClient, tenant: Tenant, route: Route
) -> None:
    client = key_client()
    whole, part = parameters(route)[:2]
    own = str(rows.make(collection_of(route), tenant).pk)
    for method in route.methods:
        for value in ("99", "0", "999999999", "1" * 30, "x", str(uuid4())):
            path = route.path(**{whole: own, part: value})
            status = call(client, method, path).status_code
            # 422: the canvas reads the body, here an empty one, before it looks for the node.
            assert (path, status) == (
                path,
                422 if status == 422 and path.startswith("/api/workflow/") else 404,
            )


@pytest.mark.parametrize("route", [r for r in ROUTES if "<token>" in r.url], ids=lambda route: route.url)
def test_token_of_nothing_is_the_same_404(route: Route) -> None:
    for method in route.methods:
        tokens = ("1", "rsm_", "rsm_" + "a" * 43, "apl_" + "a" * 80, "x" * 500, "%ff", "%F0%9F%92%A9")
        form = (b"decision=approve", "application/x-www-form-urlencoded")
        answers = [call(Client(), method, route.path(token=token), *form) for token in tokens]
        assert {answer.status_code for answer in answers} == {404}
        assert len({told(answer) for answer in answers}) == 1


@pytest.mark.parametrize("url", ["/api/automate/executions/", "/api/v1/executions/"])
def test_list_narrowed_to_what_is_not_here_is_empty(
    key_client: MakeClient, tenant: Tenant, other_tenant: Tenant, url: str
) -> None:
    foreign = rows.make("executions", other_tenant)
    own = rows.make("executions", tenant)
    client = key_client()
    for automation in (foreign.automation_id, uuid4()):  # type: ignore[attr-defined]
        assert client.get(url, {"workflow": str(automation)}).json()["results"] == []
    (found,) = client.get(url, {"workflow": str(own.automation_id)}).json()["results"]  # type: ignore[attr-defined]
    assert found["id"] == str(own.pk)


def test_id_in_a_body_reaches_no_other_tenant(
    key_client: MakeClient, tenant: Tenant, other_tenant: Tenant
) -> None:
    def subscription(of: Tenant) -> models.Model:
        return WebhookSubscription.all_tenants.create(
            tenant=of, event_type="a", callback_url="https://hooks.example.com/1"
        )

    foreign, deleted = subscription(other_tenant), subscription(tenant)
    gone = str(deleted.pk)
    deleted.delete()
    client = key_client()
    bodies: list[dict[str, str]] = [{"id": str(foreign.pk)}, {"id": gone}, {"id": str(uuid4())}]
    bodies += [
        {"callback_url": "https://hooks.example.com/1"},
        {"callback_url": "https://hooks.example.com/2"},
    ]
    for method in ("post", "delete"):
        answers = [
            client.generic(method.upper(), "/api/automate/zapier/unsubscribe/", json.dumps(body),
                           content_type="application/json")
            for body in bodies
        ]  # fmt: skip
        assert {answer.status_code for answer in answers} in ({204}, {404})
        assert len({told(answer) for answer in answers if answer.content}) <= 1
    assert WebhookSubscription.all_tenants.filter(pk=foreign.pk).exists()
