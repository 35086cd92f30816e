"""Every documented type of node, in both spellings, drawn and run in production mode through the API alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.automate_core.http.conftest import LoopbackServer, answers, reply, server
from tests.automate_studio.canvas.conftest import Canvas
from tests.factories.engine import drain, wake

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["answers", "server"]

GIVEN = {"n": 5, "letters": ["a", "b"], "text": "a, b"}
IS_BIG = {">": [{"var": "input.n"}, 3]}
LOOPED = {"count": 2, "failed": 0, "errors": [], "results": ["a", "b"]}

KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "if-condition": ({"rule": IS_BIG}, {"result": True}),
    "switch": ({"cases": [{"route": "big", "rule": IS_BIG}]}, {"route": "big"}),
    "for-each": ({"items": "{{ input.letters }}", "result": "{{ item }}"}, LOOPED),
    "string-iterator": ({"text": "{{ input.text }}", "result": "{{ item }}"}, LOOPED),
    "data-transformer": ({"output": {"n": "{{ input.n }}"}}, {"n": 5}),
    "static-delay": ({"seconds": 1}, {}),
    "counter": ({"name": "seen", "start": 10}, {"name": "seen", "count": 11}),
    "webhook": ({}, GIVEN),
    "queue-writer": ({"queue": "jobs", "message": 1}, {"queue": "jobs", "written": 1}),
    "queue-reader": ({"queue": "jobs"}, {"queue": "jobs", "count": 0, "messages": []}),
    "http-response": (
        {"status": 201, "body": {"n": "{{ input.n }}"}},
        {"status": 201, "headers": {"content-type": "application/json"}, "body": {"n": 5}},
    ),
}


def run(canvas: Canvas) -> str:
    """Start what is drawn, let it run to its end, and return the status that is told."""
    answer = canvas.post("start_execution/", {"input": GIVEN})
    assert answer.status_code == 200, answer.content
    drain()
    wake()
    drain()
    return str(canvas.get("task_status/").json()["status"])


def output(canvas: Canvas, node_id: str) -> Any:
    return canvas.get(f"nodes/{node_id}/output/").json()["output_data"]


def underlined(kind: str) -> str:
    return kind.replace("-", "_")


@pytest.mark.parametrize("spelled", [str, underlined])
@pytest.mark.parametrize("kind", KINDS)
def test_type_is_drawn_and_run(canvas: Canvas, kind: str, spelled: Callable[[str], str]) -> None:
    form, expected = KINDS[kind]
    node_id = canvas.add(spelled(kind), form)
    if kind in ("for-each", "string-iterator"):
        canvas.connect(node_id, canvas.add("data-transformer", {"output": 0}), source_handle="item")
    assert (run(canvas), output(canvas, node_id)) == ("SUCCESS", expected)
    (shown, *_) = canvas.get("canvas_data/").json()["nodes"]
    assert shown["node_type"] == spelled(kind)


@pytest.mark.parametrize("spelled", [str, underlined])
def test_http_request_is_drawn_and_run(
    canvas: Canvas, server: LoopbackServer, spelled: Callable[[str], str]
) -> None:
    server.handle = lambda handler: reply(
        handler, body=b'{"id": 7}', headers={"Content-Type": "application/json"}
    )
    node_id = canvas.add(spelled("http-request"), {"url": server.url("/items/{{ input.n }}")})
    assert (run(canvas), output(canvas, node_id)["body"]) == ("SUCCESS", {"id": 7})
    assert server.received[0].path == "/items/5"


def test_subworkflow_is_run_by_the_id_this_api_tells(canvas: Canvas) -> None:
    made = canvas.client.post("/api/workflow/", {"name": "Child"}, "application/json").json()
    Canvas(canvas.client, made["id"]).add("data-transformer", {"output": {"twice": "{{ input.n }}"}})
    node_id = canvas.add("subworkflow", {"workflow": made["id"], "input": {"n": "{{ input.n }}"}})
    assert (run(canvas), output(canvas, node_id)["output"]) == ("SUCCESS", {"twice": 5})


def test_approval_waits_for_its_answer(canvas: Canvas, make_user: Callable[..., Any]) -> None:
    make_user("ada")
    ask = canvas.add("approval", {"title": "Go on?", "assignees": {"users": ["ada"]}})
    after = canvas.add("data-transformer", {"output": "went on"})
    canvas.connect(ask, after, source_handle="approved")
    canvas.post("start_execution/", {"input": GIVEN})
    drain()
    assert (canvas.get("task_status/").json()["status"], output(canvas, after)) == ("STARTED", {})
    assert canvas.get("stop_execution/").json()["status"] == "REVOKED"
