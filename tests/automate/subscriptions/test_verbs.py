"""Subscribing, unsubscribing, switching: what is allowed, what is stored, what is audited."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from automate.models import WebhookSubscription
from automate.subscriptions import verbs
from automate_core import audit_chain
from automate_core.context import tenant_scope
from automate_core.models import AuditEntry, Secret, Tenant
from automate_core.secrets import resolve

pytestmark = pytest.mark.django_db

URL = "https://hooks.example.com/hooks/standard/1/abc/"


def subscribe(**given: str) -> verbs.Subscribed:
    return verbs.subscribe(**{"event_type": "order.created", "callback_url": URL, "by": "test", **given})


def trail() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("id").values_list("actor", "action"))


def test_subscribe_stores_the_secret_encrypted_and_audits_without_the_url() -> None:
    made = subscribe(by="user:7")
    assert made.secret.startswith("whsec_")
    assert resolve(f"$secret:subscription.{made.subscription.id}") == made.secret
    assert trail() == [("user:7", "secret.stored"), ("user:7", "subscription.created")]
    entry = AuditEntry.objects.get(action="subscription.created")
    assert entry.target == f"subscription:{made.subscription.id}"
    assert entry.after == {"event_type": "order.created", "host": "hooks.example.com"}
    assert audit_chain.verify() == []


def test_subscribe_gives_each_subscription_a_secret_of_its_own() -> None:
    assert subscribe().secret != subscribe(event_type="order.paid").secret


def test_subscribe_twice_is_a_conflict_and_changes_nothing() -> None:
    made = subscribe()
    with pytest.raises(verbs.SubscriptionExists):
        subscribe()
    assert WebhookSubscription.objects.get() == made.subscription
    assert Secret.objects.count() == 1


def test_subscribe_replaces_a_disabled_one() -> None:
    old = subscribe()
    verbs.disable(old.subscription, reason="gone", by="test")
    new = subscribe()
    assert WebhookSubscription.objects.get().pk == new.subscription.pk != old.subscription.pk
    assert Secret.objects.count() == 1


def test_subscribe_has_a_limit_for_each_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "MAX_SUBSCRIPTIONS", 1)
    subscribe()
    with pytest.raises(verbs.TooManySubscriptions):
        subscribe(event_type="order.paid")
    with tenant_scope(Tenant.objects.create(slug="other", name="Other").pk):
        subscribe()


def test_unsubscribe_forgets_the_secret() -> None:
    verbs.unsubscribe(subscribe().subscription, by="test")
    assert (WebhookSubscription.objects.count(), Secret.objects.count()) == (0, 0)
    assert trail()[-1] == ("test", "subscription.deleted")


def test_unsubscribe_of_what_is_gone_is_not_found() -> None:
    subscription = subscribe().subscription
    verbs.unsubscribe(subscription, by="test")
    with pytest.raises(verbs.SubscriptionNotFound):
        verbs.unsubscribe(subscription, by="test")


def test_disable_and_enable_are_audited_once_each() -> None:
    subscription = subscribe().subscription
    before = len(trail())
    for _ in range(2):
        verbs.disable(subscription, reason="told so", by="test")
    assert (subscription.is_enabled, subscription.disabled_reason) == (False, "told so")
    for _ in range(2):
        verbs.enable(subscription, by="test")
    assert (subscription.is_enabled, subscription.disabled_reason, subscription.failures) == (True, "", 0)
    assert trail()[before:] == [("test", "subscription.disabled"), ("test", "subscription.enabled")]


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/",
        "https://[::ffff:10.0.0.1]/",
        "https://localhost/",
        "https://user:pass@hooks.example.com/",
        "https://hooks.example.com/" + "x" * 1_100,
        "https://",
        "not a url",
        "",
    ],
)
def test_checked_callback_url_refuses(url: str) -> None:
    with pytest.raises(verbs.CallbackRefused) as caught:
        verbs.checked_callback_url(url)
    assert [problem.field for problem in caught.value.details] == ["callback_url"]


def test_checked_callback_url_refuses_a_name_that_leads_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.8", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: inside)
    with pytest.raises(verbs.CallbackRefused):
        verbs.checked_callback_url("https://inner.example.com/hook")


def test_checked_callback_url_lets_the_allow_list_use_http(settings: Any) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "HTTP_ALLOW": ["127.0.0.1:8123"]}
    assert verbs.checked_callback_url("http://127.0.0.1:8123/hook#x") == "http://127.0.0.1:8123/hook"
    with pytest.raises(verbs.CallbackRefused):
        verbs.checked_callback_url("http://127.0.0.1:8124/hook")
