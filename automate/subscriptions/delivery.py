"""The delivery of promised events: one signed request an attempt, on threads, as many at once as there are slots."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import orjson
from django.db import transaction

from automate.models import WebhookSubscription
from automate.subscriptions import messages, verbs
from automate.subscriptions.promises import KIND
from automate.subscriptions.results import Result, note
from automate.subscriptions.schedule import delay_after
from automate.subscriptions.slots import Slots
from automate_core import conf, metrics, sql
from automate_core.arrays import plain
from automate_core.context import tenant_scope
from automate_core.errors import AutomateError, PermanentError
from automate_core.http import request
from automate_core.models import OutboxStatus
from automate_core.outbox.base import ClaimedItem, Retry
from automate_core.outbox.handlers import OutboxHandler, Port
from automate_core.secrets import resolve

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
"""Longest wait for an answer, name lookup included."""
GONE = 410

_TARGETS = """
SELECT g.item, w.id::text, w.callback_url, w.failures > 0
FROM unnest(%(items)s::bigint[], %(subscriptions)s::uuid[], %(tenants)s::uuid[]) AS g(item, subscription, tenant)
JOIN automate_webhooksubscription w ON w.id = g.subscription AND w.tenant_id = g.tenant AND w.is_enabled
"""

_EVENTS = """
SELECT id::text, type, source, payload::text, trace_id, created_at FROM automate_event
WHERE id = ANY(%(ids)s::uuid[]) AND pruned_at IS NULL
"""


class EventGone(PermanentError):
    """The event was pruned before it could be delivered; discard the dead letter."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an item goes."""

    item: ClaimedItem
    subscription_id: str
    url: str
    failing: bool


@dataclass(frozen=True, slots=True)
class Flight:
    """A call under way."""

    target: Target
    body: bytes
    headers: Mapping[str, str]


class DeliveryHandler(OutboxHandler):
    """Delivers items of kind `delivery`. What finds no slot is given back for later, so it takes nobody's room."""

    kinds = (KIND,)

    def __init__(self, port: Port) -> None:
        super().__init__(port)
        settings = conf.get()
        # Calls never take more than half of what a worker holds: events and executions go on beside them.
        slots = max(1, min(settings.DELIVERY_SLOTS, settings.CLAIM_LIMIT // 2))
        self._slots = Slots(slots)
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="automate-delivery")
        self._flying: dict[int, Flight] = {}
        self._landed: list[Result] = []

    def handle(self, items: Sequence[ClaimedItem]) -> None:
        """Start what finds a slot, defer the rest, and drop what nobody subscribes to any more."""
        busy = [flight.target.item for flight in self._flying.values()]
        known = {(item.id, item.epoch) for item in (*busy, *(result.item for result in self._landed))}
        items = [item for item in items if (item.id, item.epoch) not in known]
        targets = _targets(items)
        taken = [
            target
            for target in targets.values()
            if self._slots.take(target.subscription_id, failing=target.failing)
        ]
        try:
            flights = self._prepared(taken)
        except BaseException:
            for target in taken:
                self._slots.give_back(target.subscription_id)
            raise
        for flight in flights:
            self._flying[flight.target.item.id] = flight
            self._pool.submit(self._fly, flight)
        started = {target.item.id for target in taken}
        self.port.store.defer(
            [
                (one.item, self._slots.wait(one.subscription_id, failing=one.failing))
                for one in targets.values()
                if one.item.id not in started
            ],
            self.port.worker,
        )
        self.port.store.complete([item for item in items if item.id not in targets], self.port.worker)

    def turn(self) -> bool:
        """Settle what was answered, in one transaction; what the database missed is settled later."""
        if not self._landed:
            return False
        landed, worker = list(self._landed), self.port.worker
        for result in landed:
            if result.status == GONE:
                _disable(result)
        done = [result.item for result in landed if result.ok or result.status == GONE]
        missed = [result for result in landed if not result.ok and result.status != GONE]
        retries = [_retry(result) for result in missed if not result.is_final]
        with transaction.atomic():
            self.port.store.complete(done, worker)
            statuses = self.port.store.retry(retries, worker)
            self.port.store.fail(
                [(result.item, result.error) for result in missed if result.is_final], worker
            )
            note(landed)
        self._landed = self._landed[len(landed) :]
        metrics.outbox_done.labels(kind=KIND).inc(len(done))
        _count(
            [
                result
                for result in missed
                if result.is_final or statuses.get(result.item.id) == OutboxStatus.FAILED
            ]
        )
        metrics.outbox_retried.inc(len(retries))
        return True

    def lost(self, item_ids: set[int]) -> None:
        """Forget calls whose lease was lost; their slots are free when they return."""
        for item_id in item_ids:
            self._flying.pop(item_id, None)
        self._landed = [result for result in self._landed if result.item.id not in item_ids]

    def close(self) -> None:
        """Leave no thread waiting for work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _prepared(self, targets: Sequence[Target]) -> list[Flight]:
        """Return the calls to make; a target whose event or secret is gone has landed, unperformed."""
        if not targets:
            return []
        ids = {str(target.item.payload["event_id"]) for target in targets}
        events = {row[0]: row for row in sql.execute(_EVENTS, {"ids": plain(sorted(ids))})}
        flights: list[Flight] = []
        unable: list[Result] = []
        for target in targets:
            row = events.get(str(target.item.payload["event_id"]))
            try:
                if row is None:
                    raise EventGone()
                with tenant_scope(target.item.tenant_id):
                    secret = resolve(f"$secret:subscription.{target.subscription_id}")
            except AutomateError as error:
                is_final = isinstance(error, EventGone)
                unable.append(Result(target.item, target.subscription_id, None, error.message, is_final))
                continue
            shown = messages.shown_event(
                id=row[0], type=row[1], source=row[2], payload=orjson.loads(row[3]), trace_id=row[4], created_at=row[5]
            )  # fmt: skip
            body = messages.body_of(shown)
            # On the database's clock, as leases are: receivers refuse the time of a worker whose clock is wrong.
            headers = messages.signed_headers(
                message_id=row[0], body=body, secret=secret, now=self.port.store.now()
            )
            flights.append(Flight(target, body, headers))
        for result in unable:
            self._slots.give_back(result.subscription_id)
            self._landed.append(result)
        return flights

    def _fly(self, flight: Flight) -> None:
        """Make the call, on a thread, and hand its result to the loop."""
        started = time.monotonic()
        item, subscription_id = flight.target.item, flight.target.subscription_id
        result: Result | None = None
        try:
            if self.port.store.holds(item):
                result = Result(item, subscription_id, *_call(flight))
        except Exception as error:
            logger.exception("delivery.crashed", extra={"subscription": subscription_id})
            result = Result(item, subscription_id, None, type(error).__name__)
        finally:
            took = time.monotonic() - started
            self.port.inbox.put(lambda: self._land(flight, result, took))

    def _land(self, flight: Flight, result: Result | None, took_seconds: float) -> None:
        item_id = flight.target.item.id
        self._slots.give_back(flight.target.subscription_id, took_seconds=took_seconds)
        if self._flying.get(item_id) is not flight:
            return
        del self._flying[item_id]
        if result is None:
            self.port.store.forget(item_id)
        else:
            self._landed.append(result)


def _targets(items: Sequence[ClaimedItem]) -> dict[int, Target]:
    if not items:
        return {}
    by_id = {item.id: item for item in items}
    rows = sql.execute(
        _TARGETS,
        {
            "items": plain(by_id),
            "subscriptions": plain(item.payload["subscription_id"] for item in items),
            "tenants": plain(item.tenant_id for item in items),
        },
    )
    found = {row[0]: Target(by_id[row[0]], row[1], row[2], row[3]) for row in rows}
    return {item.id: found[item.id] for item in items if item.id in found}


def _call(flight: Flight) -> tuple[int | None, str]:
    """Make one attempt; return the status answered (None for none) and what is wrong with it, if anything."""
    try:
        answer = request(
            "POST",
            verbs.called_url(flight.target.url),
            headers=flight.headers,
            content=flight.body,
            timeout_seconds=TIMEOUT_SECONDS,
            follow_redirects=False,
        )
    except AutomateError as error:
        said = error.details[0].message if error.details else error.message
        return None, said
    if 200 <= answer.status < 300:
        return answer.status, ""
    if 300 <= answer.status < 400:
        return answer.status, f"Answered {answer.status}; redirects are not followed, subscribe the final URL"
    return answer.status, f"Answered {answer.status}"


def _retry(result: Result) -> Retry:
    return Retry(result.item, result.error, delay_after(result.item.attempts))


def _disable(result: Result) -> None:
    found = WebhookSubscription.all_tenants.filter(pk=result.subscription_id).first()
    if found is not None:
        verbs.disable(found, reason="The receiver answered 410 Gone", by="system:delivery")


def _count(dead: Sequence[Result]) -> None:
    metrics.outbox_failed.inc(len(dead))
    for result in dead:
        logger.warning(
            "delivery.given_up",
            extra={"item": result.item.id, "subscription": result.subscription_id, "error": result.error},
        )
