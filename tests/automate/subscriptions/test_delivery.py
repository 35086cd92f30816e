"""Events on their way to subscribers: signed, repeated by schedule, given up, and never held up by one another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from automate.events import emit_event
from automate.models import Event, WebhookSubscription
from automate.subscriptions import verbs
from automate.subscriptions.schedule import MAX_ATTEMPTS, SCHEDULE_SECONDS
from automate.subscriptions.slots import PER_SUBSCRIPTION
from automate.webhooks.signatures import SignatureRefused, verify
from automate_core import audit_chain
from automate_core.context import tenant_scope
from automate_core.models import AuditEntry, OutboxItem, OutboxStatus, Tenant
from automate_core.outbox import SkipLockedClaimOutboxStore, deadletters
from automate_core.outbox.drain import Drain
from automate_core.secrets import resolve
from tests.factories.engine import drain, lose_workers, wake
from tests.factories.receiver import PATIENCE_SECONDS, Call, Receiver
from tests.factories.wire import traffic

pytestmark = pytest.mark.django_db(transaction=True)

Subscribed = Callable[..., WebhookSubscription]


def deliveries() -> Any:
    return OutboxItem.all_tenants.filter(kind="delivery").order_by("id")


def secret_of(subscription: WebhookSubscription) -> bytes:
    return resolve(f"$secret:{subscription.secret_name}").encode()


def is_signed(call: Call, secret: bytes) -> bool:
    try:
        verify(
            "standard-webhooks",
            secrets=[secret],
            headers=call.headers,
            body=call.body,
            now=float(call.headers["webhook-timestamp"]),
        )
    except SignatureRefused:
        return False
    return True


def turn_until(drain: Drain, reached: Callable[[], bool]) -> None:
    deadline = timezone.now() + timedelta(seconds=PATIENCE_SECONDS)
    while not reached():
        assert timezone.now() < deadline
        drain.turn()
        drain._hear(timeout=0.01)


def test_event_is_delivered_signed_and_redacted(receiver: Receiver, subscribed: Subscribed) -> None:
    subscription, stranger = subscribed(), subscribed("/other", "order.*")
    event_id = str(emit_event("order.created", {"n": 1, "password": "hunter22"}))
    drain()
    (call,) = receiver.calls_to("/hook")
    event = Event.objects.get()
    assert call.event == {
        "id": event_id,
        "type": "order.created",
        "source": "",
        "payload": {"n": 1, "password": "***REDACTED***"},
        "trace_id": event.trace_id,
        "created_at": event.created_at.isoformat().replace("+00:00", "Z"),
    }
    assert (call.headers["webhook-id"], call.headers["content-type"]) == (event_id, "application/json")
    assert is_signed(call, secret_of(subscription))
    assert not is_signed(call, secret_of(stranger))
    assert len(receiver.calls_to("/other")) == 1
    subscription.refresh_from_db()
    assert (subscription.last_status, subscription.last_error, subscription.failures) == (200, "", 0)
    assert subscription.last_success_at == subscription.last_attempt_at is not None
    assert not OutboxItem.all_tenants.exists()


def test_only_subscribed_types_of_the_same_tenant_are_delivered(
    receiver: Receiver, subscribed: Subscribed
) -> None:
    other = Tenant.objects.create(slug="other", name="Other")
    subscribed("/ours", "order.*")
    with tenant_scope(other.pk):
        subscribed("/theirs", "*")
    emit_event("order.created", {})
    emit_event("invoice.created", {})
    drain()
    assert [(call.path, call.event["type"]) for call in receiver.calls] == [("/ours", "order.created")]


def test_event_rolled_back_is_not_delivered(receiver: Receiver, subscribed: Subscribed) -> None:
    subscribed()
    with transaction.atomic():
        emit_event("order.created", {})
        transaction.set_rollback(True)
    drain()
    assert receiver.calls == []


def test_tenant_without_subscriptions_costs_no_statement(receiver: Receiver, subscribed: Subscribed) -> None:
    def statements_of_a_dispatch() -> list[str]:
        emit_event("order.created", {})
        worker = Drain()
        with traffic() as seen:
            worker.run_until_empty()
        return [one for one in seen.statements if "FROM automate_webhooksubscription" in one]

    (only,) = statements_of_a_dispatch()
    assert "FROM automate_event e" in only
    subscribed("/other", "invoice.*")
    assert len(statements_of_a_dispatch()) == 2


def test_failed_attempts_follow_the_schedule_and_end_as_a_dead_letter(
    receiver: Receiver, subscribed: Subscribed
) -> None:
    subscription = subscribed()
    receiver.statuses["/hook"] = 500
    emit_event("order.created", {})
    for attempt in range(1, MAX_ATTEMPTS + 1):
        before = timezone.now()
        drain()
        item = deliveries().get()
        assert (item.attempts, len(receiver.calls)) == (attempt, attempt)
        if attempt < MAX_ATTEMPTS:
            assert item.status == OutboxStatus.PENDING
            nominal = SCHEDULE_SECONDS[attempt]
            after = timezone.now()
            earliest, latest = (item.available_at - moment for moment in (after, before))
            assert latest >= timedelta(seconds=0.9 * nominal)
            assert earliest <= timedelta(seconds=1.1 * nominal)
            wake()
    assert (item.status, item.error) == (OutboxStatus.FAILED, "Answered 500")
    subscription.refresh_from_db()
    assert (subscription.last_status, subscription.failures, subscription.is_enabled) == (500, 8, True)
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert all(is_signed(call, secret_of(subscription)) for call in receiver.calls)


def test_each_attempt_has_a_timestamp_and_signature_of_its_own(
    receiver: Receiver, subscribed: Subscribed, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = subscribed()
    receiver.statuses["/hook"] = 503
    emit_event("order.created", {})
    for now in (1_700_000_000.0, 1_700_000_005.0):
        monkeypatch.setattr(SkipLockedClaimOutboxStore, "now", lambda store, now=now: now)
        drain()
        wake()
    first, second = receiver.calls
    assert (first.headers["webhook-timestamp"], second.headers["webhook-timestamp"]) == (
        "1700000000",
        "1700000005",
    )
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert first.body == second.body
    assert is_signed(second, secret_of(subscription))


def test_dead_letter_is_delivered_when_redriven(receiver: Receiver, subscribed: Subscribed) -> None:
    subscribed()
    receiver.statuses["/hook"] = 404
    emit_event("order.created", {})
    for _ in range(MAX_ATTEMPTS):
        drain()
        wake()
    (dead,) = deadletters.dead_letters(kind="delivery")
    receiver.statuses["/hook"] = 204
    calls = len(receiver.calls)
    assert [item.id for item in deadletters.redrive([dead.id], by="test")] == [dead.id]
    drain()
    assert len(receiver.calls) == calls + 1
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert not deliveries().exists()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_a_failure_and_not_followed(
    receiver: Receiver, subscribed: Subscribed, status: int
) -> None:
    subscription = subscribed()
    receiver.statuses["/hook"] = status
    emit_event("order.created", {})
    drain()
    assert [call.path for call in receiver.calls] == ["/hook"]
    subscription.refresh_from_db()
    assert (subscription.last_status, subscription.failures) == (status, 1)
    assert deliveries().get().attempts == 1


def test_gone_disables_the_subscription_and_drops_what_was_promised(
    receiver: Receiver, subscribed: Subscribed
) -> None:
    subscription = subscribed()
    receiver.statuses["/hook"] = 500
    emit_event("order.created", {"n": 1})
    drain()
    receiver.statuses["/hook"] = 410
    emit_event("order.created", {"n": 2})
    drain()
    subscription.refresh_from_db()
    assert (subscription.is_enabled, subscription.last_status) == (False, 410)
    assert subscription.disabled_reason == "The receiver answered 410 Gone"
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.actor, entry.action) == ("system:delivery", "subscription.disabled")
    wake()
    emit_event("order.created", {"n": 3})
    drain()
    assert [call.event["payload"]["n"] for call in receiver.calls] == [1, 2]
    assert not deliveries().exists()
    assert audit_chain.verify() == []


def test_what_happens_while_a_subscription_is_off_is_never_delivered_to_it(
    receiver: Receiver, subscribed: Subscribed
) -> None:
    off = subscribed("/off")
    subscribed("/on")
    verbs.disable(off, reason="off", by="test")
    emit_event("order.created", {})
    Drain(kinds=["event", "execution"]).run_until_empty()
    verbs.enable(off, by="test")
    drain()
    assert [call.path for call in receiver.calls] == ["/on"]


def test_unsubscribed_url_gets_nothing_that_was_promised(receiver: Receiver, subscribed: Subscribed) -> None:
    subscription = subscribed()
    receiver.statuses["/hook"] = 500
    emit_event("order.created", {})
    drain()
    verbs.unsubscribe(subscription, by="test")
    wake()
    drain()
    assert len(receiver.calls) == 1
    assert not deliveries().exists()


def test_address_is_checked_at_every_attempt(
    receiver: Receiver, subscribed: Subscribed, settings: Any
) -> None:
    subscription = subscribed()
    settings.AUTOMATE = {**settings.AUTOMATE, "HTTP_ALLOW": []}
    emit_event("order.created", {})
    drain()
    subscription.refresh_from_db()
    assert receiver.calls == []
    assert (subscription.last_status, subscription.failures) == (None, 1)
    assert "not public" in subscription.last_error
    assert deliveries().get().status == OutboxStatus.PENDING


def test_slow_callback_holds_up_only_itself(
    receiver: Receiver, subscribed: Subscribed, settings: Any
) -> None:
    subscribed("/slow")
    subscribed("/quick", "invoice.paid")
    receiver.held.add("/slow")
    for n in range(30):
        emit_event("order.created", {"n": n})
    worker = Drain()
    turn_until(worker, lambda: len(receiver.calls_to("/slow")) == PER_SUBSCRIPTION)
    for n in range(20):
        emit_event("invoice.paid", {"n": n})
    turn_until(worker, lambda: len(receiver.calls_to("/quick")) == 20)
    assert len(receiver.calls_to("/slow")) == PER_SUBSCRIPTION
    assert worker.store.held_count() <= PER_SUBSCRIPTION + 20
    receiver.release.set()
    for _ in range(20):
        worker.run_until_empty()
        if not deliveries().exists():
            break
        wake()
        worker = Drain()
    assert sorted(call.event["payload"]["n"] for call in receiver.calls_to("/slow")) == list(range(30))
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == len(receiver.calls) == 50


def test_calls_at_once_never_exceed_the_slots(
    receiver: Receiver, subscribed: Subscribed, settings: Any
) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "DELIVERY_SLOTS": 3}
    receiver.held |= {f"/h{n}" for n in range(6)}
    for n in range(6):
        subscribed(f"/h{n}")
    emit_event("order.created", {})
    worker = Drain()
    turn_until(worker, lambda: receiver.under_way == 3)
    assert worker.store.held_count() == 3
    assert deliveries().filter(status=OutboxStatus.PENDING, attempts=0).count() == 3
    receiver.release.set()
    for _ in range(20):
        worker.run_until_empty()
        if not deliveries().exists():
            break
        wake()
        worker = Drain()
    assert (len(receiver.calls), receiver.most_under_way) == (6, 3)


def test_event_dispatched_again_is_not_promised_again(receiver: Receiver, subscribed: Subscribed) -> None:
    subscribed()
    receiver.statuses["/hook"] = 500
    emit_event("order.created", {})
    drain()
    event = Event.objects.get()
    OutboxItem.objects.create(kind="event", payload={"event_id": str(event.id)})
    drain()
    assert deliveries().count() == 1


def test_delivery_of_a_lost_worker_is_made_again_under_its_id(
    receiver: Receiver, subscribed: Subscribed
) -> None:
    subscribed()
    receiver.held.add("/hook")
    emit_event("order.created", {})
    worker = Drain()
    turn_until(worker, lambda: len(receiver.calls) == 1)
    assert lose_workers() == 1
    receiver.held.clear()
    drain()
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert not deliveries().exists()
    receiver.release.set()
    turn_until(worker, lambda: not worker._handlers["delivery"]._slots._taken)
    worker.run_until_empty()
    assert not OutboxItem.all_tenants.exists()


def test_pruned_event_is_a_dead_letter_at_once(receiver: Receiver, subscribed: Subscribed) -> None:
    subscribed()
    receiver.statuses["/hook"] = 500
    emit_event("order.created", {})
    drain()
    Event.objects.update(pruned_at=timezone.now())
    wake()
    drain()
    item = deliveries().get()
    assert (item.status, len(receiver.calls)) == (OutboxStatus.FAILED, 1)
    assert item.error.startswith("The event was pruned")
