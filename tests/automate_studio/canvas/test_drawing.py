"""Nodes and connections: what drawing does to versions, drafts, positions and what runs meanwhile."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from automate.models import Automation, Execution, WorkflowVersion
from automate.workflows import draw, update_workflow
from automate_core.models import AuditEntry
from automate_studio.canvas import node_data
from automate_studio.models import NodeData

pytestmark = pytest.mark.django_db

OUTPUT = {"output": {"n": 1}}


def versions():
    return list(WorkflowVersion.objects.order_by("number").values_list("number", flat=True))


def rest(canvas, body=None):
    url = f"/api/automate/workflows/{canvas.workflow_id}/"
    if body is None:
        return canvas.client.get(url).json()
    return canvas.client.put(url, body, "application/json")


def canvas_node(canvas, node_id):
    return next(node for node in canvas.get("canvas_data/").json()["nodes"] if node["id"] == node_id)


def test_added_node_has_a_uuid_and_is_the_node_of_the_graph(canvas):
    node_id = canvas.add("transform", OUTPUT, position={"x": 100, "y": 200.5}, label="Shape")
    assert str(UUID(node_id)) == node_id
    assert rest(canvas)["graph"] == {
        "nodes": [
            {
                "id": node_id,
                "type": "transform",
                "config": OUTPUT,
                "label": "Shape",
                "position": {"x": 100, "y": 200.5},
            }
        ],
        "edges": [],
    }
    shown = canvas_node(canvas, node_id)
    assert shown == {
        "id": node_id,
        "node_type": "transform",
        "label": "Shape",
        "form_values": OUTPUT,
        "position": {"x": 100, "y": 200.5},
        "routes": [],
        "input_data": {},
        "output_data": {},
        "errors": {},
    }


def test_uuid_of_a_node_can_be_read_in_a_template(canvas):
    first = canvas.add("transform", OUTPUT)
    canvas.add("transform", {"output": "{{ steps." + first + ".output.n }}"})
    assert canvas.automation.draft is None


def test_id_may_be_chosen_but_not_twice(canvas):
    assert canvas.add("transform", OUTPUT, id="shape") == "shape"
    again = canvas.post("nodes/add/", {"nodeTemplate": "transform", "id": "shape"})
    assert (again.status_code, again.json()["details"]) == (422, {"id": ["'shape' is used by another node"]})


@pytest.mark.parametrize("kind", ["http_request", "http-request", "http.request", "if-condition", "for-each"])
def test_graph_keeps_the_spelling_of_a_type(canvas, kind):
    node_id = canvas.add(kind)
    assert canvas_node(canvas, node_id)["node_type"] == kind
    assert rest(canvas)["graph"]["nodes"][0]["type"] == kind


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["nodeTemplate"]),
        ({"nodeTemplate": 7}, ["nodeTemplate"]),
        ({"nodeTemplate": "transform", "position": {"x": "1", "y": 2}}, ["position.x"]),
        ({"nodeTemplate": "transform", "position": {"x": 1}}, ["position.y"]),
        ({"nodeTemplate": "transform", "position": True}, ["position"]),
        ({"nodeTemplate": "transform", "form_values": []}, ["form_values"]),
        ({"nodeTemplate": "transform", "id": ""}, ["id"]),
        ({"nodeTemplate": "transform", "id": "a/b"}, ["id"]),
        ({"nodeTemplate": "http-request", "id": "a[0]"}, ["id"]),
    ],
)
def test_node_that_makes_no_sense_is_422_and_draws_nothing(canvas, body, fields):
    refused = canvas.post("nodes/add/", body)
    assert (refused.status_code, sorted(refused.json()["details"])) == (422, fields)
    assert canvas.automation.live_version.graph["nodes"] == []


def test_unknown_type_is_422_and_named(canvas):
    refused = canvas.post("nodes/add/", {"nodeTemplate": "http-reqest"})
    assert refused.status_code == 422
    (message,) = refused.json()["details"]["nodeTemplate"]
    assert message.startswith("Unknown node type 'http-reqest'; did you mean 'http-request'")


def test_graph_that_compiles_is_the_next_version_and_one_that_does_not_is_kept(canvas):
    shape = canvas.add("transform", OUTPUT)
    assert versions() == [1, 2]
    call = canvas.add("http-request")
    assert (versions(), [node["id"] for node in canvas.automation.draft["nodes"]]) == ([1, 2], [shape, call])
    assert canvas_node(canvas, call)["errors"] == {"url": ["This field is required."]}
    assert canvas_node(canvas, shape)["errors"] == {}
    filled = canvas.patch(f"nodes/{call}/", {"form_values": {"url": "https://example.com"}})
    assert (filled.status_code, filled.json()["form_values"]) == (200, {"url": "https://example.com"})
    assert (versions(), canvas.automation.draft) == ([1, 2, 3], None)


def test_draft_is_shown_with_its_problems_on_the_other_surface_and_a_valid_graph_ends_it(canvas):
    call = canvas.add("http-request", position={"x": 1, "y": 2})
    shown = rest(canvas)
    assert [(node["id"], node["position"]) for node in shown["graph"]["nodes"]] == [(call, {"x": 1, "y": 2})]
    assert (shown["draft"], [problem["field"] for problem in shown["problems"]]) == (
        True,
        ["graph.nodes[0].config.url"],
    )
    saved = rest(
        canvas, {"graph": {"nodes": [{"id": "a", "type": "transform", "config": OUTPUT}], "edges": []}}
    )
    assert (saved.status_code, "draft" in saved.json(), "problems" in saved.json()) == (200, False, False)
    assert (canvas.automation.draft, canvas.automation.live_version.number) == (None, 2)


def test_rename_and_trigger_leave_the_draft_alone(canvas):
    canvas.add("http-request")
    assert rest(
        canvas, {"name": "Renamed", "trigger_type": "event", "trigger_config": {"event_type": "a"}}
    ).json()["draft"]
    automation = canvas.automation
    assert (automation.live_version.graph["nodes"], len(automation.draft["nodes"])) == ([], 1)


def test_start_of_a_draft_is_422_with_every_error_of_every_node(canvas):
    call = canvas.add("http-request", {"method": "FLY"})
    choose = canvas.add("if-condition")
    canvas.connect(call, choose)
    canvas.connect(choose, call, source_handle="maybe")
    for answer in (canvas.get("start_execution/"), canvas.post("start_execution/")):
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")
        assert answer.json()["error"] == "Workflow validation failed"
        assert answer.json()["details"] == {
            call: {
                "url": ["This field is required."],
                "method": ["Must be one of GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"],
            },
            choose: {"rule": ["This field is required."]},
        }
    assert Execution.objects.count() == 0


def test_run_of_a_draft_is_400_with_the_fields_of_its_graph(canvas):
    canvas.add("http-request")
    answer = canvas.client.post(f"/api/automate/workflows/{canvas.workflow_id}/run/", {}, "application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert [problem["field"] for problem in answer.json()["error"]["details"]] == [
        "graph.nodes[0].config.url"
    ]
    assert Execution.objects.count() == 0


def test_cycle_is_kept_as_a_draft_and_told_of_the_whole_workflow(canvas):
    first, second = canvas.add("transform", OUTPUT), canvas.add("transform", OUTPUT)
    assert [canvas.connect(*ends).status_code for ends in ((first, second), (second, first))] == [201, 201]
    answer = canvas.post("start_execution/")
    assert (answer.status_code, list(answer.json()["details"])) == (422, ["workflow"])


def test_position_is_no_version_and_comes_back_on_both_surfaces(canvas):
    node_id = canvas.add("transform", OUTPUT)
    before = versions()
    moved = canvas.patch(f"nodes/{node_id}/position/", {"position": {"x": -5, "y": 7}})
    assert (moved.status_code, moved.json()) == (200, {"id": node_id, "position": {"x": -5, "y": 7}})
    assert canvas_node(canvas, node_id)["position"] == {"x": -5, "y": 7}
    graph = rest(canvas)["graph"]
    assert graph["nodes"][0]["position"] == {"x": -5, "y": 7}
    graph["nodes"][0]["position"] = {"x": 0, "y": 0}
    assert rest(canvas, {"graph": graph}).json()["graph"] == graph
    assert versions() == before
    assert "position" not in canvas.automation.live_version.graph["nodes"][0]


def test_graph_without_positions_leaves_nodes_where_they_are(canvas):
    node_id = canvas.add("transform", OUTPUT, position={"x": 3, "y": 4})
    changed = {"nodes": [{"id": node_id, "type": "transform", "config": {"output": 2}}], "edges": []}
    assert rest(canvas, {"graph": changed}).json()["graph"]["nodes"][0]["position"] == {"x": 3, "y": 4}
    rest(canvas, {"graph": {"nodes": [], "edges": []}})
    assert canvas.automation.layout == {}


@pytest.mark.parametrize("number", [1e300, -1e300, 10**30])
def test_number_beyond_64_bits_leaves_the_workflow_as_it_was_to_edit(canvas, number):
    form = {"output": {"n": number}}
    node_id = canvas.add("transform", form, position={"x": number, "y": 0})
    before = versions()
    assert rest(canvas, {"description": "still here"}).status_code == 200
    assert canvas.patch(f"nodes/{node_id}/", {"form_values": form}).status_code == 200
    assert canvas.patch(f"nodes/{node_id}/position/", {"position": {"x": 1, "y": 2}}).status_code == 200
    assert versions() == before
    assert canvas.delete(f"nodes/{node_id}/remove/").status_code == 200


def test_restored_version_keeps_the_drawing(canvas):
    node_id = canvas.add("transform", OUTPUT, position={"x": 3, "y": 4})
    canvas.patch(f"nodes/{node_id}/", {"form_values": {"output": 2}})
    url = f"/api/automate/workflows/{canvas.workflow_id}/versions/2/restore/"
    restored = canvas.client.post(url, {}, "application/json").json()
    assert restored["graph"]["nodes"][0] == {
        "id": node_id,
        "type": "transform",
        "config": OUTPUT,
        "position": {"x": 3, "y": 4},
    }


@pytest.mark.parametrize("position", ["here", {"x": 1}, {"x": True, "y": 1}, [1, 2]])
def test_impossible_position_in_a_graph_is_400(canvas, position):
    graph = {"nodes": [{"id": "a", "type": "transform", "config": OUTPUT, "position": position}], "edges": []}
    refused = rest(canvas, {"graph": graph})
    assert (refused.status_code, [problem["field"] for problem in refused.json()["error"]["details"]]) == (
        400,
        ["graph.nodes[0].position"],
    )


def test_removed_node_takes_its_connections_position_and_data_along(canvas):
    first, second, third = (canvas.add("transform", OUTPUT) for _ in range(3))
    for ends in ((first, second), (second, third), (first, third)):
        canvas.connect(*ends)
    node_data.save(canvas.automation, second, form_values={}, input_data={}, output_data={"n": 1})
    removed = canvas.delete(f"nodes/{second}/remove/")
    assert (removed.status_code, removed.json()) == (200, {"message": "Node removed successfully"})
    graph = rest(canvas)["graph"]
    assert [node["id"] for node in graph["nodes"]] == [first, third]
    assert graph["edges"] == [{"source": first, "target": third}]
    assert (sorted(canvas.automation.layout), NodeData.objects.count()) == (sorted([first, third]), 0)
    assert canvas.delete(f"nodes/{second}/remove/").status_code == 404


def test_connections_are_listed_added_once_and_removed(canvas):
    choose = canvas.add("if-condition", {"rule": True})
    then, otherwise = canvas.add("transform", OUTPUT), canvas.add("transform", OUTPUT)
    made = canvas.connect(choose, then, source_handle="true")
    assert (made.status_code, {**made.json(), "id": ""}) == (
        201,
        {"id": "", "source": choose, "target": then, "source_handle": "true"},
    )
    again = canvas.connect(choose, then, source_handle="true")
    assert (again.status_code, again.json()) == (200, made.json())
    other = canvas.post("connections/add/", {"from": choose, "to": otherwise, "source_handle": "false"})
    assert canvas.get("connections/").json() == [made.json(), other.json()]
    assert canvas.get("canvas_data/").json()["edges"] == [made.json(), other.json()]
    gone = canvas.delete(f"connections/{made.json()['id']}/remove/")
    assert (gone.status_code, gone.json()) == (200, {"message": "Connection removed successfully"})
    assert canvas.get("connections/").json() == [other.json()]
    assert canvas.delete(f"connections/{made.json()['id']}/remove/").status_code == 404


def test_connections_of_a_graph_of_the_other_surface_can_be_removed(canvas):
    nodes = [{"id": key, "type": "transform", "config": OUTPUT} for key in "ab"]
    rest(canvas, {"graph": {"nodes": nodes, "edges": [{"from": "a", "to": "b"}]}})
    (edge,) = canvas.get("connections/").json()
    assert (edge["source"], edge["target"]) == ("a", "b")
    assert canvas.connect("a", "b").status_code == 200
    assert canvas.delete(f"connections/{edge['id']}/remove/").status_code == 200
    assert rest(canvas)["graph"]["edges"] == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["source", "target"]),
        ({"source": "a"}, ["target"]),
        ({"source": "a", "target": "b"}, ["source", "target"]),
        ({"source": 1, "target": {}}, ["source", "target"]),
    ],
)
def test_connection_of_nothing_is_422(canvas, body, fields):
    refused = canvas.post("connections/add/", body)
    assert (refused.status_code, sorted(refused.json()["details"])) == (422, fields)


def test_changes_are_audited_with_who_made_them(canvas):
    node_id = canvas.add("http-request")
    canvas.patch(f"nodes/{node_id}/position/", {"position": {"x": 1, "y": 1}})
    canvas.delete(f"nodes/{node_id}/remove/")
    entries = AuditEntry.objects.filter(target=f"workflow:{canvas.workflow_id}").order_by("id")
    assert [entry.action for entry in entries] == [
        "workflow.create",
        "workflow.draw",
        "workflow.move",
        "workflow.draw",
    ]
    assert {entry.actor.partition(":")[0] for entry in entries} == {"apikey"}
    assert [entry.after["draft"] for entry in entries] == [False, True, True, False]


def test_node_change_of_an_unknown_node_is_404(canvas):
    assert canvas.patch("nodes/none/", {"form_values": {}}).status_code == 404
    assert canvas.patch("nodes/none/position/", {"position": {"x": 1, "y": 1}}).status_code == 404
    assert canvas.get("nodes/none/output/").status_code == 404


def test_workflow_is_full_at_the_limit_of_its_graph(canvas):
    nodes = [{"id": f"n{number}", "type": "transform", "config": OUTPUT} for number in range(1_000)]
    update_workflow(canvas.automation, by="test", graph={"nodes": nodes, "edges": []})
    refused = canvas.post("nodes/add/", {"nodeTemplate": "transform"})
    assert (refused.status_code, list(refused.json()["details"])) == (422, ["nodeTemplate"])


@pytest.mark.django_db(transaction=True)
def test_changes_at_the_same_time_follow_each_other(canvas):
    automation = canvas.automation
    barrier = threading.Barrier(8)
    failures: list[BaseException] = []

    def add(number: int) -> None:
        def change(graph: dict[str, Any]) -> dict[str, Any]:
            node = {"id": f"n{number}", "type": "transform", "config": OUTPUT}
            return {**graph, "nodes": [*graph["nodes"], node]}

        try:
            barrier.wait(60)
            draw(automation, change, by="test")
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    drawn = Automation.objects.get(pk=automation.pk).live_version
    assert sorted(node["id"] for node in drawn.graph["nodes"]) == [f"n{number}" for number in range(8)]
    assert (drawn.number, versions()) == (9, list(range(1, 10)))
