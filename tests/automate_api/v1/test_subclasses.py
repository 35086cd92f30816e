"""Our views in a host's hands: its permission, rows, shapes, limit and origins hold in every action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import include, path
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.routers import DefaultRouter

from automate.api.viewsets import (
    EventViewSet,
    ExecutionViewSet,
    SchemaViewSet,
    WorkflowViewSet,
    ZapierViewSet,
)
from automate.manual import emit_by
from automate.models import Automation, Event, Execution
from automate.workflows import create_workflow
from automate_api.v1.base import RateLimitMixin
from automate_api.v1.views import ArtifactViewSet, EndpointViewSet, EventIngestView, JobViewSet
from automate_core.context import tenant_scope
from automate_core.models import Role, Tenant
from automate_modal import endpoints, jobs
from automate_modal.models import Artifact

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

GRAPH = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "hello"}}], "edges": []}
ORIGIN = "https://shop.example"


class Invited(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return request.headers.get("X-Invited") == "yes"


class Narrowed:
    """What a host changes: all of it, in every one of our views."""

    permission_classes = (Invited,)
    cors_origins = (ORIGIN,)
    rate_limit = "1000/day"

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()  # type: ignore[misc]
        return queryset.exclude(pk=self.request.headers.get("X-Hidden"))  # type: ignore[attr-defined]


class Short(serializers.Serializer[Any]):
    shown = serializers.CharField(source="id")


SHAPES = {"serializer_class": Short, "list_serializer_class": Short}
LISTS: tuple[tuple[str, type[Any]], ...] = (
    ("workflows", WorkflowViewSet),
    ("executions", ExecutionViewSet),
    ("events", EventViewSet),
    ("endpoints", EndpointViewSet),
    ("jobs", JobViewSet),
    ("artifacts", ArtifactViewSet),
)
OTHERS = ((ZapierViewSet, "/zapier/triggers/"), (SchemaViewSet, "/schema/apps/"))

router = DefaultRouter()
for name, view in LISTS:
    router.register(
        name, type(f"Our{view.__name__}", (Narrowed, RateLimitMixin, view), SHAPES), basename=name
    )
for view, route in OTHERS:
    own = type(f"Our{view.__name__}", (Narrowed, RateLimitMixin, view), {})
    router.register(route.split("/")[1], own, basename=route.split("/")[1])
OurIngest: Any = type("OurIngest", (Narrowed, RateLimitMixin, EventIngestView), {})
urlpatterns = [path("emit/", OurIngest.as_view()), path("", include(router.urls))]


@pytest.fixture
def rows(tenant: Tenant) -> dict[str, str]:
    """One row of each resource, by its name."""
    with tenant_scope(tenant.pk):
        workflow = create_workflow(name="Orders", slug="orders", graph=GRAPH, by="test")
        emit_by("test", "order.created", {})
        fields = {"name": "Orders", "kind": "automation", "config": {"workflow": "orders"}}
        endpoint = endpoints.create_endpoint(by="test", **fields)
        job = jobs.start(endpoint, {}, by="test")
        artifact = Artifact.objects.create(job=job, name="a.json", size=1, sha256="0" * 64, file="a")
    made = {"workflows": workflow, "executions": Execution.all_tenants.get(), "endpoints": endpoint}
    made |= {
        "events": Event.all_tenants.filter(type="order.created").get(),
        "jobs": job,
        "artifacts": artifact,
    }
    return {name: str(row.pk) for name, row in made.items()}


@pytest.fixture
def invited(key_client: Callable[..., Client]) -> Client:
    client = key_client(Role.VIEWER)
    client.defaults["HTTP_X_INVITED"] = "yes"
    return client


@pytest.mark.parametrize("name", [name for name, _ in LISTS])
def test_hosts_rows_and_shapes_hold_in_lists_and_details(
    invited: Client, rows: dict[str, str], name: str
) -> None:
    of_row = f"/{name}/{rows[name]}/"
    assert {"shown": rows[name]} in invited.get(f"/{name}/").json()["results"]
    assert invited.get(of_row).json() == {"shown": rows[name]}
    hidden = {"X-Hidden": rows[name]}
    assert {"shown": rows[name]} not in invited.get(f"/{name}/", headers=hidden).json()["results"]
    assert invited.get(of_row, headers=hidden).status_code == 404


@pytest.mark.parametrize(
    "route",
    [
        "workflows/{}/run/", "workflows/{}/validate/", "executions/{}/replay/", "executions/{}/cancel/",
        "endpoints/{}/run/", "jobs/{}/cancel/",
    ],
)  # fmt: skip
def test_hosts_rows_hold_in_actions(invited: Client, rows: dict[str, str], route: str) -> None:
    hidden = rows[route.split("/")[0]]
    answer = invited.post(
        f"/{route.format(hidden)}",
        {"async": True},
        content_type="application/json",
        headers={"X-Hidden": hidden},
    )
    assert (answer.status_code, Execution.all_tenants.count()) == (404, 1)


@pytest.mark.parametrize(
    "route", [*(f"/{name}/" for name, _ in LISTS), *(route for _, route in OTHERS), "/emit/"]
)
def test_hosts_permission_limit_and_origins_hold_everywhere(
    key_client: Callable[..., Client], route: str
) -> None:
    client = key_client()
    method = client.post if route == "/emit/" else client.get
    sent: dict[str, Any] = (
        {"data": {"type": "a"}, "content_type": "application/json"} if route == "/emit/" else {}
    )
    refused = method(route, headers={"Origin": ORIGIN}, **sent)
    allowed = method(route, headers={"Origin": ORIGIN, "X-Invited": "yes"}, **sent)
    assert (refused.status_code, allowed.status_code // 100) == (403, 2)
    assert (refused["X-RateLimit-Limit"], allowed["X-RateLimit-Remaining"]) == ("1000", "998")
    assert refused["Access-Control-Allow-Origin"] == allowed["Access-Control-Allow-Origin"] == ORIGIN
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    assert Client().options(route, headers=asked).status_code == 204


def test_hosts_shape_is_that_of_what_is_made_and_changed(key_client: Callable[..., Client]) -> None:
    client = key_client()
    client.defaults["HTTP_X_INVITED"] = "yes"
    made = client.post("/workflows/", {"name": "Made"}, content_type="application/json")
    assert made.json() == {"shown": str(Automation.all_tenants.get().pk)}
    changed = client.put(
        f"/workflows/{made.json()['shown']}/", {"name": "Other"}, content_type="application/json"
    )
    assert changed.json() == made.json()
