"""What lists of huge tables read, and what is found in them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from automate.models import Event
from automate_core import admin_large as large
from automate_core.admin_large import LargeAdmin
from automate_core.models import DEFAULT_TENANT_ID
from tests.admin.test_pages import MAKE, MODELS, named

pytestmark = pytest.mark.django_db

EVENTS = "admin:automate_event_changelist"
LARGE = [model for model in MODELS if isinstance(admin.site._registry[model], LargeAdmin)]


@pytest.fixture
def client() -> Client:
    user = get_user_model().objects.create_superuser("root", "root@example.com", "password")
    found = Client()
    found.force_login(user)
    return found


def make_event(type: str, **fields: Any) -> Event:
    return Event.all_tenants.create(tenant_id=DEFAULT_TENANT_ID, type=type, **fields)


def found(client: Client, **query: str) -> list[str]:
    text = client.get(reverse(EVENTS), query).content.decode()
    return re.findall(r"/event/([0-9a-f-]{36})/change", text)


def test_histories_are_large() -> None:
    """A list of rows that are never deleted by hand, or come by the thousand, derives from LargeAdmin."""
    assert {model.__name__ for model in LARGE} >= {
        "Event", "Execution", "StepRun", "AuditEntry", "OutboxItem", "IdempotencyRecord", "QueueMessage", "Job",
        "JobEvent",
    }  # fmt: skip


@pytest.mark.parametrize("model", LARGE, ids=named)
def test_large_list_is_in_the_order_of_its_key(model: type[Model]) -> None:
    page = admin.site._registry[model]
    assert (tuple(page.ordering), page.date_hierarchy) == (("-id",), None)


@pytest.mark.parametrize("model", LARGE, ids=named)
@pytest.mark.parametrize("query", [{}, {"q": "e"}, {"tenant": "default"}])
def test_list_reads_no_whole_table(
    client: Client, model: type[Model], query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    if "tenant" not in admin.site._registry[model].list_filter:
        query = {name: value for name, value in query.items() if name != "tenant"}
    monkeypatch.setattr(large.LargeAdmin, "list_per_page", 1)
    for number in range(3):
        MAKE[model](number)
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url, query).status_code == 200
    ours = [one["sql"] for one in captured if f'FROM "{model._meta.db_table}"' in one["sql"]]
    assert [sql for sql in ours if "LIMIT" not in sql] == []
    assert ours != []


def test_count_stops_at_its_limit(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "COUNTED", 2)
    for _ in range(3):
        make_event("a")
    assert large.BoundedPaginator(Event.all_tenants.order_by("-id"), 50).count == 2


def test_id_and_trace_id_find_old_rows_and_text_finds_recent_ones(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "COUNTED", 2)
    old = make_event("order.created", trace_id="abc")
    recent = make_event("order.created", trace_id="def")
    make_event("other")
    assert found(client, q="order") == [str(recent.pk)]
    assert found(client, q=str(old.pk)) == [str(old.pk)]
    assert found(client, q=" abc ") == [str(old.pk)]


def test_filter_offers_recent_values_and_narrows(client: Client) -> None:
    shop, _ = make_event("a", source="shop"), make_event("a", source="crm")
    text = client.get(reverse(EVENTS)).content.decode()
    assert re.findall(r"\?source=(\w+)", text) == ["crm", "shop"]
    assert found(client, source="shop") == [str(shop.pk)]
