from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from automate.models import Automation, Event, Execution
from automate_core.models import OutboxItem, Role, Tenant

pytestmark = pytest.mark.django_db

URL = "/api/automate/executions/"
MakeClient = Callable[..., Client]
Make = Callable[..., Any]


DOCUMENTED = {
    "id", "workflow_id", "workflow_name", "status", "attempt", "context", "error_summary", "started_at", "finished_at",
}  # fmt: skip
ADDED = {
    "workflow_version", "output", "error_code", "replay_of", "parent_execution_id", "parent_path", "children",
    "trace_id", "created_at", "cancel_requested_at", "paused_at", "held_at",
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
def test_list_takes_three_queries(
    key_client: MakeClient, workflow: Automation, make_event: Make, make_execution: Make, rows: int
) -> None:
    client = key_client()
    client.get(URL)
    for _ in range(rows):
        make_execution(workflow, event=make_event())
    with CaptureQueriesContext(connection) as queries:
        assert len(client.get(URL).json()["results"]) == rows
    assert len(queries) == 3  # the key, the count, the rows


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
