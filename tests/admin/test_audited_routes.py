"""Every route that changes something leaves its audit entries; routes are taken from the URL resolver."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from automate import workflows
from automate.approvals.links import link_token
from automate.models import Approval, Execution, StepRun, WebhookSubscription
from automate.subscriptions import verbs as subscriptions
from automate.waits.tokens import resume_token, token_hash
from automate_api.keys import create_key
from automate_core.models import DEFAULT_TENANT_ID, AuditEntry, Membership, Role
from automate_modal import endpoints, jobs
from automate_modal.models import Endpoint, Job
from tests.automate_api.test_routes import ROUTES, call

pytestmark = pytest.mark.django_db

TRACE = "trace-of-this-request"
CANARY = "canary-9f86d081884c"
"""A secret that is given with changes; it must be in no entry."""
GRAPH = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "hello"}}], "edges": []}
CALLBACK = "https://hooks.example.com/hooks/1/"


class World:
    """Whoever changes something, and the things there are to change."""

    @cached_property
    def user(self) -> Any:
        user = get_user_model().objects.create_user("ada")
        Membership.objects.create(tenant_id=DEFAULT_TENANT_ID, user=user, role=Role.ADMIN)
        return user

    @cached_property
    def client(self) -> Client:
        _, plain = create_key(
            name="test", tenant_id=DEFAULT_TENANT_ID, role=Role.ADMIN, by="test", user=self.user
        )
        return Client(headers={"X-API-Key": plain, "X-Trace-ID": TRACE}, raise_request_exception=False)

    @cached_property
    def workflow(self) -> Any:
        return workflows.create_workflow(name="Orders", graph=GRAPH, by="test")

    def changed_workflow(self) -> Any:
        return workflows.update_workflow(self.workflow, graph={"nodes": [], "edges": []}, by="test")

    def running_workflow(self) -> Any:
        self.execution()
        return self.workflow

    def two_nodes(self) -> Any:
        nodes = [*GRAPH["nodes"], {**GRAPH["nodes"][0], "id": "two"}]
        return workflows.update_workflow(self.workflow, graph={"nodes": nodes, "edges": []}, by="test")

    def connection(self) -> tuple[str, None]:
        url = f"/api/workflow/{self.two_nodes().pk}/connections"
        body = {"source": "log", "target": "two"}
        made = self.client.post(f"{url}/add/", body, "application/json").json()
        return f"{url}/{made['id']}/remove/", None

    def execution(self, status: str = "QUEUED", **given: Any) -> Execution:
        ended = timezone.now() if status == "SUCCESS" else None
        version = self.workflow.live_version
        return Execution.objects.create(
            automation=self.workflow, version=version, status=status, finished_at=ended, **given
        )

    def waiting(self, path: str = "ask", **given: Any) -> Execution:
        execution = self.execution("WAITING")
        StepRun.objects.create(
            execution=execution, path=path, node_key=path, status="WAITING", effect="pure",
            **{"node_type": "delay", "wake_at": "2999-01-01T00:00:00Z", **given},
        )  # fmt: skip
        return execution

    def approval(self) -> Approval:
        execution = self.waiting(node_type="approval", wake_at=None)
        assignees = {"users": [self.user.get_username()], "groups": [], "permission": None}
        return Approval.objects.create(execution=execution, path="ask", title="Pay?", assignees=assignees)

    def subscription(self) -> WebhookSubscription:
        return subscriptions.subscribe(event_type="a", callback_url=CALLBACK, by="test").subscription

    @cached_property
    def endpoint(self) -> Endpoint:
        config = {"workflow": self.workflow.slug}
        return endpoints.create_endpoint(name="Orders", kind="automation", config=config, by="test")

    def job(self) -> Job:
        return jobs.start(self.endpoint, {}, by="test")

    def resume(self) -> str:
        execution = self.waiting(node_type="wait_for_webhook", wake_at=None)
        token = resume_token(execution.id, "ask")
        StepRun.objects.filter(execution=execution).update(wake_token=token_hash(token))
        return token


Change = tuple[Callable[[World], tuple[str, Any]], list[str]]
ENGINE, CANVAS = "/api/automate", "/api/workflow"
NEW = {"name": "Refunds", "graph": GRAPH}


def on(thing: Callable[[World], Any], url: str, body: Any = None) -> Callable[[World], tuple[str, Any]]:
    return lambda world: (url.format(pk=thing(world).pk), body)


def at(url: str, body: Any = None) -> Callable[[World], tuple[str, Any]]:
    return lambda world: (url, body)


def runs(base: str) -> dict[tuple[str, str], Change]:
    """Return the changes of executions, which are the same under each of their routes."""

    def url(verb: str) -> str:
        return f"{base}/executions/{{pk}}/{verb}/"

    def found(verb: str) -> tuple[str, str]:
        return ("post", f"{base}/executions/<pk>/{verb}/")

    return {
        found("cancel"): (
            on(World.execution, url("cancel"), {"reason": CANARY_REASON}),
            ["execution.cancel"],
        ),
        found("pause"): (on(World.execution, url("pause")), ["execution.pause"]),
        found("resume"): (
            on(lambda world: world.execution(paused_at=timezone.now()), url("resume")),
            ["execution.resume"],
        ),
        found("replay"): (on(lambda world: world.execution("SUCCESS"), url("replay")), ["execution.replay"]),
        found("steps/skip"): (on(World.waiting, url("steps/skip"), {"path": "ask"}), ["execution.skip"]),
        found("steps/retry"): (on(World.waiting, url("steps/retry"), {"path": "ask"}), ["execution.retry"]),
    }


CANARY_REASON = f"password={CANARY}"
EMIT = {"type": "order.paid", "payload": {"password": CANARY}, "dedupe_key": "1"}
CHANGES: dict[tuple[str, str], Change] = {
    ("post", f"{ENGINE}/workflows/"): (at(f"{ENGINE}/workflows/", NEW), ["workflow.create"]),
    ("put", f"{ENGINE}/workflows/<pk>/"): (
        on(lambda world: world.workflow, f"{ENGINE}/workflows/{{pk}}/", NEW),
        ["workflow.update"],
    ),
    ("patch", f"{ENGINE}/workflows/<pk>/"): (
        on(lambda world: world.workflow, f"{ENGINE}/workflows/{{pk}}/", {"description": "new"}),
        ["workflow.update"],
    ),
    ("delete", f"{ENGINE}/workflows/<pk>/"): (
        on(lambda world: world.workflow, f"{ENGINE}/workflows/{{pk}}/"),
        ["workflow.delete"],
    ),
    ("post", f"{ENGINE}/workflows/<pk>/versions/<number>/restore/"): (
        on(World.changed_workflow, f"{ENGINE}/workflows/{{pk}}/versions/1/restore/"),
        ["workflow.update"],
    ),
    ("post", f"{ENGINE}/workflows/<pk>/run/"): (
        on(lambda world: world.workflow, f"{ENGINE}/workflows/{{pk}}/run/", {"payload": {"token": CANARY}}),
        ["workflow.run"],
    ),
    **runs(ENGINE),
    **runs("/api/v1"),
    ("post", f"{ENGINE}/events/"): (at(f"{ENGINE}/events/", EMIT), ["event.emit"]),
    ("post", "/api/v1/events/"): (at("/api/v1/events/", EMIT), ["event.emit"]),
    ("post", f"{ENGINE}/approvals/<pk>/approve/"): (
        on(World.approval, f"{ENGINE}/approvals/{{pk}}/approve/", {}),
        ["approval.approve"],
    ),
    ("post", f"{ENGINE}/approvals/<pk>/reject/"): (
        on(World.approval, f"{ENGINE}/approvals/{{pk}}/reject/", {}),
        ["approval.reject"],
    ),
    ("post", f"{ENGINE}/approvals/links/<token>/"): (
        lambda world: (
            f"{ENGINE}/approvals/links/{link_token(world.approval(), world.user)}/",
            "decision=approve",
        ),
        ["approval.approve"],
    ),
    ("post", f"{ENGINE}/resume/<token>/"): (
        lambda world: (f"{ENGINE}/resume/{world.resume()}/", {"password": CANARY}),
        ["execution.resume_link"],
    ),
    ("post", f"{ENGINE}/zapier/subscribe/"): (
        at(f"{ENGINE}/zapier/subscribe/", {"event_type": "order.paid", "callback_url": CALLBACK}),
        ["secret.stored", "subscription.created"],
    ),
    ("post", f"{ENGINE}/zapier/unsubscribe/"): (
        lambda world: (f"{ENGINE}/zapier/unsubscribe/", {"id": str(world.subscription().pk)}),
        ["secret.deleted", "subscription.deleted"],
    ),
    ("delete", f"{ENGINE}/zapier/unsubscribe/"): (
        lambda world: (f"{ENGINE}/zapier/unsubscribe/", {"id": str(world.subscription().pk)}),
        ["secret.deleted", "subscription.deleted"],
    ),
    ("post", "/api/v1/endpoints/"): (
        lambda world: (
            "/api/v1/endpoints/",
            {"name": "Buy", "kind": "automation", "config": {"workflow": world.workflow.slug}},
        ),
        ["endpoint.create"],
    ),
    ("put", "/api/v1/endpoints/<pk>/"): (
        on(lambda world: world.endpoint, "/api/v1/endpoints/{pk}/", {"name": "Sell"}),
        ["endpoint.update"],
    ),
    ("patch", "/api/v1/endpoints/<pk>/"): (
        on(lambda world: world.endpoint, "/api/v1/endpoints/{pk}/", {"name": "Sell"}),
        ["endpoint.update"],
    ),
    ("delete", "/api/v1/endpoints/<pk>/"): (
        on(lambda world: world.endpoint, "/api/v1/endpoints/{pk}/"),
        ["endpoint.delete"],
    ),
    **{
        ("post", url.format(pk="<pk>")): (
            on(lambda world: world.endpoint, url, {"input": {"password": CANARY}}),
            ["job.start"],
        )
        for url in (
            "/api/v1/endpoints/{pk}/run/",
            "/api/modal/endpoints/{pk}/run/",
            "/api/modal/endpoints/{pk}/stream/",
            "/api/modal/endpoints/{pk}/job/",
        )
    },
    ("post", f"{CANVAS}/"): (at(f"{CANVAS}/", {"name": "Drawn"}), ["workflow.create"]),
    ("put", f"{CANVAS}/<pk>/"): (
        on(lambda world: world.workflow, f"{CANVAS}/{{pk}}/", {"name": "Drawn"}),
        ["workflow.update"],
    ),
    ("patch", f"{CANVAS}/<pk>/"): (
        on(lambda world: world.workflow, f"{CANVAS}/{{pk}}/", {"name": "Drawn"}),
        ["workflow.update"],
    ),
    ("delete", f"{CANVAS}/<pk>/"): (
        on(lambda world: world.workflow, f"{CANVAS}/{{pk}}/"),
        ["workflow.delete"],
    ),
    ("post", f"{CANVAS}/<pk>/nodes/add/"): (
        on(lambda world: world.workflow, f"{CANVAS}/{{pk}}/nodes/add/", {"nodeTemplate": "http.request"}),
        ["workflow.draw"],
    ),
    ("patch", f"{CANVAS}/<pk>/nodes/<node_id>/"): (
        on(lambda world: world.workflow, f"{CANVAS}/{{pk}}/nodes/log/", {"label": "Say hello"}),
        ["workflow.draw"],
    ),
    ("patch", f"{CANVAS}/<pk>/nodes/<node_id>/position/"): (
        on(
            lambda world: world.workflow,
            f"{CANVAS}/{{pk}}/nodes/log/position/",
            {"position": {"x": 10.0, "y": 20.0}},
        ),
        ["workflow.move"],
    ),
    ("delete", f"{CANVAS}/<pk>/nodes/<node_id>/remove/"): (
        on(lambda world: world.workflow, f"{CANVAS}/{{pk}}/nodes/log/remove/"),
        ["workflow.draw"],
    ),
    ("post", f"{CANVAS}/<pk>/connections/add/"): (
        on(World.two_nodes, f"{CANVAS}/{{pk}}/connections/add/", {"source": "log", "target": "two"}),
        ["workflow.draw"],
    ),
    ("delete", f"{CANVAS}/<pk>/connections/<connection_id>/remove/"): (
        World.connection,
        ["workflow.draw"],
    ),
    ("post", f"{CANVAS}/<pk>/execute_and_save_node/"): (
        on(lambda world: world.workflow, f"{CANVAS}/{{pk}}/execute_and_save_node/", {"node_id": "log"}),
        ["node.execute"],
    ),
    **{
        (method, f"{CANVAS}/<pk>/start_execution/"): (
            on(lambda world: world.workflow, f"{CANVAS}/{{pk}}/start_execution/"),
            ["workflow.run"],
        )
        for method in ("get", "post")
    },
    **{
        (method, f"{CANVAS}/<pk>/stop_execution/"): (
            on(World.running_workflow, f"{CANVAS}/{{pk}}/stop_execution/"),
            ["execution.cancel"],
        )
        for method in ("get", "post")
    },
    ("post", "/api/v1/jobs/<pk>/cancel/"): (
        on(World.job, "/api/v1/jobs/{pk}/cancel/"),
        ["execution.cancel", "job.cancel"],
    ),
}
"""Each method and route that changes something: a request that does, and the actions of the entries it leaves."""
UNCHANGING = {
    ("post", f"{ENGINE}/workflows/<pk>/validate/"): "saves nothing",
    (
        "post",
        f"{ENGINE}/webhooks/<source>/",
    ): "has no caller but its signature; the event itself is the record",
    ("post", "/api/auth/token/"): "hands out a token; changes nothing of a tenant",
    ("post", "/api/auth/token/refresh/"): "as above",
    ("post", "/api/auth/token/verify/"): "as above",
    ("post", "/api/auth/token/blacklist/"): "ends a token of the caller's own, in no tenant",
}
"""Methods and routes that change nothing there is an entry for, and why."""


def test_every_changing_route_is_here() -> None:
    """A new route belongs in CHANGES, with the entries it leaves, or in UNCHANGING with the reason it leaves none."""
    changing = {
        (method, route.url)
        for route in ROUTES
        for method in route.methods
        if method != "get" or "_execution/" in route.url
    }
    assert changing - set(CHANGES) - set(UNCHANGING) == set()
    assert (set(CHANGES) | set(UNCHANGING)) - changing == set()


@pytest.mark.parametrize(("method", "route"), CHANGES)
def test_change_by_route_is_audited(method: str, route: str) -> None:
    world, (prepare, expected) = World(), CHANGES[method, route]
    client = world.client
    path, body = prepare(world)
    last = AuditEntry.all_tenants.order_by("-id").values_list("id", flat=True).first() or 0
    given = None if body is None else body if isinstance(body, str) else json.dumps(body)
    kind = "application/x-www-form-urlencoded" if isinstance(body, str) else "application/json"
    answer = call(client, method, path, given, kind)
    assert (answer.status_code < 400, "X-Trace-ID" in answer) == (True, True), answer.content
    entries = list(AuditEntry.all_tenants.filter(id__gt=last).order_by("id"))
    assert [entry.action for entry in entries] == expected
    for entry in entries:
        assert (entry.trace_id, entry.tenant_id) == (TRACE, DEFAULT_TENANT_ID)
        assert entry.actor.split(":")[0] in ("apikey", "user", "link")
        assert entry.before is not None or entry.after is not None
        assert entry.before != entry.after
        assert CANARY not in str(AuditEntry.all_tenants.filter(pk=entry.pk).values())
