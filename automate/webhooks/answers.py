"""Deliveries that wait for an answer: one look for all of them, over one connection, and only while there are any."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from enum import StrEnum
from weakref import WeakKeyDictionary

import psycopg

from automate.webhooks.respond import Answer
from automate_core import conf, sql
from automate_core.outbox.statements import TABLE as OUTBOX

logger = logging.getLogger(__name__)

SOON_SECONDS = 0.01
LATE_SECONDS = 0.25
"""Shortest and longest time between two looks for one answer; a tenth of how long it has been waited for."""
PATIENCE_SECONDS = 0.1
"""How long an event may take to start something before it is asked whether it ever will."""
QUERY_SHARE = 5
"""Of the time, looks for answers take at most one part in so many; the queue is read ten times less."""
KEEP_SECONDS = 30.0
"""How long the connection outlives the last who waited."""
BROKEN_SECONDS = 1.0

# A replay says nothing to a sender; of several answers the first one counts, for repeats too.
_LOOK = """
SELECT w.id::text, answered.output, started.open
FROM unnest(%(ids)s::uuid[], %(tenants)s::uuid[]) AS w(id, tenant_id)
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE e.finished_at IS NULL) AS open FROM automate_execution e
  WHERE e.event_id = w.id AND e.tenant_id = w.tenant_id AND e.replay_of_id IS NULL) AS started
LEFT JOIN LATERAL (
  SELECT s.output_data::text AS output FROM automate_execution e JOIN automate_steprun s ON s.execution_id = e.id
  WHERE e.event_id = w.id AND e.tenant_id = w.tenant_id AND e.replay_of_id IS NULL
    AND s.node_type IN ('respond', 'http-response', 'http_response') AND s.status = 'SUCCESS'
  ORDER BY s.finished_at, s.seq LIMIT 1) AS answered ON true
"""

_UNDISPATCHED = f"""
SELECT payload ->> 'event_id' FROM {OUTBOX}
WHERE kind = 'event' AND status IN ('PENDING', 'CLAIMED') AND payload ->> 'event_id' = ANY(%(ids)s)
"""


class Silence(StrEnum):
    """Why there is no answer."""

    NONE = "none"
    """What the event started, if anything, has ended without one."""
    TIMEOUT = "timeout"
    BUSY = "busy"
    """Too many deliveries wait already."""


class Waiting:
    """One delivery that waits."""

    def __init__(self, event_id: str, tenant_id: str, now: float) -> None:
        self.event_id = event_id
        self.tenant_id = tenant_id
        self.since = self.look_at = now
        self.is_dispatched = False
        self.told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def tell(self, recorded: str | None) -> None:
        """Give the recorded answer, or None when there will be none."""
        if not self.told.done():
            self.told.set_result(recorded)


class Answers:
    """Looks for the answers to deliveries of one event loop."""

    def __init__(self) -> None:
        self._waiting: set[Waiting] = set()
        self._joined = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: psycopg.AsyncConnection | None = None
        self._queue_look_at = 0.0

    async def wait(self, event_id: str, *, tenant_id: str, seconds: float) -> Answer | Silence:
        """Return the first answer an execution of the event gives within `seconds`, or why there is none."""
        if len(self._waiting) >= conf.get().MAX_WAITING_ANSWERS:
            return Silence.BUSY
        waiting = Waiting(event_id, tenant_id, time.monotonic())
        self._waiting.add(waiting)
        self._joined.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_on())
        try:
            async with asyncio.timeout(seconds):
                recorded = await waiting.told
        except TimeoutError:
            return Silence.TIMEOUT
        finally:
            self._waiting.discard(waiting)
        return Silence.NONE if recorded is None else Answer.of(recorded)

    async def _look_on(self) -> None:
        try:
            while self._waiting or await self._is_joined(within=KEEP_SECONDS):
                try:
                    pause = await self._look()
                except psycopg.Error:
                    logger.warning("webhook.answers_unreadable", exc_info=True)
                    pause = BROKEN_SECONDS
                await asyncio.sleep(pause)
                if self._waiting:
                    soonest = min(waiting.look_at for waiting in self._waiting)
                    await self._is_joined(within=soonest - time.monotonic())
        finally:
            # Whoever joins while the connection closes starts anew.
            self._task = None
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    async def _is_joined(self, *, within: float) -> bool:
        """Wait for a delivery that begins to wait; tell whether one does in time."""
        self._joined.clear()
        if within <= 0:
            return False
        try:
            async with asyncio.timeout(within):
                return await self._joined.wait()
        except TimeoutError:
            return False

    async def _look(self) -> float:
        """Look for the answers that are due; return how long to leave the database alone."""
        connection = await self._connected()
        started = time.monotonic()
        due = [waiting for waiting in self._waiting if waiting.look_at <= started]
        if not due:
            return 0.0
        params = {"ids": [one.event_id for one in due], "tenants": [one.tenant_id for one in due]}
        rows = await (await connection.execute(_LOOK, params)).fetchall()
        found = {event_id: (output, still_open) for event_id, output, still_open in rows}
        ended: list[Waiting] = []
        now = time.monotonic()
        for waiting in due:
            recorded, still_open = found[waiting.event_id]
            if recorded is not None or (waiting.is_dispatched and not still_open):
                waiting.tell(recorded)
                continue
            if not still_open:
                ended.append(waiting)
            waiting.look_at = now + min(max((now - waiting.since) / 10, SOON_SECONDS), LATE_SECONDS)
        await self._ask_queue([one for one in ended if now - one.since >= PATIENCE_SECONDS])
        return max(SOON_SECONDS, QUERY_SHARE * (now - started))

    async def _ask_queue(self, waiting: Collection[Waiting]) -> None:
        """Note whose events were dispatched: all they start is there to see from then on.

        No index finds the item of an event, for each would burden every event; so this is asked seldom.
        """
        started = time.monotonic()
        if not waiting or started < self._queue_look_at:
            return
        connection = await self._connected()
        params = {"ids": [one.event_id for one in waiting]}
        pending = {row[0] for row in await (await connection.execute(_UNDISPATCHED, params)).fetchall()}
        now = time.monotonic()
        for one in waiting:
            if one.event_id not in pending:
                one.is_dispatched, one.look_at = True, now
        self._queue_look_at = now + 10 * QUERY_SHARE * (now - started)

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._connection = await psycopg.AsyncConnection.connect(**sql.connect_params(), autocommit=True)
        return self._connection


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Answers] = WeakKeyDictionary()


def current() -> Answers:
    """Return the answers of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _by_loop:
        _by_loop[loop] = Answers()
    return _by_loop[loop]
