"""The orchestrator reference, replayed: each request it shows is sent to a server with a worker behind it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from drf_spectacular.generators import SchemaGenerator

from automate.models import Execution, StepRun
from automate.realtime.statuses import TASK_WORDS
from automate_api import keys
from automate_core.models import DEFAULT_TENANT_ID, Membership, Role, Tenant
from automate_core.outbox.drain import Drain
from automate_core.steps import Effect
from tests.automate.runtime.conftest import register_step
from tests.contract import orchestrator_document as document
from tests.factories.engine import drain, lose_workers

__all__ = ["register_step"]

EXAMPLES = document.examples()
PATIENCE_SECONDS = 60.0
CALL_SECONDS = 0.02
RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


class World:
    """A caller with a Bearer token, over HTTP."""

    def __init__(self, url: str) -> None:
        Tenant.objects.get_or_create(id=DEFAULT_TENANT_ID, defaults={"slug": "default", "name": "Default"})
        self.user = get_user_model().objects.create_user("ada", password="correct horse")
        Membership.objects.create(tenant_id=DEFAULT_TENANT_ID, user=self.user, role=Role.ADMIN)
        self.anonymous = httpx.Client(base_url=url, trust_env=False, timeout=60)
        login = {"username": "ada", "password": "correct horse"}
        token = self.anonymous.post("/api/auth/token/", json=login).json()["access"]
        self.client = httpx.Client(
            base_url=url, trust_env=False, timeout=60, headers={"Authorization": f"Bearer {token}"}
        )
        self.workflow_id = ""
        self.node_id = ""

    def send(self, method: str, path: str, sent: Any = None, **more: Any) -> httpx.Response:
        path = path.replace("{workflow_id}", self.workflow_id).replace("{node_id}", self.node_id)
        content = {} if sent is None else {"json": sent}
        return self.client.request(method, path, **content, **more)

    def replay(self, name: str) -> httpx.Response:
        """Send a documented request about this workflow and this node."""
        example = EXAMPLES[name]
        sent = example.sent
        if isinstance(sent, dict) and "node_id" in sent:
            sent = {**sent, "node_id": self.node_id}
        return self.send(example.method, example.path, sent)

    def make_workflow(self, *nodes: dict[str, Any], edges: Any = ()) -> str:
        """Make a workflow that runs, and speak of it and its first node from now on."""
        graph = {"nodes": list(nodes), "edges": list(edges)}
        made = self.client.post("/api/automate/workflows/", json={"name": "Runs", "graph": graph})
        assert made.status_code == 201, made.text
        self.workflow_id, self.node_id = made.json()["id"], nodes[0]["id"]
        return self.workflow_id

    def status(self) -> str:
        return str(self.send("GET", "/api/workflow/{workflow_id}/task_status/").json()["status"])

    def until(self, *statuses: str) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (status := self.status()) not in statuses:
            assert time.monotonic() < deadline, f"still {status}"
            time.sleep(0.02)
        return status


@pytest.fixture
def world(server_url: str) -> Iterator[World]:
    made = World(server_url)
    yield made
    made.client.close()
    made.anonymous.close()


@pytest.fixture
def worker() -> Iterator[Callable[[], Callable[[], None]]]:
    """Return a function that starts a worker in a thread and returns how to stop it; it stops with the test."""
    stops: list[Callable[[], None]] = []

    def start() -> Callable[[], None]:
        stop = threading.Event()

        def work() -> None:
            try:
                Drain().run(stop)
            finally:
                connection.close()

        thread = threading.Thread(target=work)
        thread.start()

        def end() -> None:
            stop.set()
            thread.join(PATIENCE_SECONDS)

        stops.append(end)
        return end

    yield start
    for stop in stops:
        stop()


HELLO = {"id": "hello", "type": "transform", "config": {"output": {"data": {"hello": "world"}}}}


def test_the_reference_is_read_whole() -> None:
    endpoints = re.findall(r"`(?:GET|POST|PUT|PATCH|DELETE) /api/[^`]*`", document.REFERENCE)
    assert len(EXAMPLES) == len(endpoints) == 16
    assert len(document.commands()) == 4


def test_every_documented_request_is_answered_as_shown(
    world: World,
    worker: Callable[[], Any],
    register_step: Callable[..., Any],
    subtests: pytest.Subtests,
) -> None:
    worker()
    replayed = []

    def replay(name: str) -> Any:
        answer = world.replay(name)
        example = EXAMPLES[name]
        replayed.append(name)
        with subtests.test(name):
            assert answer.status_code == example.status, answer.text
            if example.body is not None:
                assert document.differences(example.body, answer.json()) == []
                assert answer.headers["Content-Type"] == "application/json"
            assert [name for name in RATE_HEADERS if name not in answer.headers] == []
        return answer.json() if answer.content else None

    world.workflow_id = replay("POST /api/workflow/")["id"]
    for name in ("GET /api/workflow/{workflow_id}/", "GET /api/workflow/"):
        replay(name)
    for method in ("PUT", "PATCH"):
        assert replay(f"{method} /api/workflow/{{workflow_id}}/")["name"] == "Updated Workflow"
    added = replay("POST /api/workflow/{workflow_id}/nodes/add/")
    sent = EXAMPLES["POST /api/workflow/{workflow_id}/nodes/add/"].sent
    assert (added["node_type"], added["position"]) == (sent["nodeTemplate"], sent["position"])
    world.node_id = added["id"]
    moved = replay("PATCH /api/workflow/{workflow_id}/nodes/{node_id}/position/")
    assert moved == {"id": world.node_id, "position": {"x": 150, "y": 250}}
    for name in ("input", "output"):
        replay(f"GET /api/workflow/{{workflow_id}}/nodes/{{node_id}}/{name}/")
    drawn = replay("GET /api/workflow/{workflow_id}/canvas_data/")
    assert [(node["id"], node["node_type"]) for node in drawn["nodes"]] == [(world.node_id, "http-request")]
    assert replay("DELETE /api/workflow/{workflow_id}/nodes/{node_id}/remove/") == {
        "message": "Node removed successfully"
    }
    replay("DELETE /api/workflow/{workflow_id}/")

    world.make_workflow(HELLO)
    started = replay("GET /api/workflow/{workflow_id}/start_execution/")
    assert started["status"] == "PENDING"
    assert world.until("SUCCESS") == "SUCCESS"
    assert replay("GET /api/workflow/{workflow_id}/task_status/") == {**started, "status": "SUCCESS"}
    ran = world.send("GET", "/api/workflow/{workflow_id}/nodes/{node_id}/output/").json()
    assert ran == {"output_data": {"data": {"hello": "world"}}}

    world.make_workflow({"id": "wait", "type": "static-delay", "config": {"seconds": 600}}, HELLO)
    world.replay("GET /api/workflow/{workflow_id}/start_execution/")
    world.until("STARTED")
    stopped = replay("GET /api/workflow/{workflow_id}/stop_execution/")
    assert (stopped["status"], world.status()) == ("REVOKED", "REVOKED")

    register_step("t.any", Effect.IDEMPOTENT, lambda config, context: {"key": "value"})
    world.make_workflow({"id": "any", "type": "t.any", "config": {}})
    name = "POST /api/workflow/{workflow_id}/execute_and_save_node/"
    executed = world.replay(name)
    replayed.append(name)
    body = executed.json()
    # Beside the data, the route the node left by.
    assert body["output"].pop("route") == "default"
    assert (executed.status_code, document.differences(EXAMPLES[name].body, body)) == (200, [])
    assert (body["success"], body["output"]) == (True, {"data": {"key": "value"}})
    saved = world.send("GET", "/api/workflow/{workflow_id}/nodes/{node_id}/output/").json()
    assert saved == {"output_data": {"key": "value"}}
    assert sorted(replayed) == sorted(EXAMPLES)


def test_status_words_are_the_documented_ones() -> None:
    words = re.search(r"Status values: (.+)", document.REFERENCE)
    assert words is not None
    assert set(TASK_WORDS.values()) == set(words[1].split(", "))


def test_complete_example_is_answered(world: World, worker: Callable[[], Any]) -> None:
    worker()
    create, add, start, _ = document.commands()
    made = world.send(*create)
    assert made.status_code == 201
    world.workflow_id = made.json()["id"]
    world.node_id = world.send(*add).json()["id"]
    refused = world.send(*start)
    assert (refused.status_code, refused.json()["details"]) == (
        422,
        {world.node_id: {"url": ["This field is required."]}},
    )
    shape = document.shown("Validation Error Example")
    assert (refused.json()["error"], refused.json()["code"]) == (shape["error"], shape["code"])


def test_error_format_is_the_documented_one(world: World, subtests: pytest.Subtests) -> None:
    shape = document.shown("Standard Error Format")
    world.make_workflow(HELLO)
    known = "/api/workflow/{workflow_id}/"

    def post(content: bytes, content_type: str = "application/json") -> httpx.Response:
        headers = {"Content-Type": content_type}
        return world.client.post("/api/workflow/", content=content, headers=headers)

    cases = {
        "401 UNAUTHORIZED": lambda: world.anonymous.get(f"/api/workflow/{world.workflow_id}/"),
        "404 NOT_FOUND": lambda: world.send("GET", "/api/workflow/unknown/"),
        "404 NOT_FOUND route": lambda: world.send("GET", "/api/workflow/1/2/3/4/"),
        "404 NOT_FOUND node": lambda: world.send("GET", f"{known}nodes/none/input/"),
        "404 NOT_FOUND type": lambda: world.send("GET", "/api/nodes/none/"),
        "405 METHOD_NOT_ALLOWED": lambda: world.send("POST", known, {}),
        "400 INVALID_REQUEST": lambda: post(b"{"),
        "400 INVALID_REQUEST list": lambda: post(b"[]"),
        "413 PAYLOAD_TOO_LARGE": lambda: world.send("POST", "/api/workflow/", {"name": "x" * 1_100_000}),
        "415 UNSUPPORTED_MEDIA_TYPE": lambda: post(b"<a/>", "text/xml"),
        "422 VALIDATION_ERROR": lambda: world.send("POST", "/api/workflow/", {}),
        "422 VALIDATION_ERROR type": lambda: world.send("POST", "/api/workflow/", {"name": 7}),
    }
    for name, request in cases.items():
        with subtests.test(name):
            answer = request()
            status, code = name.split(" ")[:2]
            assert (str(answer.status_code), answer.json()["code"]) == (status, code)
            body = answer.json()
            assert body.pop("trace_id") == answer.headers["X-Trace-ID"]
            assert document.differences(shape, body) == []
    documented = {code.strip("`"): status for status, code, _ in document.table("Common Error Codes")}
    assert documented == {
        "INVALID_REQUEST": "400",
        "NOT_FOUND": "404",
        "VALIDATION_ERROR": "422",
        "INTERNAL_ERROR": "500",
    }


def test_nothing_starts_after_a_stop_and_the_answer_outlives_the_worker(
    world: World, worker: Callable[[], Callable[[], None]], register_step: Callable[..., Any]
) -> None:
    begun: list[str] = []

    def act(config: Any, context: Any) -> None:
        begun.append(context.path)
        time.sleep(CALL_SECONDS)

    register_step("t.act", Effect.IDEMPOTENT, act)
    inside = [{"id": f"s{number}", "type": "t.act", "config": {}} for number in range(1, 6)]
    edges = [{"source": "all", "target": "s1", "source_handle": "item"}]
    edges += [{"source": f"s{number}", "target": f"s{number + 1}"} for number in range(1, 5)]
    world.make_workflow(
        {"id": "all", "type": "for-each", "config": {"items": list(range(50))}}, *inside, edges=edges
    )
    stop_worker = worker()
    started = world.replay("GET /api/workflow/{workflow_id}/start_execution/").json()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "all[1]/s2" not in begun:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    stopped = world.replay("GET /api/workflow/{workflow_id}/stop_execution/").json()
    answered = len(begun)
    assert stopped == {"task_id": started["task_id"], "status": "REVOKED"}
    while not Execution.objects.get().finished_at:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    count = len(begun)
    assert count < 250
    # As many as one second holds: counted, because a slow machine stretches the second and the calls alike.
    assert count - answered <= 1.0 / CALL_SECONDS
    stop_worker()
    lose_workers()
    drain()
    assert world.status() == "REVOKED"
    assert len(begun) == count
    assert Execution.objects.get().status == "CANCELLED"
    assert not StepRun.objects.filter(status__in=["RUNNING", "WAITING"]).exists()


def test_key_of_a_caller_without_an_account_works_too(world: World) -> None:
    key = keys.create_key(name="canvas", tenant_id=DEFAULT_TENANT_ID, role=Role.RUNNER, by="test")[1]
    world.make_workflow(HELLO)
    url = f"/api/workflow/{world.workflow_id}/start_execution/"
    assert world.anonymous.get(url, headers={"X-API-Key": key}).json()["status"] == "PENDING"


def test_openapi_examples_are_those_of_the_reference(subtests: pytest.Subtests) -> None:
    written = SchemaGenerator().get_schema(public=True)
    paths = {re.sub(r"\{\w+\}", "{}", path): operations for path, operations in written["paths"].items()}
    for name, example in EXAMPLES.items():
        operation = paths[re.sub(r"\{\w+\}", "{}", example.path)][example.method.lower()]
        with subtests.test(name):
            assert str(example.status) in operation["responses"]
            content = operation["responses"][str(example.status)].get("content")
            if "execute_and_save_node" in name or not isinstance(example.body, dict):
                continue
            assert document.differences(example.body, content["application/json"]["example"]) == []
            if example.sent is not None:
                sent = operation["requestBody"]["content"]["application/json"]["example"]
                assert document.differences(example.sent, sent) == []
