"""Subscriptions in the admin: what is shown, and the actions."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from automate.models import WebhookSubscription
from automate.subscriptions import verbs
from automate_core.models import AuditEntry

pytestmark = pytest.mark.django_db

URL = "https://hooks.example.com/hooks/standard/1/very-private/"
PAGE = "admin:automate_webhooksubscription_changelist"


@pytest.fixture
def client() -> Client:
    found = Client()
    found.force_login(get_user_model().objects.create_superuser("root", "root@example.com", "password"))
    return found


@pytest.fixture
def subscription() -> WebhookSubscription:
    return verbs.subscribe(event_type="order.created", callback_url=URL, by="test").subscription


def test_pages_show_the_last_status_and_not_the_private_part_of_the_url(
    client: Client, subscription: WebhookSubscription
) -> None:
    WebhookSubscription.objects.update(last_status=503, last_error="Answered 503", failures=2)
    detail = reverse("admin:automate_webhooksubscription_change", args=[subscription.pk])
    for page in (reverse(PAGE), detail):
        text = client.get(page).content.decode()
        assert all(shown in text for shown in ("hooks.example.com", "503", "Answered 503"))
        assert "very-private" not in text


def test_actions_switch_subscriptions_and_are_audited(
    client: Client, subscription: WebhookSubscription
) -> None:
    states = []
    for action in ("disable", "enable"):
        client.post(reverse(PAGE), {"action": action, "_selected_action": [str(subscription.pk)]})
        subscription.refresh_from_db()
        states.append((subscription.is_enabled, subscription.disabled_reason))
    assert states == [(False, "Switched off in the admin"), (True, "")]
    entries = AuditEntry.objects.order_by("id").values_list("actor", "action")
    user = get_user_model().objects.get()
    assert list(entries)[-2:] == [
        (f"user:{user.pk}", "subscription.disabled"),
        (f"user:{user.pk}", "subscription.enabled"),
    ]
