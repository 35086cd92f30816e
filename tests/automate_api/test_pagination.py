"""Pages by number up to a limit, by cursor after it, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from automate.models import Automation, Event
from automate_api import pagination
from automate_api.pagination import bounded_count
from automate_core.models import Tenant
from tests.automate.api.conftest import make_workflow

__all__ = ["make_workflow"]

pytestmark = pytest.mark.django_db

EVENTS = "/api/automate/events/"
START = datetime(2024, 1, 1, tzinfo=UTC)
MakeClient = Callable[..., Client]
NO_SUCH_CURSOR = {"field": "cursor", "message": "Give the cursor of a `next` link of this list"}


@pytest.fixture
def events(tenant: Tenant, other_tenant: Tenant) -> list[str]:
    """Ids of ten events, newest first; two at a time came at the same moment. Another tenant's lie between them."""
    made = []
    for number in range(10):
        at = START + timedelta(minutes=number // 2)
        made.append(str(Event.all_tenants.create(tenant=tenant, type="a", created_at=at).pk))
        Event.all_tenants.create(tenant=other_tenant, type="a", created_at=at)
    return made[::-1]


def walk(client: Client, url: str | None) -> Iterator[dict[str, Any]]:
    while url is not None:
        page = client.get(url).json()
        yield page
        url = page["next"]


def ids(page: dict[str, Any]) -> list[str]:
    return [row["id"] for row in page["results"]]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_next_leads_through_every_row_once_beyond_the_limit(
    key_client: MakeClient, events: list[str], settings: Any, size: int
) -> None:
    settings.AUTOMATE_API_COUNT_LIMIT = 4
    pages = list(walk(key_client(), f"{EVENTS}?page_size={size}"))
    assert [found for page in pages for found in ids(page)] == events
    assert {page["count"] for page in pages} == {4}


def test_links_name_pages_up_to_the_limit_and_a_cursor_after_it(
    key_client: MakeClient, events: list[str], settings: Any
) -> None:
    settings.AUTOMATE_API_COUNT_LIMIT = 4
    first, second, third, *_ = walk(key_client(), f"{EVENTS}?page_size=2&type=a")
    assert (first["previous"], first["next"]) == (None, f"{EVENTS}?page=2&page_size=2&type=a")
    assert second["previous"] == f"{EVENTS}?page_size=2&type=a"
    assert second["next"].startswith(f"{EVENTS}?cursor=")
    assert second["next"].endswith("&page_size=2&type=a")
    assert third["previous"] is None


def test_count_is_exact_up_to_the_limit(key_client: MakeClient, events: list[str], settings: Any) -> None:
    settings.AUTOMATE_API_COUNT_LIMIT = 10
    assert key_client().get(f"{EVENTS}?page_size=3").json()["count"] == 10
    assert key_client().get(EVENTS).json()["count"] == 10
    settings.AUTOMATE_API_COUNT_LIMIT = 9
    assert key_client().get(f"{EVENTS}?page_size=3").json()["count"] == 9


def test_page_beyond_the_limit_says_how_to_go_on(
    key_client: MakeClient, events: list[str], settings: Any
) -> None:
    settings.AUTOMATE_API_COUNT_LIMIT = 4
    answer = key_client().get(f"{EVENTS}?page_size=2&page=3")
    assert answer.status_code == 404
    message = "Only the first 4 rows have page numbers; follow `next`, or narrow the list"
    assert answer.json()["error"]["message"] == message


def test_page_after_the_last_row_is_404(key_client: MakeClient, events: list[str]) -> None:
    answer = key_client().get(f"{EVENTS}?page=2")
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "There is no page 2")
    assert key_client().get(f"{EVENTS}?type=b").json() == {
        "count": 0,
        "next": None,
        "previous": None,
        "results": [],
    }


def test_page_far_from_the_first_reads_the_rows_of_that_page_alone(
    key_client: MakeClient, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "_SKIPPED_WHOLE", 3)
    client = key_client()
    client.get(EVENTS)
    for number, expected in ((2, events[2:4]), (3, events[4:6]), (5, events[8:])):
        with CaptureQueriesContext(connection) as captured:
            page = client.get(f"{EVENTS}?page_size=2&type=a&page={number}").json()
        read = captured[1]["sql"]
        keys = 'IN (SELECT U0."id" AS "pk" FROM "automate_event" U0'
        assert (ids(page), keys in read, read.count("OFFSET")) == (expected, number > 2, 1)
        assert (page["count"], len(captured)) == (10, 2 + (number < 5))
    assert client.get(f"{EVENTS}?page_size=2&page=6").status_code == 404


@pytest.mark.parametrize("ordering", ["name", "-name", "created_at", "-updated_at", "enabled", "-enabled"])
def test_cursor_follows_every_order_of_workflows(
    key_client: MakeClient, make_workflow: Callable[..., Automation], settings: Any, ordering: str
) -> None:
    for number in range(7):
        make_workflow(f"W{number // 2}", slug=f"w{number}", enabled=number % 2 == 0)
    client, url = key_client(), f"/api/automate/workflows/?ordering={ordering}"
    expected = ids(client.get(url).json())
    settings.AUTOMATE_API_COUNT_LIMIT = 2
    pages = list(walk(client, f"{url}&page_size=2"))
    assert [found for page in pages for found in ids(page)] == expected


@pytest.mark.parametrize(
    "cursor",
    ["x", "%ff", "e30", "W10", "WyJhIiwiYiJd", "WzEsMl0", "WyIyMDI0LTAxLTAxIiwiXHUwMDAwIl0", "a" * 9_000],
)
def test_cursor_that_is_none_is_refused(key_client: MakeClient, cursor: str) -> None:
    answer = key_client().get(f"{EVENTS}?cursor={cursor}")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == [NO_SUCH_CURSOR]


def test_cursor_never_leaves_the_tenant(
    key_client: MakeClient, events: list[str], settings: Any, other_tenant: Tenant
) -> None:
    settings.AUTOMATE_API_COUNT_LIMIT = 2
    _, second, *_ = walk(key_client(), f"{EVENTS}?page_size=1")
    theirs = key_client(tenant_id=other_tenant.pk).get(second["next"]).json()
    assert set(ids(theirs)).isdisjoint(events)


def test_count_reads_no_more_rows_than_the_limit(events: list[str]) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert bounded_count(Event.all_tenants.order_by("-id"), 3) == 3
    assert [query["sql"].endswith("LIMIT 3) subquery") for query in captured] == [True]
    assert bounded_count([1, 2, 3, 4], 3) == 3
