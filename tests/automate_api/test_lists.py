"""Every list found through the URL resolver takes the same number of queries for one row and for three."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from automate.models import Approval, Automation
from automate.workflows import update_workflow
from automate_core.context import tenant_scope
from tests.automate.api.conftest import GRAPH, make_event, make_execution, make_workflow
from tests.automate_api.test_routes import ROUTES, Route
from tests.factories.jobs import make_job

__all__ = ["make_event", "make_execution", "make_workflow"]

pytestmark = pytest.mark.django_db

QUERIES: Mapping[str, int] = {
    "/api/automate/workflows/": 2,  # the key, the rows
    "/api/automate/workflows/<pk>/versions/": 3,  # the key, the workflow, the rows
    "/api/automate/executions/": 2,
    "/api/automate/events/": 2,
    "/api/automate/approvals/": 2,
    "/api/v1/executions/": 2,
    "/api/v1/events/": 2,
    "/api/v1/endpoints/": 2,
    "/api/v1/jobs/": 2,
    "/api/v1/artifacts/": 2,
}


def is_list(route: Route) -> bool:
    actions = getattr(route.callback, "actions", None) or {}
    return actions.get("get") in ("list", "versions")


def fill(
    rows: int, make_workflow: Callable[..., Any], make_event: Callable[..., Any], make_execution: Any
) -> Automation:
    """Make `rows` rows of everything there are lists of; return a workflow with as many versions."""
    for number in range(rows):
        workflow: Automation = make_workflow(f"Orders {number}")
        execution = make_execution(workflow, event=make_event(dedupe_key=str(number)), steps=2)
        Approval.all_tenants.create(execution=execution, path="ask", title="Pay?")
        make_job(workflow.tenant, slug=f"orders-{number}", run_id=execution.pk)
    for number in range(1, rows):
        graph = {"nodes": [{**GRAPH["nodes"][0], "config": {"message": str(number)}}]}
        with tenant_scope(UUID(str(workflow.tenant_id))):
            update_workflow(workflow, by="test", graph=graph)
    return workflow


def test_every_list_is_counted() -> None:
    assert {route.url for route in ROUTES if is_list(route)} == set(QUERIES)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("url", QUERIES)
def test_list_takes_as_many_queries_for_each_number_of_rows(
    key_client: Callable[..., Client],
    make_workflow: Callable[..., Any],
    make_event: Callable[..., Any],
    make_execution: Callable[..., Any],
    url: str,
    rows: int,
) -> None:
    client = key_client()
    workflow = fill(rows, make_workflow, make_event, make_execution)
    path = url.replace("<pk>", str(workflow.pk))
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        page = client.get(path).json()
    assert (page["count"], len(page["results"]), len(captured)) == (rows, rows, QUERIES[url])


@pytest.mark.parametrize("url", QUERIES)
def test_list_with_more_rows_than_a_page_takes_one_query_more(
    key_client: Callable[..., Client],
    make_workflow: Callable[..., Any],
    make_event: Callable[..., Any],
    make_execution: Callable[..., Any],
    url: str,
) -> None:
    client = key_client()
    workflow = fill(3, make_workflow, make_event, make_execution)
    path = url.replace("<pk>", str(workflow.pk)) + "?page_size=2"
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        page = client.get(path).json()
    assert (page["count"], len(page["results"]), len(captured)) == (3, 2, QUERIES[url] + 1)
