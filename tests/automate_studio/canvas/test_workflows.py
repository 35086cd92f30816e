"""Workflows over the orchestrator API: the same rows as everywhere, in its own shapes."""

from __future__ import annotations

import pytest

from automate.models import Automation, WorkflowVersion
from automate_core.models import Role

pytestmark = pytest.mark.django_db

JSON = "application/json"


def test_workflow_is_created_read_changed_and_deleted_in_the_documented_shapes(key_client):
    client = key_client()
    made = client.post("/api/workflow/", {"name": "Mine", "description": "What it does"}, JSON)
    assert (made.status_code, sorted(made.json())) == (201, ["created_at", "id", "name"])
    url = f"/api/workflow/{made.json()['id']}/"
    read = client.get(url)
    assert (read.status_code, sorted(read.json())) == (200, ["created_at", "id", "name", "updated_at"])
    for method, name in (("put", "Put"), ("patch", "Patched")):
        changed = getattr(client, method)(url, {"name": name}, JSON)
        assert (changed.status_code, sorted(changed.json())) == (200, ["id", "name", "updated_at"])
        assert changed.json()["name"] == name
    stored = Automation.objects.get()
    assert (stored.name, stored.description) == ("Patched", "What it does")
    gone = client.delete(url)
    assert (gone.status_code, gone.content, client.get(url).status_code) == (204, b"", 404)


def test_list_is_a_bare_array_newest_first(
    key_client, make_workflow, other_tenant, django_assert_num_queries
):
    first, second = make_workflow("First"), make_workflow("Second")
    make_workflow("Foreign", of=other_tenant)
    client = key_client()
    rows = client.get("/api/workflow/").json()
    assert [(row["id"], row["name"]) for row in rows] == [
        (str(second.pk), "Second"),
        (str(first.pk), "First"),
    ]
    assert [sorted(row) for row in rows] == [["created_at", "id", "name"]] * 2


def test_list_shows_a_workflow_as_its_creation_did(key_client, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    client = key_client()
    made = client.post("/api/workflow/", {"name": "Here"}, JSON).json()
    assert client.get("/api/workflow/").json() == [made]


@pytest.mark.parametrize("count", [1, 3])
def test_list_takes_the_same_queries_however_long(
    key_client, make_workflow, django_assert_num_queries, count
):
    for number in range(count):
        make_workflow(f"Workflow {number}")
    client = key_client()
    client.get("/api/workflow/")
    with django_assert_num_queries(2):
        assert len(client.get("/api/workflow/").json()) == count


def test_both_surfaces_show_the_same_workflows(key_client):
    client = key_client()
    here = client.post("/api/workflow/", {"name": "Here"}, JSON).json()["id"]
    there = client.post("/api/automate/workflows/", {"name": "There"}, JSON).json()["id"]
    assert {row["id"] for row in client.get("/api/workflow/").json()} == {here, there}
    assert {row["id"] for row in client.get("/api/automate/workflows/").json()["results"]} == {here, there}
    assert client.get(f"/api/workflow/{there}/").json()["name"] == "There"
    assert client.get(f"/api/automate/workflows/{here}/").json()["graph"] == {"nodes": [], "edges": []}


def test_rename_makes_no_version(canvas):
    canvas.client.put(canvas.url(), {"name": "Renamed"}, JSON)
    assert WorkflowVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("get", "", Role.VIEWER),
        ("get", "canvas_data/", Role.VIEWER),
        ("get", "connections/", Role.VIEWER),
        ("get", "start_execution/", Role.RUNNER),
        ("post", "start_execution/", Role.RUNNER),
        ("get", "stop_execution/", Role.RUNNER),
        ("post", "stop_execution/", Role.RUNNER),
        ("get", "task_status/", Role.VIEWER),
        ("put", "", Role.EDITOR),
        ("patch", "", Role.EDITOR),
        ("post", "nodes/add/", Role.EDITOR),
        ("patch", "nodes/a/", Role.EDITOR),
        ("get", "nodes/a/input/", Role.VIEWER),
        ("get", "nodes/a/output/", Role.VIEWER),
        ("patch", "nodes/a/position/", Role.EDITOR),
        ("delete", "nodes/a/remove/", Role.EDITOR),
        ("post", "connections/add/", Role.EDITOR),
        ("delete", "connections/a/remove/", Role.EDITOR),
        ("delete", "", Role.EDITOR),
    ],
)
def test_each_route_takes_the_documented_role(canvas, as_role, method, path, least):
    roles = list(Role)
    too_low = as_role(canvas, roles[roles.index(least) - 1]) if least != Role.VIEWER else None
    if too_low is not None:
        refused = too_low.client.generic(method.upper(), canvas.url(path), b"{}", content_type=JSON)
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    enough = as_role(canvas, least)
    assert (
        enough.client.generic(method.upper(), canvas.url(path), b"{}", content_type=JSON).status_code != 403
    )


def test_request_id_repeats_the_first_answer(key_client):
    client = key_client()
    answers = [
        client.post("/api/workflow/", {"name": "Once"}, JSON, headers={"X-Request-ID": "once"})
        for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert (answers[1]["Idempotent-Replayed"], Automation.objects.count()) == ("true", 1)
