"""What is stored as it came is shown in the admin without its secrets, and searching tells nothing that is hidden."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from automate.events import emit_event, run_workflow
from automate.models import Event, Execution, QueueMessage, WebhookSubscription
from automate.workflows import create_workflow
from automate_core import audit, audit_chain
from automate_core.models import AuditEntry, OutboxItem, current_tenant_id
from automate_core.outbox import enqueue
from tests.admin.test_pages import url

pytestmark = pytest.mark.django_db

CANARY = "hunter2-canary"
SECRET: dict[str, Any] = {"password": CANARY, "nested": [{"api_key": CANARY}], "n": 1}


def an_event() -> Event:
    emit_event("order.created", SECRET)
    return Event.objects.get()


def an_execution() -> Execution:
    graph = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "hello"}}]}
    create_workflow(name="Orders", slug="orders", graph=graph, by="test")
    return Execution.objects.get(pk=run_workflow("orders", SECRET))


def a_message() -> QueueMessage:
    return QueueMessage.objects.create(tenant_id=current_tenant_id(), queue="q", body=SECRET, size=1)


def an_item() -> OutboxItem:
    return OutboxItem.objects.get(pk=enqueue(kind="event", payload=SECRET))


@pytest.mark.parametrize("make", [an_event, an_execution, a_message, an_item])
def test_page_shows_no_secret(make: Any, admin_client: Client) -> None:
    row = make()
    page = admin_client.get(url(type(row), "change", row.pk)).content.decode()
    assert ("REDACTED" in page, CANARY in page) == (True, False)


def test_callback_urls_are_found_by_host_alone(admin_client: Client) -> None:
    row = WebhookSubscription.objects.create(
        tenant_id=current_tenant_id(), event_type="a.b", callback_url="https://hooks.example/catch/s3cret"
    )

    def found(text: str) -> bool:
        page = admin_client.get(url(WebhookSubscription, "changelist"), {"q": text})
        return str(row.pk) in page.content.decode()

    assert [found(text) for text in ("hooks.example", "hooks", "catch", "s3c", str(row.pk))] == [
        True, True, False, False, True,
    ]  # fmt: skip


def test_audit_list_says_what_is_not_sealed_yet(admin_client: Client) -> None:
    entry = audit.record(actor="apikey:01a202f0-0b1a-7788-a036-116a31e29462", action="a.b", target="t")
    page = url(AuditEntry, "changelist")
    content = admin_client.get(page).content.decode()
    assert "not sealed yet" in content
    assert ">apikey:…116a31e29462<" in content
    audit_chain.seal()
    assert "not sealed yet" not in admin_client.get(page).content.decode()
    assert entry.content_digest in admin_client.get(url(AuditEntry, "change", entry.pk)).content.decode()
