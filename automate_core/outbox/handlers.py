"""The contract of delivery: what handles the items of a kind, a whole claimed batch at a time."""

from __future__ import annotations

import logging
import queue
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.db import transaction

from automate_core import metrics
from automate_core.context import tenant_scope, trace_scope
from automate_core.errors import PermanentError, TransientError
from automate_core.models import OutboxStatus
from automate_core.outbox.backoff import full_jitter
from automate_core.outbox.base import ClaimedItem, Retry
from automate_core.outbox.store import SkipLockedClaimOutboxStore
from automate_core.registry import Registry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeadItem:
    """An item that became a dead letter, and why."""

    item: ClaimedItem
    error: str


@dataclass(slots=True)
class Port:
    """What a handler gets from the drain loop: the store, the worker's name, and a way to wake the loop."""

    store: SkipLockedClaimOutboxStore
    worker: str
    inbox: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)


class OutboxHandler(ABC):
    """Delivers the items of its `kinds`. Register the class; each drain loop makes one instance.

    `handle` settles every item through the store, or keeps it in flight and settles it in a later `turn`.
    """

    kinds: ClassVar[tuple[str, ...]]

    def __init__(self, port: Port) -> None:
        self.port = port

    @abstractmethod
    def handle(self, items: Sequence[ClaimedItem]) -> None:
        """Deliver the items of one claim."""

    def turn(self) -> bool:
        """Move work in flight forward; return whether anything moved."""
        return False

    def lost(self, item_ids: set[int]) -> None:
        """Drop items whose lease was lost: nothing about them may be written any more."""

    def close(self) -> None:
        """Give back what has not started and free resources."""

    @classmethod
    def idle(cls, items: Sequence[ClaimedItem]) -> list[int]:
        """Return the ids of reaped items that were certainly not at work when their worker stopped."""
        return []

    @classmethod
    def dead(cls, items: Sequence[DeadItem]) -> None:
        """React to items given up, inside the transaction that gave them up."""

    @classmethod
    def redriven(cls, items: Sequence[ClaimedItem]) -> None:
        """React to dead letters put back, inside the transaction that put them back."""


class ItemHandler(OutboxHandler):
    """A handler that delivers item by item: raise TransientError to retry, anything else to give up."""

    def __init__(self, port: Port) -> None:
        super().__init__(port)
        self._done: list[ClaimedItem] = []
        self._retries: list[Retry] = []
        self._failures: list[tuple[ClaimedItem, str]] = []

    @abstractmethod
    def deliver(self, item: ClaimedItem) -> None:
        """Deliver one item, in its tenant and trace."""

    def handle(self, items: Sequence[ClaimedItem]) -> None:
        """Deliver each item whose lease still runs; the turn that follows settles the batch."""
        for item in items:
            if not self.port.store.holds(item):
                self.port.store.forget(item.id)
                continue
            try:
                with tenant_scope(item.tenant_id), trace_scope(item.trace_id):
                    self.deliver(item)
                self._done.append(item)
            except PermanentError as error:
                self._failures.append((item, str(error)))
            except TransientError as error:
                delay = error.retry_after_seconds or full_jitter(item.attempts)
                self._retries.append(Retry(item, str(error), delay))
            except Exception as error:
                logger.exception("outbox.delivery_failed", extra={"kind": item.kind, "item": item.id})
                self._retries.append(
                    Retry(item, f"{type(error).__name__}: {error}", full_jitter(item.attempts))
                )

    def turn(self) -> bool:
        """Settle what was delivered, in at most three statements; what the database missed is settled later."""
        if not (self._done or self._retries or self._failures):
            return False
        store, worker = self.port.store, self.port.worker
        store.complete(self._done, worker)
        for kind, count in Counter(item.kind for item in self._done).items():
            metrics.outbox_done.labels(kind=kind).inc(count)
        self._done = []
        if self._retries or self._failures:
            self._settle_the_undelivered()
        return True

    def _settle_the_undelivered(self) -> None:
        store, worker = self.port.store, self.port.worker
        with transaction.atomic():
            statuses = store.retry(self._retries, worker)
            failed = store.fail(self._failures, worker)
            dead = [DeadItem(retry.item, retry.error) for retry in self._retries]
            dead = [one for one in dead if statuses.get(one.item.id) == OutboxStatus.FAILED]
            dead += [DeadItem(item, error) for item, error in self._failures if item.id in failed]
            if dead:
                self.dead(dead)
        metrics.outbox_retried.inc(len(self._retries))
        metrics.outbox_failed.inc(len(dead))
        self._retries, self._failures = [], []


handler_registry: Registry[type[OutboxHandler]] = Registry("outbox kind")


def register_handler(handler: type[OutboxHandler]) -> type[OutboxHandler]:
    """Register a handler class under each of its kinds."""
    for kind in handler.kinds:
        handler_registry.register(kind, handler)
    return handler
