"""Development mode over HTTP: a node is run for real, its form and what it gave are kept, and failures are answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from automate.drawings import drawn_graph
from automate.models import Approval, Event, Execution, QueueMessage, WorkflowVersion
from automate.runtime import alone
from automate_connectors.models import Connection
from automate_core import secrets
from automate_core.errors import PermanentError
from automate_core.models import AuditEntry, Role
from automate_core.steps import Effect, step_registry
from automate_studio.canvas import node_data
from automate_studio.models import DevelopmentSession
from tests.automate_core.http.conftest import LoopbackServer, answers, reply, server
from tests.automate_studio.canvas.conftest import Canvas
from tests.factories.scripted import ScriptedStep

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["answers", "server"]

JSON = {"Content-Type": "application/json"}
SECRET = "sk-live-do-not-show-4711"


def execute(canvas: Canvas, node_id: str, form: Any = None, given: Any = None, **more: Any) -> Any:
    headers = more.pop("headers", {})
    body = {"node_id": node_id, **more}
    if form is not None:
        body["form_values"] = form
    if given is not None:
        body["input_data"] = given
    return canvas.post("execute_and_save_node/", body, **headers)


def ran(canvas: Canvas, node_id: str, form: Any = None, given: Any = None, **more: Any) -> dict[str, Any]:
    answer = execute(canvas, node_id, form, given, **more)
    assert answer.status_code == 200, answer.content
    told: dict[str, Any] = answer.json()
    return told


def test_request_of_the_document_gets_the_answer_of_the_document(
    canvas: Canvas, server: LoopbackServer
) -> None:
    server.handle = lambda handler: reply(handler, body=b'{"id": 7}', headers=JSON)
    node_id = canvas.add("http-request")
    form = {"url": server.url("/items/{{ input.key }}")}
    told = ran(canvas, node_id, form, {"key": "value"}, session_id="optional-session-id")
    output = told.pop("output")
    assert told == {
        "success": True,
        "node_id": node_id,
        "node_type": "http-request",
        "input_data": {"key": "value"},
        "form_values": form,
        "session_id": "optional-session-id",
    }
    assert (output["data"]["status"], output["data"]["body"], output["route"]) == (200, {"id": 7}, "default")
    assert server.received[0].path == "/items/value"


def test_form_input_and_output_are_saved(canvas: Canvas) -> None:
    node_id = canvas.add("data-transformer", {"output": "old"})
    form = {"output": "{{ input.n }}"}
    ran(canvas, node_id, form, {"n": 5})
    assert drawn_graph(canvas.automation)["nodes"][0]["config"] == form
    kept = node_data.load(canvas.automation, node_id)
    assert kept is not None
    assert (kept.form_values, kept.input_data, kept.output_data) == (form, {"n": 5}, 5)
    assert canvas.get(f"nodes/{node_id}/output/").json() == {"output_data": 5}


def test_form_that_did_not_change_makes_no_version(canvas: Canvas) -> None:
    node_id = canvas.add("data-transformer", {"output": 1})
    before = WorkflowVersion.objects.count()
    assert ran(canvas, node_id)["output"]["data"] == 1
    assert ran(canvas, node_id, {"output": 1})["output"]["data"] == 1
    assert WorkflowVersion.objects.count() == before
    ran(canvas, node_id, {"output": 2})
    assert WorkflowVersion.objects.count() == before + 1


def test_templates_see_the_outputs_of_nodes_before(canvas: Canvas) -> None:
    first = canvas.add("data-transformer", {"output": {"n": 1}}, id="first")
    second = canvas.add("data-transformer", {"output": {"n": 2}}, id="second")
    third = canvas.add(
        "data-transformer", {"output": "{{ steps.first.output.n }}/{{ steps.second.output.n }}"}
    )
    canvas.connect(first, second)
    canvas.connect(second, third)
    ran(canvas, first)
    ran(canvas, second)
    assert ran(canvas, third)["output"]["data"] == "1/2"
    assert ran(canvas, third)["input_data"] == {"second": {"n": 2}}
    assert ran(canvas, third, None, {"second": {"n": 9}})["output"]["data"] == "1/9"


def test_condition_tells_its_route(canvas: Canvas) -> None:
    node_id = canvas.add("if-condition", {"rule": {">": [{"var": "input.n"}, 3]}})
    assert ran(canvas, node_id, None, {"n": 5})["output"] == {"data": {"result": True}, "route": "true"}
    assert ran(canvas, node_id, None, {"n": 1})["output"] == {"data": {"result": False}, "route": "false"}


def test_body_of_a_loop_sees_the_item_that_was_stepped_to(canvas: Canvas) -> None:
    loop = canvas.add("for-each", {"items": ["a", "b"]}, id="loop")
    body = canvas.add("data-transformer", {"output": "{{ index }}:{{ item }} of {{ loop.count }}"})
    canvas.connect(loop, body, source_handle="item")
    session = ran(canvas, loop)["session_id"]
    assert ran(canvas, body, session_id=session)["output"]["data"] == "0:a of 2"
    ran(canvas, loop, session_id=session)
    assert ran(canvas, body, session_id=session)["output"]["data"] == "1:b of 2"


@pytest.mark.parametrize(
    ("kind", "form", "details"),
    [
        ("http-request", {}, {"url": ["This field is required."]}),
        (
            "http-request",
            {"url": 5, "method": "FETCH"},
            {
                "url": ["Must be string"],
                "method": ["Must be one of GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"],
            },
        ),
        (
            "http-request",
            {"field_name": "value"},
            {
                "field_name": [
                    "Unknown field; known: accept_status, body, connection, follow_redirects, headers,"
                    " idempotency_header, method, query, timeout_seconds, url"
                ],
                "url": ["This field is required."],
            },
        ),
        ("counter", {"step": []}, {"step": ["must be a number"]}),
    ],
)
def test_wrong_form_is_422_by_node_and_saves_nothing(
    canvas: Canvas, kind: str, form: dict[str, Any], details: dict[str, Any]
) -> None:
    node_id = canvas.add(kind, {"url": "https://a.example"} if kind == "http-request" else {})
    before = drawn_graph(canvas.automation)
    answer = execute(canvas, node_id, form)
    assert answer.status_code == 422
    told = answer.json()
    assert (told["error"], told["code"]) == ("Workflow validation failed", "VALIDATION_ERROR")
    assert told["details"] == {node_id: details}
    assert drawn_graph(canvas.automation) == before
    assert node_data.load(canvas.automation, node_id) is None
    assert DevelopmentSession.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "VALIDATION_ERROR"),
        ({"node_id": 5}, 422, "VALIDATION_ERROR"),
        ({"node_id": "x", "form_values": []}, 422, "VALIDATION_ERROR"),
        ({"node_id": "x", "input_data": "text"}, 422, "VALIDATION_ERROR"),
        ({"node_id": "x", "session_id": 5}, 422, "VALIDATION_ERROR"),
        ({"node_id": "x", "session_id": "a\nb"}, 422, "VALIDATION_ERROR"),
        ({"node_id": "x", "session_id": "s" * 129}, 422, "VALIDATION_ERROR"),
        ({"node_id": "nothing"}, 404, "NOT_FOUND"),
    ],
)
def test_bad_bodies_are_answered_flat(canvas: Canvas, body: dict[str, Any], status: int, code: str) -> None:
    answer = canvas.post("execute_and_save_node/", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert sorted(answer.json()) == ["code", "details", "error", "trace_id"]


def test_body_that_is_no_json_is_400(canvas: Canvas) -> None:
    url = canvas.url("execute_and_save_node/")
    answer = canvas.client.post(url, "{", "application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")


def test_node_of_an_unknown_type_is_422(canvas: Canvas, scripted: Callable[..., ScriptedStep]) -> None:
    scripted("t.gone", Effect.PURE, lambda config, context: None)
    node_id = canvas.add("t.gone")
    step_registry.unregister("t.gone")
    answer = execute(canvas, node_id)
    assert (answer.status_code, list(answer.json()["details"])) == (422, [node_id])


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"output": "{{ input.absent }}"}, "TEMPLATE_ERROR"),
        ({"output": "{{ steps.absent.output }}"}, "TEMPLATE_ERROR"),
    ],
)
def test_node_that_fails_is_answered_and_saved(canvas: Canvas, form: dict[str, Any], code: str) -> None:
    node_id = canvas.add("data-transformer", {"output": 1})
    told = ran(canvas, node_id, form, {"n": 1})
    assert (told["success"], told["code"], told["output"]) == (False, code, {"data": None, "route": None})
    assert told["error"]
    kept = node_data.load(canvas.automation, node_id)
    assert kept is not None
    assert (kept.form_values, kept.input_data, kept.output_data) == (form, {"n": 1}, None)
    assert drawn_graph(canvas.automation)["nodes"][0]["config"] == form


def test_crash_of_a_handler_is_a_failure_of_the_node(
    canvas: Canvas, scripted: Callable[..., ScriptedStep]
) -> None:
    def act(config: Any, context: Any) -> Any:
        raise RuntimeError("boom")

    scripted("t.crash", Effect.IDEMPOTENT, act)
    told = ran(canvas, canvas.add("t.crash"))
    assert (told["success"], told["code"], told["error"]) == (False, "INTERNAL_ERROR", "RuntimeError: boom")


def test_status_of_an_answer_and_refused_addresses_are_failures(
    canvas: Canvas, server: LoopbackServer
) -> None:
    server.handle = lambda handler: reply(handler, 404)
    node_id = canvas.add("http-request", {"url": server.url()})
    assert ran(canvas, node_id)["success"] is False
    refused = ran(canvas, node_id, {"url": "http://169.254.169.254/latest/meta-data"})
    assert (refused["success"], refused["output"]["data"]) == (False, None)


def test_secrets_are_shown_nowhere(canvas: Canvas, server: LoopbackServer) -> None:
    secrets.store("API_KEY", SECRET, by="test")
    Connection.objects.create(
        name="shop", connector="http", config={"base_url": server.url("/"), "bearer_token": "$secret:API_KEY"}
    )
    body = f'{{"echo": "{SECRET}"}}'.encode()
    server.handle = lambda handler: reply(handler, body=body, headers=JSON)
    node_id = canvas.add("http-request", {"url": "x", "connection": "shop"})
    answer = execute(canvas, node_id)
    assert server.received[0].headers["authorization"] == f"Bearer {SECRET}"
    assert answer.json()["output"]["data"]["body"] == {"echo": "***REDACTED***"}
    kept = node_data.load(canvas.automation, node_id)
    assert kept is not None
    shown = answer.content.decode() + str((kept.form_values, kept.input_data, kept.output_data))
    assert SECRET not in shown


def test_secret_in_an_error_is_not_shown(canvas: Canvas, scripted: Callable[..., ScriptedStep]) -> None:
    secrets.store("API_KEY", SECRET, by="test")

    def act(config: Any, context: Any) -> Any:
        raise PermanentError(f"refused {secrets.resolve('$secret:API_KEY')}")

    scripted("t.leak", Effect.AT_MOST_ONCE, act)
    told = ran(canvas, canvas.add("t.leak"))
    assert told["error"] == "refused ***REDACTED***"


def test_effects_are_real_and_a_database_step_commits_once(canvas: Canvas) -> None:
    writer = canvas.add("queue-writer", {"queue": "jobs", "message": "{{ input.n }}"})
    reader = canvas.add("queue-reader", {"queue": "jobs", "limit": 10})
    assert ran(canvas, writer, None, {"n": 1})["output"]["data"] == {"queue": "jobs", "written": 1}
    ran(canvas, writer, None, {"n": 2})
    assert ran(canvas, reader)["output"] == {
        "data": {"queue": "jobs", "count": 2, "messages": [1, 2]}, "route": "messages",
    }  # fmt: skip
    assert ran(canvas, reader)["output"]["route"] == "empty"


def test_database_step_that_fails_leaves_nothing_but_the_record(
    canvas: Canvas, scripted: Callable[..., ScriptedStep]
) -> None:
    def act(config: Any, context: Any) -> Any:
        QueueMessage.objects.create(queue="half", body=1, size=1)
        raise PermanentError("no")

    scripted("t.half", Effect.DATABASE, act)
    node_id = canvas.add("t.half")
    assert ran(canvas, node_id)["success"] is False
    assert QueueMessage.objects.count() == 0
    assert node_data.load(canvas.automation, node_id) is not None


def test_database_step_whose_output_cannot_be_kept_leaves_nothing(
    canvas: Canvas, scripted: Callable[..., ScriptedStep]
) -> None:
    def act(config: Any, context: Any) -> Any:
        QueueMessage.objects.create(queue="half", body=1, size=1)
        return "x" * 4_000_001

    scripted("t.large", Effect.DATABASE, act)
    assert ran(canvas, canvas.add("t.large"))["code"] == "PAYLOAD_TOO_LARGE"
    assert QueueMessage.objects.count() == 0


def test_execution_of_a_node_is_audited(canvas: Canvas) -> None:
    node_id = canvas.add("data-transformer", {"output": "{{ input.password }}"})
    ran(canvas, node_id, None, {"password": SECRET})
    ran(canvas, node_id, None, {})
    entries = AuditEntry.objects.filter(action="node.execute").order_by("id")
    assert [(one.target, one.after) for one in entries] == [
        (f"workflow:{canvas.workflow_id}", {"node": node_id, "type": "data-transformer", "success": success})
        for success in (True, False)
    ]


@pytest.mark.parametrize(
    ("kind", "form", "waiting"),
    [
        ("static-delay", {"duration": 2, "unit": "minutes"}, {"for": "time", "seconds": 120.0}),
        ("delay", {"until": "2030-01-01T00:00:00Z"}, {"for": "time", "until": "2030-01-01T00:00:00+00:00"}),
        ("wait-for-event", {"event_type": "order.*"}, {"for": "event", "event_type": "order.*"}),
        ("wait-for-webhook", {"timeout_seconds": 60}, {"for": "webhook", "seconds": 60.0}),
    ],
)
def test_waits_are_told_and_not_waited_for(
    canvas: Canvas, kind: str, form: dict[str, Any], waiting: dict[str, Any]
) -> None:
    told = ran(canvas, canvas.add(kind, form))
    nothing = {"seconds": None, "until": None, "event_type": None}
    assert (told["success"], told["output"]["route"]) == (True, None)
    assert told["output"]["waiting"] == {**nothing, **waiting}


def test_link_of_a_waiting_node_can_be_sent_and_is_not_shown(
    canvas: Canvas, server: LoopbackServer, settings: Any
) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "PUBLIC_URL": "https://shop.example"}
    canvas.add("wait-for-webhook", id="courier")
    sender = canvas.add(
        "http-request", {"url": server.url("/x"), "method": "POST", "body": "{{ resume.courier }}"}
    )
    server.handle = lambda handler: reply(handler, body=server.received[-1].body)
    told = ran(canvas, sender)
    sent = server.received[0].body.decode()
    assert sent.startswith("https://shop.example/api/automate/resume/")
    assert told["output"]["data"]["body"] == "https://shop.example/api/automate/resume/***REDACTED***/"
    token = sent.removesuffix("/").rpartition("/")[2]
    assert canvas.client.post(f"/api/automate/resume/{token}/", {}, "application/json").status_code == 404


def test_approval_asks_nobody(canvas: Canvas, make_user: Callable[..., Any]) -> None:
    make_user("ada", role=Role.RUNNER)
    form = {"title": "May I?", "assignees": {"users": ["ada"]}, "deadline_seconds": 60}
    told = ran(canvas, canvas.add("approval", form))
    assert (told["success"], told["output"]["waiting"]["for"]) == (True, "answer")
    assert told["output"]["waiting"]["until"] is not None
    assert (Approval.objects.count(), Event.objects.count()) == (0, 0)
    nobody = ran(canvas, canvas.add("approval", {**form, "assignees": {"users": ["nobody"]}}))
    assert nobody["success"] is False


def test_subworkflow_is_started_as_nobodys_child(canvas: Canvas, make_workflow: Callable[..., Any]) -> None:
    make_workflow("Child", slug="child")
    told = ran(canvas, canvas.add("subworkflow", {"workflow": "child", "input": {"n": 1}}))
    started = Execution.objects.get()
    assert (started.parent_execution_id, started.context) == (None, {"n": 1})
    assert told["output"]["data"] == {"execution_id": str(started.id)}
    assert told["output"]["waiting"]["for"] == "answer"


def test_call_that_takes_too_long_is_given_up(
    canvas: Canvas, scripted: Callable[..., ScriptedStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    scripted("t.slow", Effect.IDEMPOTENT, lambda config, context: over.wait(60))
    monkeypatch.setattr(alone, "LONGEST_CALL_SECONDS", 0.05)
    told = ran(canvas, canvas.add("t.slow"))
    over.set()
    assert (told["success"], told["code"]) == (False, "TIMEOUT")


def test_too_many_calls_are_refused(
    canvas: Canvas, scripted: Callable[..., ScriptedStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = scripted("t.call", Effect.IDEMPOTENT, lambda config, context: 1)
    node_id = canvas.add("t.call")
    slots = threading.BoundedSemaphore(1)
    slots.acquire()
    monkeypatch.setattr(alone, "_slots", slots)
    headers = {"X-Request-ID": "r1"}
    answer = execute(canvas, node_id, session_id="s", headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (
        503, "SERVICE_UNAVAILABLE", "1",
    )  # fmt: skip
    slots.release()
    assert ran(canvas, node_id, session_id="s", headers=headers)["success"] is True
    assert len(step.calls) == 1


def test_repeated_request_is_answered_from_the_first_time(
    canvas: Canvas, scripted: Callable[..., ScriptedStep]
) -> None:
    step = scripted("t.call", Effect.IDEMPOTENT, lambda config, context: {"n": len(step.calls)})
    node_id = canvas.add("t.call")
    first = execute(canvas, node_id, headers={"X-Request-ID": "r1"})
    again = execute(canvas, node_id, headers={"X-Request-ID": "r1"})
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")
    other = execute(canvas, node_id, headers={"X-Request-ID": "r2"})
    assert other.json()["output"]["data"] == {"n": 2}
    assert len({call.idempotency_key for call in step.calls}) == 2


@pytest.mark.parametrize(
    ("role", "status"), [(Role.VIEWER, 403), (Role.RUNNER, 403), (Role.EDITOR, 200), (Role.ADMIN, 200)]
)
def test_only_editors_may_execute_nodes(
    canvas: Canvas, as_role: Callable[..., Canvas], role: Role, status: int
) -> None:
    node_id = canvas.add("data-transformer", {"output": 1})
    assert execute(as_role(canvas, role), node_id).status_code == status


def test_scoped_key_needs_to_write_workflows(canvas: Canvas, as_role: Callable[..., Canvas]) -> None:
    node_id = canvas.add("data-transformer", {"output": 1})
    assert execute(as_role(canvas, Role.EDITOR, scopes=["workflows:read"]), node_id).status_code == 403
    assert execute(as_role(canvas, Role.EDITOR, scopes=["workflows:write"]), node_id).status_code == 200


def test_workflow_of_another_tenant_is_not_there(
    canvas: Canvas, make_workflow: Callable[..., Any], other_tenant: Any
) -> None:
    foreign = make_workflow("Foreign", of=other_tenant)
    answer = execute(Canvas(canvas.client, str(foreign.pk)), "any")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert execute(Canvas(canvas.client, "no-id"), "any").status_code == 404


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_other_methods_are_405(canvas: Canvas, method: str) -> None:
    assert getattr(canvas.client, method)(canvas.url("execute_and_save_node/")).status_code == 405
