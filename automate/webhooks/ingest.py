"""Group commit of ingested events: whatever arrives while one commit runs is stored by the next, in one statement."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import psycopg

from automate.emission import EMIT, FIND, Emitted, NewEvent, batch_params, params_to_find
from automate_core import conf, sql
from automate_core.errors import ErrorCodes, TransientError
from automate_core.outbox import doorbell
from automate_core.outbox.statements import TABLE as OUTBOX

logger = logging.getLogger(__name__)

BATCH = 500
WAITING_LIMIT = 10_000
FULL_LOOK_SECONDS = 5.0

FULL = f"""
SELECT tenant_id::text FROM {OUTBOX} WHERE status = 'PENDING' AND available_at <= clock_timestamp()
GROUP BY tenant_id HAVING count(*) > %(limit)s
"""


class IngestUnavailable(TransientError):
    """The event could not be stored just now; send it again."""

    code = ErrorCodes.SERVICE_UNAVAILABLE


class QueueFull(TransientError):
    """The queue of this tenant is full; send it again later."""

    code = ErrorCodes.RATE_LIMITED


class Ingest:
    """Stores events of one event loop over one connection of its own; the answer waits for the commit."""

    def __init__(self) -> None:
        self._waiting: list[tuple[NewEvent, asyncio.Future[Emitted]]] = []
        self._connection: psycopg.AsyncConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._full: frozenset[str] = frozenset()
        self._look_at = 0.0

    async def put(self, event: NewEvent) -> Emitted:
        """Store an event durably; raises IngestUnavailable when that did not work."""
        if len(self._waiting) >= WAITING_LIMIT:
            raise IngestUnavailable(
                "Too many events are waiting to be stored; send it again", retry_after_seconds=1
            )
        if event.tenant_id in self._full:
            raise QueueFull(retry_after_seconds=FULL_LOOK_SECONDS)
        stored: asyncio.Future[Emitted] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, stored))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._store_waiting())
        return await stored

    async def _store_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                emitted = await self._store([event for event, _ in batch])
            except Exception as error:  # noqa: BLE001 - every waiting request gets its answer
                await self._after_failure(batch, error)
                continue
            for (_, stored), one in zip(batch, emitted, strict=True):
                if not stored.done():
                    stored.set_result(one)
            await self._ring()
            await self._look_for_full_queues()

    async def _after_failure(
        self, batch: list[tuple[NewEvent, asyncio.Future[Emitted]]], error: Exception
    ) -> None:
        """Answer for a batch that failed; one event the database refuses must not refuse its neighbours."""
        refused = isinstance(error, psycopg.DataError | psycopg.IntegrityError)
        if refused and len(batch) > 1:
            for event, stored in batch:
                try:
                    (one,) = await self._store([event])
                except psycopg.Error as alone:
                    _refuse(stored, alone)
                else:
                    if not stored.done():
                        stored.set_result(one)
            return
        if not refused:
            logger.error("ingest.failed", exc_info=error, extra={"count": len(batch)})
        for _, stored in batch:
            _refuse(stored, error)

    async def _store(self, events: Sequence[NewEvent]) -> list[Emitted]:
        connection = await self._connected()
        params = batch_params(events)
        made = {row[0] for row in await (await connection.execute(EMIT, params)).fetchall()}
        emitted = [Emitted(event.id, created=True) if event.id in made else None for event in events]
        if None in emitted:
            rows = await (await connection.execute(FIND, params_to_find(params))).fetchall()
            found: dict[int, str] = dict(rows)
            emitted = [one or Emitted(found[place + 1], created=False) for place, one in enumerate(emitted)]
        return [one for one in emitted if one is not None]

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._connection = await psycopg.AsyncConnection.connect(**sql.connect_params(), autocommit=True)
        return self._connection

    async def _ring(self) -> None:
        if not doorbell.is_due():
            return
        if doorbell.has_others():
            await asyncio.to_thread(doorbell.ring_others)
        try:
            await (await self._connected()).execute(doorbell.NOTIFY, (doorbell.CHANNEL,))
        except psycopg.Error:
            logger.warning("outbox.ring_failed", exc_info=True)

    async def _look_for_full_queues(self) -> None:
        """Every few seconds, and never more than a fiftieth of the time, find tenants with too long a queue."""
        started = time.monotonic()
        if started < self._look_at:
            return
        try:
            connection = await self._connected()
            rows = await (await connection.execute(FULL, {"limit": conf.get().MAX_QUEUE})).fetchall()
            self._full = frozenset(row[0] for row in rows)
        except psycopg.Error:
            logger.warning("ingest.queue_look_failed", exc_info=True)
        took = time.monotonic() - started
        self._look_at = time.monotonic() + max(FULL_LOOK_SECONDS, 50 * took)


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Ingest] = WeakKeyDictionary()


def current() -> Ingest:
    """Return the ingest of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _by_loop:
        _by_loop[loop] = Ingest()
    return _by_loop[loop]


def _refuse(stored: asyncio.Future[Emitted], error: Exception) -> None:
    if stored.done():
        return
    failure = IngestUnavailable(
        "The event could not be stored just now; send it again", retry_after_seconds=1
    )
    failure.__cause__ = error
    stored.set_exception(failure)
