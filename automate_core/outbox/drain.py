"""The drain loop: claim a batch, hand it to its handlers, move work in flight forward, wait for the doorbell."""

from __future__ import annotations

import itertools
import logging
import os
import queue
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from automate_core import conf, metrics
from automate_core.models import OutboxStatus
from automate_core.outbox import doorbell
from automate_core.outbox.backoff import full_jitter
from automate_core.outbox.base import ClaimedItem, Retry
from automate_core.outbox.handlers import DeadItem, OutboxHandler, Port, handler_registry
from automate_core.outbox.reaper import bury
from automate_core.outbox.store import SkipLockedClaimOutboxStore

logger = logging.getLogger(__name__)

ALERT_POLL_SECONDS = 0.005
"""How often an alert worker looks; in the first moments after something happened, more often still."""
BUSY_POLL_SECONDS = 0.002
BUSY_SECONDS = 0.25
SUSPECT_TURN_SECONDS = 0.25
"""How long other work has its turn after a suspect that runs on, or when there is no suspect to be had."""
SUSPECT_PATIENCE_SECONDS = 3.0
"""How long a suspect waits for a worker with nothing else in hand, which cannot drag others down."""
SUSPECT_WATCH_SECONDS = 0.5
"""How long a suspect must have run before its worker claims anything beside it."""
_worker_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Ring:
    """Put in the inbox when the doorbell rang."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Put in the inbox when a heartbeat found leases gone."""

    item_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Watch:
    """A suspect under watch: until it has run for a while, or to its end when it has no claim left.

    So a poison item takes at most its first two workers' other items down with it, and nothing that still has
    a claim left becomes a dead letter because of it; yet a long call of a suspect holds up nobody.
    """

    item: ClaimedItem
    beside: int
    until: float

    @classmethod
    def over(cls, item: ClaimedItem, *, beside: int, now: float) -> Watch:
        """Begin to watch `item`, claimed beside so many others."""
        last = item.attempts >= item.max_attempts
        return cls(item, beside, float("inf") if last else now + SUSPECT_WATCH_SECONDS)

    def runs(self, held: int, store: SkipLockedClaimOutboxStore) -> bool:
        """Tell whether the item, or what came of it, is still in hand."""
        return store.holds(self.item) or held > self.beside


def worker_name() -> str:
    """Return a name no other drain loop has or had: host, process, start time and a number."""
    return f"{socket.gethostname()[:60]}-{os.getpid()}-{time.time_ns():x}-{next(_worker_numbers)}"


class Drain:
    """Drains the outbox in one thread.

    Args:
        worker: name that owns the leases; must be unique to this loop.
        kinds: outbox kinds to claim; all registered ones when None.
        limit: most items held at a time; `AUTOMATE["CLAIM_LIMIT"]` when None.
        lease_seconds: lease of a claim; `AUTOMATE["LEASE_SECONDS"]` when None.
    """

    def __init__(
        self,
        *,
        worker: str | None = None,
        kinds: Sequence[str] | None = None,
        limit: int | None = None,
        lease_seconds: float | None = None,
    ) -> None:
        settings = conf.get()
        self.worker = worker or worker_name()
        self.kinds = tuple(kinds if kinds is not None else handler_registry)
        self.limit = limit or settings.CLAIM_LIMIT
        self.store = SkipLockedClaimOutboxStore(lease_seconds or settings.LEASE_SECONDS, kinds=self.kinds)
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.healthy = True
        self._stopping = False
        self._poll_seconds = settings.POLL_SECONDS
        self._handlers = self._make_handlers()
        self._unhanded: list[tuple[OutboxHandler, list[ClaimedItem]]] = []
        self._watched: Watch | None = None
        self._alert_until = 0.0
        self._suspect_turn_at = time.monotonic() + SUSPECT_TURN_SECONDS

    def run(self, stop: threading.Event) -> None:
        """Drain until `stop` is set, then finish what is in flight; survives a database that goes away."""
        pause = 0.1
        while not stop.is_set() or self.store.held_count():
            self._stopping = stop.is_set()
            try:
                moved = self.turn()
                pause = 0.1
            except (OperationalError, InterfaceError) as error:
                logger.warning("drain.database_lost", extra={"error": str(error).strip()})
                connection.close()
                time.sleep(pause)
                pause = min(2.0, pause * 2)
                continue
            if moved:
                self._alert_until = time.monotonic() + doorbell.ALERT_SECONDS
            else:
                self.wait(stop)
        self.close()

    def run_until_empty(self, *, max_seconds: float = 50.0) -> None:
        """Drain until nothing is ready or the time is over; then finish what is in flight.

        A call left behind would count as one of a lost worker, and end as of unknown outcome.
        """
        deadline = time.monotonic() + max_seconds
        looked = False
        while True:
            self._stopping = time.monotonic() >= deadline
            if self.turn():
                looked = False
            elif self.store.held_count():
                self._hear(timeout=0.05)
            elif looked or self._stopping:
                break
            else:
                self.store.look_soon()
                looked = True
        self.close()

    def turn(self) -> bool:
        """Do one round: news, work in flight, one claim; return whether anything moved.

        What is claimed while other work moves starts with the next round, which follows at once: what both have to
        record is then one commit instead of two.
        """
        while self._hear(timeout=0):
            pass
        self._hand_out_rest()
        moved = self._turn_handlers()
        items = self._claim() if self.healthy and not self._stopping else []
        if items:
            self._hand_out(items)
            if not moved:
                self._turn_handlers()
        return moved or bool(items)

    def wait(self, stop: threading.Event) -> None:
        """Sleep until something arrives: a few milliseconds when alert, else the poll interval with jitter."""
        left = self._alert_until - time.monotonic()
        if left > doorbell.ALERT_SECONDS - BUSY_SECONDS:
            self._hear(timeout=BUSY_POLL_SECONDS)
        elif left > 0:
            self._hear(timeout=ALERT_POLL_SECONDS)
        else:
            self._hear(timeout=self._poll_seconds * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load

    def close(self) -> None:
        """Let every handler give back what it has not started."""
        for handler in self._handlers.values():
            handler.close()

    def _make_handlers(self) -> dict[str, OutboxHandler]:
        port = Port(self.store, self.worker, self.inbox)
        made: dict[type[OutboxHandler], OutboxHandler] = {}
        for kind in self.kinds:
            handler = handler_registry.get(kind)
            made.setdefault(handler, handler(port))
        return {kind: made[handler_registry.get(kind)] for kind in self.kinds}

    def _hear(self, *, timeout: float) -> bool:
        try:
            news = self.inbox.get(timeout=timeout) if timeout else self.inbox.get_nowait()
        except queue.Empty:
            return False
        if isinstance(news, Ring):
            self.store.look_soon()
            self._alert_until = time.monotonic() + doorbell.ALERT_SECONDS
        elif isinstance(news, Lost):
            self._lose({item_id for item_id in news.item_ids if not self.store.has_again(item_id)})
        else:
            news()
        return True

    def _lose(self, item_ids: set[int]) -> None:
        logger.warning("outbox.lease_lost", extra={"worker": self.worker, "items": sorted(item_ids)})
        metrics.lease_lost.inc(len(item_ids))
        for item_id in item_ids:
            self.store.forget(item_id)
        for handler in set(self._handlers.values()):
            handler.lost(item_ids)

    def _turn_handlers(self) -> bool:
        return sum(handler.turn() for handler in set(self._handlers.values())) > 0

    def _claim(self) -> list[ClaimedItem]:
        """Claim what there is room for. A suspect comes alone, and nothing is claimed while it is watched."""
        now, held = time.monotonic(), self.store.held_count()
        if self._watched and self._watched.runs(held, self.store):
            if now < self._watched.until:
                return []
            self._suspect_turn_at = now + SUSPECT_TURN_SECONDS
        self._watched = None
        room = self.limit - held
        if room <= 0:
            return []
        items: list[ClaimedItem] = []
        if self.store.suspects_waiting and now >= self._suspect_turn_at:
            waited = SUSPECT_PATIENCE_SECONDS if held else 0.0
            items = self.store.claim_suspect(self.worker, waited_seconds=waited)
            if not items:
                self._suspect_turn_at = now + SUSPECT_TURN_SECONDS
        if not items:
            items = self._claim_batch(room, suspects=not held)
        if items and items[0].suspect:
            self._watched = Watch.over(items[0], beside=held, now=now)
        return items

    def _claim_batch(self, room: int, *, suspects: bool) -> list[ClaimedItem]:
        started = time.perf_counter()
        items = self.store.claim_batch(self.worker, room, suspects=suspects)
        if items:
            metrics.claim_seconds.observe(time.perf_counter() - started)
        return items

    def _hand_out(self, items: list[ClaimedItem]) -> None:
        logger.debug("outbox.claimed", extra={"count": len(items)})
        for kind, count in Counter(item.kind for item in items).items():
            metrics.outbox_claimed.labels(kind=kind).inc(count)
        by_handler: dict[OutboxHandler, list[ClaimedItem]] = {}
        for item in items:
            by_handler.setdefault(self._handlers[item.kind], []).append(item)
        self._unhanded.extend(by_handler.items())
        self._hand_out_rest()

    def _hand_out_rest(self) -> None:
        """Hand out what is claimed; a batch whose handler lost the database is handed out again, not forgotten."""
        while self._unhanded:
            handler, batch = self._unhanded[0]
            self._handle(handler, [item for item in batch if self.store.holds(item)])
            del self._unhanded[0]
            for item in batch:
                if not self.store.holds(item):
                    self.store.forget(item.id)

    def _handle(self, handler: OutboxHandler, items: list[ClaimedItem]) -> None:
        """Hand a batch to its handler; an item it cannot even take is given back, not the whole worker lost."""
        try:
            handler.handle(items)
        except DatabaseError:
            raise
        except Exception as error:
            logger.exception("outbox.handler_failed", extra={"items": [item.id for item in items]})
            if len(items) > 1:
                for item in items:
                    self._handle(handler, [item])
            else:
                self._give_back(items[0], f"{type(error).__name__}: {error}")

    def _give_back(self, item: ClaimedItem, reason: str) -> None:
        with transaction.atomic():
            retry = Retry(item, reason, full_jitter(item.attempts))
            if self.store.retry([retry], self.worker).get(item.id) == OutboxStatus.FAILED:
                bury([DeadItem(item, reason)])
