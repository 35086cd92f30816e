from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from automate.models import Automation, Event, Execution
from automate_core.models import AuditEntry, OutboxItem, Role, Tenant
from automate_core.outbox import enqueue

pytestmark = pytest.mark.django_db

URL = "/api/automate/executions/"
MakeClient = Callable[..., Client]
Make = Callable[..., Any]


DOCUMENTED = {
    "id", "workflow_id", "workflow_name", "status", "attempt", "context", "error_summary", "started_at", "finished_at",
}  # fmt: skip
ADDED = {
    "workflow_version", "output", "error_code", "replay_of", "parent_execution_id", "parent_path", "children",
    "trace_id", "created_at", "duration_ms", "trigger_event_id", "cancel_requested_at", "paused_at", "held_at",
}  # fmt: skip


@pytest.fixture
def workflow(make_workflow: Make) -> Automation:
    return make_workflow("Slack Notification")


@pytest.mark.parametrize("url", [URL, "/api/v1/executions/"])
def test_row_has_the_documented_shape(
    key_client: MakeClient, workflow: Automation, make_event: Make, make_execution: Make, url: str
) -> None:
    event = make_event()
    made = make_execution(
        workflow,
        event=event,
        started_at=datetime(2024, 1, 20, 14, 45, tzinfo=UTC),
        finished_at=datetime(2024, 1, 20, 14, 45, 2, tzinfo=UTC),
    )
    assert key_client(Role.VIEWER).get(url).json() == {
        "count": 1,
        "next": None,
        "previous": None,
        "results": [
            {
                "id": str(made.pk),
                "workflow_id": str(workflow.pk),
                "workflow_name": "Slack Notification",
                "status": "SUCCESS",
                "attempt": 1,
                "started_at": "2024-01-20T14:45:00Z",
                "finished_at": "2024-01-20T14:45:02Z",
                "duration_ms": 2000,
                "trigger_event_id": str(event.pk),
            }
        ],
    }


@pytest.mark.parametrize("url", [URL, "/api/v1/executions/"])
def test_detail_has_the_documented_shape(
    key_client: MakeClient, workflow: Automation, make_execution: Make, url: str
) -> None:
    made = make_execution(
        workflow,
        steps=2,
        context={"source": "stripe", "event_type": "order.created", "password": "hunter22"},
        started_at=datetime(2024, 1, 20, 14, 45, tzinfo=UTC),
        finished_at=datetime(2024, 1, 20, 14, 45, 2, tzinfo=UTC),
    )
    body = key_client(Role.VIEWER).get(f"{url}{made.pk}/").json()
    steps = body.pop("steps")
    assert set(body) - DOCUMENTED == ADDED
    assert (body["duration_ms"], body["trigger_event_id"]) == (2000, made.event_id and str(made.event_id))
    assert {name: body[name] for name in DOCUMENTED} == {
        "id": str(made.pk),
        "workflow_id": str(workflow.pk),
        "workflow_name": "Slack Notification",
        "status": "SUCCESS",
        "attempt": 1,
        "context": {"source": "stripe", "event_type": "order.created", "password": "***REDACTED***"},
        "error_summary": None,
        "started_at": "2024-01-20T14:45:00Z",
        "finished_at": "2024-01-20T14:45:02Z",
    }
    assert [step["node_key"] for step in steps] == ["step_1", "step_2"]
    assert {**steps[0], "id": None, "started_at": None, "finished_at": None} == {
        "id": None,
        "path": "step_1",
        "node_key": "step_1",
        "attempt": 1,
        "route": "",
        "error_code": "",
        "error_message": "",
        "wake_at": None,
        "status": "SUCCESS",
        "input_data": {"channel": "#orders", "message": "***REDACTED***"},
        "output_data": {"ok": True},
        "started_at": None,
        "finished_at": None,
        "duration_ms": 2000,
    }


def test_unfinished_execution_has_no_duration(
    key_client: MakeClient, workflow: Automation, make_execution: Make
) -> None:
    make_execution(workflow, status="QUEUED", started_at=None, finished_at=None)
    row = key_client().get(URL).json()["results"][0]
    assert (row["duration_ms"], row["finished_at"], row["trigger_event_id"]) == (None, None, None)


def test_failure_says_why(key_client: MakeClient, workflow: Automation, make_execution: Make) -> None:
    made = make_execution(workflow, status="FAILED", error_summary="step_1: timed out")
    assert key_client().get(f"{URL}{made.pk}/").json()["error_summary"] == "step_1: timed out"


def test_list_is_filtered(
    key_client: MakeClient, make_workflow: Make, make_event: Make, make_execution: Make
) -> None:
    client, one, two = key_client(), make_workflow("One"), make_workflow("Two")
    a = make_execution(one, status="FAILED", trace_id="t-1", created_at=datetime(2024, 1, 1, tzinfo=UTC))
    b = make_execution(one, event=make_event("order.paid"), created_at=datetime(2024, 1, 2, tzinfo=UTC))
    c = make_execution(two, created_at=datetime(2024, 1, 3, tzinfo=UTC))

    def found(query: str) -> list[str]:
        return [row["id"] for row in client.get(f"{URL}?{query}").json()["results"]]

    ids = [str(x.pk) for x in (a, b, c)]
    assert found("") == ids[::-1]
    assert found(f"workflow={one.pk}") == [ids[1], ids[0]]
    assert found("status=failed") == [ids[0]]
    assert found("status=SUCCESS") == [ids[2], ids[1]]
    assert found("since=2024-01-02T00:00:00Z") == [ids[2], ids[1]]
    assert found("since=2024-01-02T01:00:00+01:00") == [ids[2], ids[1]]
    assert found("until=2024-01-02") == [ids[1], ids[0]]
    assert found("since=2024-01-02&until=2024-01-02T12:00") == [ids[1]]
    assert found("trace_id=t-1") == [ids[0]]
    assert found("event_type=order.paid") == [ids[1]]
    assert found("status=&workflow=") == ids[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "workflow=absent",
        "status=DONE",
        "since=notadate",
        "since=2024-13-45",
        "since=2024-02-30T25:00:00Z",
        "until=%00",
        "since=" + "9" * 400,
        "trace_id=" + "x" * 300,
        "page=-1",
        "page_size=x",
    ],
)
def test_bad_query_is_400(key_client: MakeClient, tenant: Tenant, query: str) -> None:
    answer = key_client().get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("query", ["since=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-14:00"])
def test_times_at_the_ends_of_the_calendar_are_understood(
    key_client: MakeClient, tenant: Tenant, query: str
) -> None:
    assert key_client().get(f"{URL}?{query}").status_code == 200


@pytest.mark.parametrize("rows", [1, 3])
def test_list_takes_two_queries(
    key_client: MakeClient, workflow: Automation, make_event: Make, make_execution: Make, rows: int
) -> None:
    client = key_client()
    client.get(URL)
    for _ in range(rows):
        make_execution(workflow, event=make_event())
    with CaptureQueriesContext(connection) as queries:
        assert len(client.get(URL).json()["results"]) == rows
    assert len(queries) == 2  # the key, the rows


@pytest.mark.parametrize("steps", [1, 3])
def test_detail_takes_three_queries(
    key_client: MakeClient, workflow: Automation, make_event: Make, make_execution: Make, steps: int
) -> None:
    client, made = key_client(), make_execution(workflow, event=make_event(), steps=steps)
    client.get(URL)
    with CaptureQueriesContext(connection) as queries:
        assert len(client.get(f"{URL}{made.pk}/").json()["steps"]) == steps
    assert len(queries) == 3  # the key, the execution, its steps


@pytest.mark.parametrize("url", [URL, "/api/v1/executions/"])
def test_replay_queues_the_same_input_again(
    key_client: MakeClient, workflow: Automation, make_execution: Make, url: str
) -> None:
    made = make_execution(workflow, status="FAILED", context={"n": 1})
    answer = key_client(Role.RUNNER).post(f"{url}{made.pk}/replay/", headers={"X-Trace-ID": "t-2"})
    copy = Execution.objects.get(replay_of=made)
    assert (answer.status_code, answer.json()) == (
        202,
        {"execution_id": str(copy.pk), "message": "Execution queued for replay", "trace_id": "t-2"},
    )
    assert (copy.context, copy.status) == ({"n": 1}, "QUEUED")
    assert OutboxItem.objects.filter(kind="execution", payload__execution_id=str(copy.pk)).count() == 1


def test_replay_of_a_running_execution_is_409(
    key_client: MakeClient, workflow: Automation, make_execution: Make
) -> None:
    made = make_execution(workflow, status="RUNNING", finished_at=None)
    assert key_client().post(f"{URL}{made.pk}/replay/").status_code == 409


def test_viewer_may_not_replay(key_client: MakeClient, workflow: Automation, make_execution: Make) -> None:
    made = make_execution(workflow)
    assert key_client(Role.VIEWER).post(f"{URL}{made.pk}/replay/").status_code == 403


def test_executions_of_other_tenants_are_404(
    key_client: MakeClient, make_workflow: Make, make_execution: Make, other_tenant: Tenant
) -> None:
    client, theirs = key_client(), make_execution(make_workflow(of=other_tenant))
    assert client.get(URL).json()["count"] == 0
    assert client.get(f"{URL}{theirs.pk}/").status_code == 404
    assert client.post(f"{URL}{theirs.pk}/replay/").status_code == 404
    assert client.get(f"{URL}?workflow={theirs.automation_id}").json()["count"] == 0


def test_executions_cannot_be_written(
    key_client: MakeClient, workflow: Automation, make_execution: Make
) -> None:
    client, made = key_client(), make_execution(workflow)
    url = f"{URL}{made.pk}/"
    statuses = [client.post(URL).status_code, client.put(url).status_code, client.delete(url).status_code]
    assert statuses == [405, 405, 405]
    assert Event.objects.count() == 0


def test_replay_from_a_step_takes_all_its_options(
    key_client: MakeClient, workflow: Automation, make_execution: Make
) -> None:
    made = make_execution(workflow, steps=1, status="FAILED", context={"n": 1})
    body = {"from": "step_1", "version": 1, "input": {"n": 2}, "force": ["step_1"]}
    answer = post(key_client(Role.RUNNER), f"{URL}{made.pk}/replay/", body)
    copy = Execution.objects.get(replay_of=made)
    assert (answer.status_code, answer.json()["execution_id"]) == (202, str(copy.pk))
    assert (copy.context, copy.status, copy.version.number) == ({"n": 2}, "QUEUED", 1)
    entry = AuditEntry.objects.get(action="execution.replay")
    assert (entry.actor.split(":")[0], entry.after["from"], entry.after["force"]) == (
        "apikey",
        "step_1",
        ["step_1"],
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"from": "absent"}, "from"),
        ({"from": "a["}, "from"),
        ({"from": ""}, "from"),
        ({"from": 5, "version": []}, "version"),
        ({"version": 0}, "version"),
        ({"version": 99}, "version"),
        ({"version": 10**30}, "version"),
        ({"input": []}, "input"),
        ({"from": "step_1", "force": "step_1"}, "force"),
        ({"force": ["step_1"]}, "force"),
    ],
)
def test_replay_that_makes_no_sense_is_400(
    key_client: MakeClient, workflow: Automation, make_execution: Make, body: Any, field: str
) -> None:
    answer = post(key_client(), f"{URL}{make_execution(workflow).pk}/replay/", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert field in [
        problem["field"].split(".")[0].split("[")[0] for problem in answer.json()["error"]["details"]
    ]
    assert Execution.objects.count() == 1


def test_replay_that_would_repeat_a_call_is_409_and_names_it(
    key_client: MakeClient, workflow: Automation, make_execution: Make
) -> None:
    made = make_execution(workflow, steps=1)
    made.steps.update(effect="at_most_once")
    answer = post(key_client(), f"{URL}{made.pk}/replay/", {"from": "step_1"})
    assert (answer.status_code, "step_1" in answer.json()["error"]["message"]) == (409, True)


def test_form_with_fields_is_no_replay(
    key_client: MakeClient, workflow: Automation, make_execution: Make
) -> None:
    answer = key_client().post(f"{URL}{make_execution(workflow).pk}/replay/", {"from": "step_1"})
    assert (answer.status_code, Execution.objects.count()) == (415, 1)


@pytest.mark.parametrize("url", [URL, "/api/v1/executions/"])
def test_cancel_of_a_queued_execution_ends_it(
    key_client: MakeClient, workflow: Automation, make_execution: Make, url: str
) -> None:
    made = make_execution(workflow, status="QUEUED", started_at=None, finished_at=None, trace_id="t-1")
    answer = post(key_client(Role.RUNNER), f"{url}{made.pk}/cancel/", {"reason": "not needed"})
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "execution_id": str(made.pk),
            "status": "CANCELLED",
            "message": "Execution cancelled",
            "trace_id": "t-1",
        },
    )
    entry = AuditEntry.objects.get(action="execution.cancel")
    assert (entry.target, entry.after["reason"]) == (f"execution:{made.pk}", "not needed")
    assert post(key_client(), f"{url}{made.pk}/cancel/").status_code == 409


def test_cancel_of_what_a_worker_has_in_hand_is_202(
    key_client: MakeClient, workflow: Automation, make_execution: Make
) -> None:
    made = make_execution(workflow, status="RUNNING", finished_at=None)
    enqueue(kind="execution", payload={"execution_id": str(made.pk)}, tenant_id=made.tenant_id)
    OutboxItem.objects.update(status="CLAIMED", lease_expires_at=datetime(2999, 1, 1, tzinfo=UTC))
    client = key_client()
    answer = client.post(f"{URL}{made.pk}/cancel/")
    assert (answer.status_code, answer.json()["status"], answer.json()["message"]) == (
        202, "RUNNING", "Execution asked to stop",
    )  # fmt: skip
    assert client.get(f"{URL}{made.pk}/").json()["cancel_requested_at"] is not None


def test_pause_and_resume(key_client: MakeClient, workflow: Automation, make_execution: Make) -> None:
    made = make_execution(workflow, status="QUEUED", started_at=None, finished_at=None)
    client, url = key_client(Role.RUNNER), f"{URL}{made.pk}/"
    answers = [client.post(f"{url}{verb}/") for verb in ("resume", "pause", "pause", "resume")]
    assert [answer.status_code for answer in answers] == [409, 200, 409, 200]
    assert answers[1].json() == {
        "execution_id": str(made.pk), "status": "QUEUED", "message": "Execution paused", "trace_id": "",
    }  # fmt: skip
    assert client.get(url).json()["paused_at"] is None


def test_waiting_step_is_skipped_and_retried(
    key_client: MakeClient, workflow: Automation, make_execution: Make
) -> None:
    made = make_execution(workflow, steps=2, status="WAITING", finished_at=None)
    made.steps.update(status="WAITING", finished_at=None, wake_at=datetime(2999, 1, 1, tzinfo=UTC))
    client = key_client(Role.RUNNER)
    skipped = post(client, f"{URL}{made.pk}/steps/skip/", {"path": "step_1"})
    retried = post(client, f"{URL}{made.pk}/steps/retry/", {"path": "step_2"})
    assert [(one.status_code, one.json()["message"]) for one in (skipped, retried)] == [
        (200, "Step skipped"), (200, "Step is tried again"),
    ]  # fmt: skip
    assert made.steps.get(path="step_1").answer == {"output": {"skipped": True}, "route": None}
    assert made.steps.get(path="step_2").wake_at < datetime(2998, 1, 1, tzinfo=UTC)
    refused = [
        post(client, f"{URL}{made.pk}/steps/{verb}/", {"path": "x"}).status_code for verb in ("skip", "retry")
    ]
    assert refused == [409, 409]
    assert post(client, f"{URL}{made.pk}/steps/skip/", {}).status_code == 400


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "steps/skip", "steps/retry"])
def test_viewer_and_strangers_change_nothing(
    key_client: MakeClient,
    workflow: Automation,
    make_workflow: Make,
    make_execution: Make,
    other_tenant: Tenant,
    verb: str,
) -> None:
    unfinished = {"status": "QUEUED", "finished_at": None}
    made = make_execution(workflow, **unfinished)
    theirs = make_execution(make_workflow(of=other_tenant), **unfinished)
    assert post(key_client(Role.VIEWER), f"{URL}{made.pk}/{verb}/", {"path": "a"}).status_code == 403
    assert post(key_client(), f"{URL}{theirs.pk}/{verb}/", {"path": "a"}).status_code == 404
    assert AuditEntry.all_tenants.filter(action__startswith="execution.").count() == 0


def test_detail_shows_output_caller_and_children(
    key_client: MakeClient, workflow: Automation, make_execution: Make
) -> None:
    made = make_execution(workflow, output={"n": 1}, error_code="")
    for _ in range(2):
        child = make_execution(workflow, parent_execution_id=made.pk, parent_path="call")
    client = key_client(Role.VIEWER)
    body = client.get(f"{URL}{made.pk}/").json()
    assert (body["output"], body["children"], body["parent_execution_id"], body["workflow_version"]) == (
        {"n": 1}, 2, None, 1,
    )  # fmt: skip
    body = client.get(f"{URL}{child.pk}/").json()
    assert (body["children"], body["parent_execution_id"], body["parent_path"]) == (0, str(made.pk), "call")


def post(client: Client, url: str, body: Any = None) -> Any:
    return client.post(url, body or {}, content_type="application/json")
