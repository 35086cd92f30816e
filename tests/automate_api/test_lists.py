"""Every GET route, taken from the URL resolver, takes the same number of queries for one row and for three."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from automate.models import Approval, StepRun
from automate.workflows import update_workflow
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_modal.models import JobEvent
from tests.automate.api.conftest import GRAPH, make_event, make_execution, make_workflow
from tests.automate_api.test_routes import PRIVATE, Route
from tests.factories.jobs import make_job

__all__ = ["make_event", "make_execution", "make_workflow"]

pytestmark = pytest.mark.django_db

QUERIES: Mapping[str, int] = {
    "/api/automate/workflows/": 2,  # the key, the rows
    "/api/automate/workflows/<pk>/versions/": 3,  # the key, the workflow, the rows
    "/api/automate/executions/": 2,
    "/api/automate/events/": 2,
    "/api/automate/approvals/": 2,
    "/api/automate/zapier/triggers/": 1,  # the key; besides two statements that Django does not see
    "/api/v1/executions/": 2,
    "/api/v1/events/": 2,
    "/api/v1/endpoints/": 2,
    "/api/v1/jobs/": 2,
    "/api/v1/jobs/<pk>/events/": 4,
    "/api/v1/artifacts/": 2,
    "/api/modal/jobs/<pk>/events/": 4,
    "/api/workflow/": 2,
    "/api/workflow/<pk>/connections/": 2,
}
"""Queries of each list; a new one is found by its answer and has to be named here."""
FIXED = {"/api/nodes/": "the types of nodes there are, whatever rows there are"}
ACTING = {
    "/api/workflow/<pk>/start_execution/": "starts an execution",
    "/api/workflow/<pk>/stop_execution/": "stops one",
}
"""Routes whose GET is not a reading, and why."""

Grow = Callable[[int], dict[str, str]]
READ = [route for route in PRIVATE if "get" in route.methods and route.url not in ACTING]


@pytest.fixture
def grow(
    make_workflow: Callable[..., Any], make_event: Callable[..., Any], make_execution: Callable[..., Any]
) -> Grow:
    """Return what makes so many rows of everything, and of what belongs to the first of each; it returns their ids."""
    made: list[dict[str, Any]] = []

    def to(rows: int) -> dict[str, str]:
        for number in range(len(made), rows):
            workflow = make_workflow(f"Orders {number}", graph=chain(2))
            event = make_event(f"order.{number}", dedupe_key=str(number))
            execution = make_execution(workflow, event=event, steps=1)
            approval = Approval.all_tenants.create(execution=execution, path="ask", title="Pay?")
            modal = make_job(workflow.tenant, slug=f"orders-{number}", run_id=execution.pk)
            made.append(
                {
                    "workflows": workflow, "executions": execution, "events": event, "approvals": approval, **modal,
                }
            )  # fmt: skip
            if number:
                _add_to(made[0], number)
        ids = {name: str(row.pk) for name, row in made[0].items()}
        return {**ids, "workflow": ids["workflows"]}

    return to


def chain(length: int) -> dict[str, Any]:
    """Return a graph of so many nodes, each connected with the next."""
    nodes = [{**GRAPH["nodes"][0], "id": f"step_{number}"} for number in range(length)]
    edges = [{"source": f"step_{number}", "target": f"step_{number + 1}"} for number in range(length - 1)]
    return {"nodes": nodes, "edges": edges}


def _add_to(first: Mapping[str, Any], number: int) -> None:
    """Give the first of each one more version with one more edge, step or event."""
    workflow = first["workflows"]
    with tenant_scope(UUID(str(workflow.tenant_id))):
        update_workflow(workflow, by="test", graph=chain(number + 2))
    StepRun.all_tenants.create(
        tenant_id=workflow.tenant_id, execution=first["executions"], path=f"more_{number}", node_key=f"more_{number}",
        node_type="logging", effect="pure", status="SUCCESS",
    )  # fmt: skip
    event = JobEvent.all_tenants.get(job=first["jobs"], number=1)
    event.pk, event.number = uuid7(), number + 1
    event.save(force_insert=True)


def ask(client: Client, path: str) -> tuple[Any, int]:
    """Return the answer and the number of queries it took."""
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
    return answer, len(captured)


def rows_of(answer: Any) -> int | None:
    """Return how many rows a list has; None when the answer is no list."""
    if answer.status_code != 200 or not answer["Content-Type"].startswith("application/json"):
        return None
    body = answer.json()
    rows = body.get("results") if isinstance(body, dict) else body
    return len(rows) if isinstance(rows, list) else None


def path_of(route: Route, ids: Mapping[str, str]) -> str:
    collection = re.search(r"/(\w+)/<", route.url)
    return route.path(pk=ids.get(collection[1], "1")) if collection else route.url


@pytest.mark.parametrize("route", READ, ids=lambda route: route.url)
def test_route_takes_as_many_queries_for_three_rows_as_for_one(
    key_client: Callable[..., Client], grow: Grow, route: Route
) -> None:
    client = key_client()
    path = path_of(route, grow(1))
    client.get(path)
    one, queries = ask(client, path)
    grow(3)
    three, more_queries = ask(client, path)
    assert (three.status_code, more_queries) == (one.status_code, queries)
    if rows_of(one) is None or route.url in FIXED:
        assert (rows_of(one), route.url in QUERIES) == (rows_of(three), False)
    else:
        assert (rows_of(one), rows_of(three), queries) == (1, 3, QUERIES.get(route.url))


@pytest.mark.parametrize("route", [r for r in READ if r.url in QUERIES], ids=lambda route: route.url)
def test_list_with_more_rows_than_a_page_takes_one_query_more(
    key_client: Callable[..., Client], grow: Grow, route: Route
) -> None:
    client = key_client()
    path = path_of(route, grow(3)) + "?page_size=2"
    client.get(path)
    answer, queries = ask(client, path)
    if isinstance(answer.json(), list):
        assert (rows_of(answer), queries) == (3, QUERIES[route.url])
    else:
        assert (answer.json()["count"], rows_of(answer), queries) == (3, 2, QUERIES[route.url] + 1)
