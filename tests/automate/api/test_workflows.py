from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils.dateparse import parse_datetime

from automate.api.services import WorkflowService
from automate.api.viewsets import WorkflowViewSet
from automate.models import Automation, Event, Execution, Trigger
from automate_core.models import AuditEntry, Role, Tenant
from tests.automate.api.conftest import GRAPH

pytestmark = pytest.mark.django_db

URL = "/api/automate/workflows/"
MakeClient = Callable[..., Client]
MakeWorkflow = Callable[..., Automation]

DOCUMENTED = {
    "name": "Order Processor",
    "slug": "order-processor",
    "description": "Process incoming orders",
    "enabled": True,
    "trigger_type": "webhook",
    "trigger_config": {"event_type": "order.created"},
    "graph": {
        "nodes": [
            {
                "id": "step_1",
                "type": "logging",
                "config": {"message": "Order received: {{ event.payload.order_id }}"},
            }
        ]
    },
}


class LoudService(WorkflowService):
    """Upper-cases names."""

    def create(self, **fields: Any) -> Automation:
        return super().create(**{**fields, "name": fields["name"].upper()})


class LoudViewSet(WorkflowViewSet):
    service_class = LoudService


urlpatterns = [path("api/loud/", LoudViewSet.as_view({"post": "create"}))]


def send(client: Client, method: str, url: str, body: Any) -> Any:
    return getattr(client, method)(url, body, content_type="application/json")


def test_documented_example_is_created_and_read(key_client: MakeClient, tenant: Tenant) -> None:
    client = key_client()
    created = send(client, "post", URL, DOCUMENTED)
    assert created.status_code == 201
    body = created.json()
    assert sorted(body) == sorted([*DOCUMENTED, "id", "workflow_version", "created_at", "updated_at"])
    written = {**DOCUMENTED, "graph": {**DOCUMENTED["graph"], "edges": []}}
    assert {name: body[name] for name in DOCUMENTED} == written
    assert body["workflow_version"] == 1
    assert body["created_at"].endswith("Z")
    assert parse_datetime(body["created_at"]) is not None
    assert client.get(f"{URL}{body['id']}/").json() == body
    row = client.get(URL).json()["results"][0]
    assert row == {name: body[name] for name in row}
    assert sorted(row) == [
        "created_at", "enabled", "id", "name", "slug", "trigger_type", "updated_at", "workflow_version",
    ]  # fmt: skip


def test_name_alone_makes_a_manual_enabled_workflow_with_a_slug(key_client: MakeClient) -> None:
    body = send(key_client(), "post", URL, {"name": "Order Processor"}).json()
    assert (body["slug"], body["trigger_type"], body["enabled"], body["trigger_config"]) == (
        "order-processor",
        "manual",
        True,
        {},
    )
    assert body["graph"] == {"nodes": [], "edges": []}


@pytest.mark.parametrize("method", ["put", "patch"])
def test_update_takes_a_subset_and_a_rename_is_no_version(
    key_client: MakeClient, make_workflow: MakeWorkflow, method: str
) -> None:
    client, made = key_client(), make_workflow()
    url = f"{URL}{made.pk}/"
    renamed = send(client, method, url, {"name": "Updated Name", "enabled": False})
    assert renamed.status_code == 200
    body = renamed.json()
    assert (body["name"], body["enabled"], body["slug"], body["workflow_version"]) == (
        "Updated Name",
        False,
        "orders",
        1,
    )
    assert body["graph"] == GRAPH
    edited = send(client, method, url, {"trigger_type": "event", "trigger_config": {"event_type": "order.*"}})
    assert edited.json()["workflow_version"] == 2
    assert client.get(url).json() == edited.json()


def test_whole_answer_can_be_put_back(key_client: MakeClient, make_workflow: MakeWorkflow) -> None:
    client, made = key_client(), make_workflow()
    url = f"{URL}{made.pk}/"
    before = client.get(url).json()
    after = send(client, "put", url, before).json()
    assert {**after, "updated_at": None} == {**before, "updated_at": None}


def test_workflow_is_deleted_with_runs_and_their_replays(
    key_client: MakeClient,
    make_workflow: MakeWorkflow,
    make_execution: Callable[..., Execution],
    make_event: Callable[..., Event],
) -> None:
    made, event = make_workflow(trigger_type="event", trigger_config={"event_type": "a"}), make_event("a")
    started = {"event": event, "trigger": Trigger.all_tenants.get(automation=made)}
    first = make_execution(made, **started)
    make_execution(made, **started, replay_of=make_execution(made, **started, replay_of=first))
    assert key_client().delete(f"{URL}{made.pk}/").status_code == 204
    assert (Automation.all_tenants.count(), Execution.all_tenants.count()) == (0, 0)


def test_deleted_workflow_is_gone(key_client: MakeClient, make_workflow: MakeWorkflow) -> None:
    client, made = key_client(), make_workflow()
    answer = client.delete(f"{URL}{made.pk}/")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"{URL}{made.pk}/").status_code == 404
    assert client.delete(f"{URL}{made.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": {"a": 1}}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a", "slug": "Not a slug"}, "slug"),
        ({"name": "a", "slug": "x" * 101}, "slug"),
        ({"name": "a", "slug": "taken"}, "slug"),
        ({"name": "a", "enabled": "perhaps"}, "enabled"),
        ({"name": "a", "enabled": None}, "enabled"),
        ({"name": "a", "description": []}, "description"),
        ({"name": "a", "trigger_type": "psychic"}, "trigger_type"),
        ({"name": "a", "trigger_type": 5}, "trigger_type"),
        ({"name": "a", "trigger_config": []}, "trigger_config"),
        (
            {"name": "a", "trigger_type": "schedule", "trigger_config": {"cron": "nonsense"}},
            "trigger_config.cron",
        ),
        ({"name": "a", "trigger_type": "webhook"}, "trigger_config.event_type"),
        ({"name": "a", "graph": []}, "graph"),
        ({"name": "a", "graph": {"nodes": 5}}, "graph.nodes"),
        ({"name": "a", "graph": {"nodes": [5]}}, "graph.nodes[0]"),
        ({"name": "a", "graph": {"nodes": [{"id": "n", "type": "absent"}]}}, "graph.nodes[0].type"),
        (
            {"name": "a", "graph": {"nodes": GRAPH["nodes"], "edges": [{"source": "step_1", "target": "x"}]}},
            "graph.edges[0].target",
        ),
    ],
)
def test_invalid_workflow_is_400_naming_the_field(
    key_client: MakeClient, make_workflow: MakeWorkflow, body: dict[str, Any], field: str
) -> None:
    make_workflow(slug="taken")
    answer = send(key_client(), "post", URL, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert [problem["field"] for problem in answer.json()["error"]["details"]] == [field]
    assert Automation.objects.count() == 1


@pytest.mark.parametrize("text", [b'{"name": "a", "name": "b"}', b'{"name": "a\\u0000"}', b'{"name": NaN}'])
def test_body_programs_read_differently_is_400(key_client: MakeClient, tenant: Tenant, text: bytes) -> None:
    assert send(key_client(), "post", URL, text).status_code == 400


def test_list_is_filtered_searched_and_ordered(key_client: MakeClient, make_workflow: MakeWorkflow) -> None:
    client = key_client()
    make_workflow("Beta", slug="b", enabled=False)
    make_workflow("Alpha", slug="a")
    make_workflow("Gamma", slug="alphabet")

    def names(query: str) -> list[str]:
        return [row["name"] for row in client.get(f"{URL}{query}").json()["results"]]

    assert names("") == ["Gamma", "Alpha", "Beta"]
    assert names("?ordering=name") == ["Alpha", "Beta", "Gamma"]
    assert names("?ordering=-slug") == ["Beta", "Gamma", "Alpha"]
    assert names("?enabled=false") == ["Beta"]
    assert names("?enabled=True&ordering=name") == ["Alpha", "Gamma"]
    assert names("?search=ALPHA") == ["Gamma", "Alpha"]
    assert names("?search=%25") == []
    assert names("?page_size=1&page=2") == ["Alpha"]
    assert client.get(f"{URL}?page_size=1&page=2").json()["next"] == f"{URL}?page=3&page_size=1"


@pytest.mark.parametrize(
    "query",
    [
        "?enabled=perhaps",
        "?ordering=password",
        "?ordering=live_version__graph",
        "?ordering=--name",
        "?ordering=name,slug",
        "?search=" + "x" * 300,
        "?search=%00",
        "?page=-1",
    ],
)
def test_bad_query_is_400(key_client: MakeClient, tenant: Tenant, query: str) -> None:
    assert key_client().get(f"{URL}{query}").status_code == 400


@pytest.mark.parametrize("rows", [1, 3])
def test_list_takes_two_queries(key_client: MakeClient, make_workflow: MakeWorkflow, rows: int) -> None:
    client = key_client()
    client.get(URL)
    for _ in range(rows):
        make_workflow()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert len(client.get(URL).json()["results"]) == rows
    assert len(queries) == 2  # the key, the rows


def test_workflows_of_other_tenants_are_404(
    key_client: MakeClient, make_workflow: MakeWorkflow, other_tenant: Tenant
) -> None:
    client, theirs = key_client(), make_workflow(of=other_tenant)
    url = f"{URL}{theirs.pk}/"
    statuses = [
        client.get(url).status_code,
        send(client, "put", url, {"name": "x"}).status_code,
        send(client, "patch", url, {"name": "x"}).status_code,
        client.delete(url).status_code,
        client.get(f"{url}versions/").status_code,
        client.post(f"{url}versions/1/restore/").status_code,
        send(client, "post", f"{url}run/", {}).status_code,
        send(client, "post", f"{url}validate/", {}).status_code,
    ]
    assert statuses == [404] * 8
    assert client.get(URL).json()["count"] == 0


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        (Role.VIEWER, [200, 403, 403, 403, 403, 200]),
        (Role.RUNNER, [200, 403, 403, 202, 403, 200]),
        (Role.EDITOR, [200, 201, 200, 202, 204, 200]),
        (Role.ADMIN, [200, 201, 200, 202, 204, 200]),
    ],
)
def test_roles_decide(
    key_client: MakeClient, make_workflow: MakeWorkflow, role: Role, statuses: list[int]
) -> None:
    client, made, kept = key_client(role), make_workflow(), make_workflow()
    url = f"{URL}{made.pk}/"
    answers = [
        client.get(url),
        send(client, "post", URL, {"name": "New"}),
        send(client, "patch", url, {"description": "new"}),
        send(client, "post", f"{url}run/", {}),
        client.delete(url),
        send(client, "post", f"{URL}{kept.pk}/validate/", {}),
    ]
    assert [answer.status_code for answer in answers] == statuses


def test_only_publishers_switch_on(key_client: MakeClient, make_workflow: MakeWorkflow) -> None:
    editor, publisher = key_client(Role.EDITOR), key_client(Role.PUBLISHER)
    assert send(editor, "post", URL, {"name": "New"}).json()["enabled"] is False
    assert send(editor, "post", URL, {"name": "New", "enabled": True}).status_code == 403
    url = f"{URL}{make_workflow().pk}/"
    assert send(editor, "patch", url, {"enabled": True}).status_code == 200
    assert send(editor, "patch", url, {"enabled": False}).status_code == 200
    assert send(editor, "patch", url, {"enabled": True}).status_code == 403
    assert send(publisher, "patch", url, {"enabled": True}).json()["enabled"] is True
    assert send(publisher, "post", URL, {"name": "New"}).json()["enabled"] is True


def test_change_is_audited_with_the_caller(
    make_key: Callable[..., Any], make_workflow: MakeWorkflow, tenant: Tenant
) -> None:
    key, plain = make_key()
    send(Client(headers={"X-API-Key": plain}), "post", URL, {"name": "New"})
    entry = AuditEntry.objects.order_by("-id").first()
    assert entry is not None
    assert (entry.actor, entry.action) == (f"apikey:{key.pk}", "workflow.create")


def test_versions_are_listed_and_restored(key_client: MakeClient, make_workflow: MakeWorkflow) -> None:
    client, made = key_client(), make_workflow()
    url = f"{URL}{made.pk}/"
    send(client, "patch", url, {"graph": {"nodes": []}})
    listed = client.get(f"{url}versions/").json()
    assert [row["workflow_version"] for row in listed["results"]] == [2, 1]
    assert [row["graph"] for row in listed["results"]] == [{"nodes": [], "edges": []}, GRAPH]
    restored = client.post(f"{url}versions/1/restore/").json()
    assert (restored["workflow_version"], restored["graph"]) == (3, GRAPH)
    assert client.post(f"{url}versions/9/restore/").status_code == 404
    assert client.post(f"{url}versions/999999999/restore/").status_code == 404


def test_run_queues_an_execution(key_client: MakeClient, make_workflow: MakeWorkflow) -> None:
    client, made = key_client(), make_workflow()
    answer = client.post(
        f"{URL}{made.pk}/run/",
        {"payload": {"n": 1}},
        content_type="application/json",
        headers={"X-Trace-ID": "t-1"},
    )
    execution = Execution.objects.get()
    assert (answer.status_code, answer.json()) == (
        202,
        {"execution_id": str(execution.pk), "message": "Execution queued", "trace_id": "t-1"},
    )
    assert (execution.context, execution.status) == ({"n": 1}, "QUEUED")
    assert send(client, "post", f"{URL}{made.pk}/run/", {"payload": 5}).status_code == 400
    Automation.objects.update(enabled=False)
    assert send(client, "post", f"{URL}{made.pk}/run/", {}).status_code == 409


def test_validate_says_what_is_wrong_and_saves_nothing(
    key_client: MakeClient, make_workflow: MakeWorkflow
) -> None:
    client, made = key_client(), make_workflow()
    url = f"{URL}{made.pk}/validate/"
    assert send(client, "post", url, {}).json() == {"valid": True, "errors": [], "warnings": []}
    wrong = send(client, "post", url, {"graph": {"nodes": [{"id": "n", "type": "absent"}]}}).json()
    assert (wrong["valid"], [error["field"] for error in wrong["errors"]]) == (False, ["graph.nodes[0].type"])
    assert client.get(f"{URL}{made.pk}/").json()["graph"] == GRAPH


def test_validate_warns_of_what_is_doubtful_and_stays_valid(
    key_client: MakeClient, make_workflow: MakeWorkflow
) -> None:
    url = f"{URL}{make_workflow().pk}/validate/"
    node = {"id": "say", "type": "logging", "config": {"message": "{{ evnt.id }}"}}
    assert send(key_client(), "post", url, {"graph": {"nodes": [node]}}).json() == {
        "valid": True,
        "errors": [],
        "warnings": [
            {
                "code": "unknown_path",
                "node": "say",
                "field": "graph.nodes[0].config.message",
                "message": "'evnt.id' begins with 'evnt', which is nothing; did you mean 'event'?",
                "severity": "warning",
            }
        ],
    }


def test_validate_of_a_broken_trigger_still_warns_of_the_graph(
    key_client: MakeClient, make_workflow: MakeWorkflow
) -> None:
    url = f"{URL}{make_workflow().pk}/validate/"
    node = {"id": "say", "type": "logging", "config": {"message": "{{ evnt.id }}"}}
    body = {"graph": {"nodes": [node]}, "trigger_type": "psychic"}
    answer = send(key_client(), "post", url, body).json()
    assert [error["field"] for error in answer["errors"]] == ["trigger_type"]
    assert [warning["code"] for warning in answer["warnings"]] == ["unknown_path"]


def test_create_with_an_idempotency_key_makes_one(key_client: MakeClient, tenant: Tenant) -> None:
    client = key_client()
    answers = [
        client.post(URL, {"name": "New"}, content_type="application/json", headers={"X-Request-ID": "k"})
        for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert Automation.objects.count() == 1


@pytest.mark.urls("tests.automate.api.test_workflows")
def test_service_class_is_an_override_point(key_client: MakeClient, tenant: Tenant) -> None:
    assert send(key_client(), "post", "/api/loud/", {"name": "quiet"}).json()["name"] == "QUIET"


@pytest.mark.parametrize("id", ["absent", "1", "01890a5d-ac96-774b-bcce-b302099a8057", "%20", "0" * 300])
def test_unknown_id_is_404(key_client: MakeClient, tenant: Tenant, id: str) -> None:
    answer = key_client().get(f"{URL}{id}/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


FORM = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": {"type": "number"}, "currency": {"type": "string", "default": "EUR"}},
}


def test_run_is_checked_and_completed_by_the_form(key_client: MakeClient, tenant: Tenant) -> None:
    client = key_client()
    body = {**DOCUMENTED, "trigger_type": "manual", "trigger_config": {"form": FORM}}
    made = send(client, "post", URL, body).json()
    assert made["trigger_config"] == {"form": FORM}
    run = f"{URL}{made['id']}/run/"
    refused = send(client, "post", run, {"payload": {"amount": "5"}})
    assert refused.status_code == 400
    assert refused.json()["error"]["details"] == [{"field": "payload.amount", "message": "Must be number"}]
    started = send(client, "post", run, {"payload": {"amount": 5}})
    assert started.status_code == 202
    execution = Execution.all_tenants.get(pk=started.json()["execution_id"])
    assert execution.context == {"amount": 5, "currency": "EUR"}


def test_unknown_key_of_a_trigger_is_refused_by_name(key_client: MakeClient, tenant: Tenant) -> None:
    body = {**DOCUMENTED, "trigger_config": {"event_type": "a", "evnt": 1}}
    answer = send(key_client(), "post", URL, body)
    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["error"]["details"]] == ["trigger_config.evnt"]


def test_every_wrong_field_is_named_whatever_is_wrong_with_it(key_client: MakeClient) -> None:
    nodes = [{"id": "a", "type": "nope"}, {"id": "b", "type": "http.request", "config": {}}]
    body = {
        "slug": "No slug!",
        "enabled": "true",
        "trigger_type": "schedule",
        "trigger_config": {"cron": "x"},
        "graph": {"nodes": nodes, "edges": [{"source": "a", "target": "c"}]},
    }
    answer = send(key_client(), "post", URL, body)
    assert {problem["field"] for problem in answer.json()["error"]["details"]} == {
        "name", "slug", "enabled", "trigger_config.cron", "graph.nodes[0].type", "graph.nodes[1].config.url",
        "graph.edges[0].target",
    }  # fmt: skip


def test_graph_is_shown_with_its_edges_in_the_documented_spelling(key_client: MakeClient) -> None:
    client = key_client()
    nodes = [{"id": name, "type": "logging", "config": {"message": "x"}} for name in ("a", "b")]
    sent = {"name": "Spelled", "graph": {"nodes": nodes, "edges": [{"from": "a", "to": "b"}]}}
    made = send(client, "post", URL, sent).json()
    assert made["graph"] == {"nodes": nodes, "edges": [{"source": "a", "target": "b"}]}
    again = send(client, "put", f"{URL}{made['id']}/", {"graph": made["graph"]}).json()
    assert (again["graph"], again["workflow_version"]) == (made["graph"], 1)


def test_graph_sent_back_as_it_was_shown_is_no_new_version(key_client: MakeClient) -> None:
    client = key_client()
    made = send(client, "post", URL, DOCUMENTED).json()
    again = send(client, "put", f"{URL}{made['id']}/", {"graph": made["graph"]}).json()
    assert (again["graph"], again["workflow_version"]) == (made["graph"], 1)
