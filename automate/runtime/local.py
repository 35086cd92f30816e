"""Runs one execution here and now, under the same lease a worker would take."""

from __future__ import annotations

import queue
import time
from uuid import UUID

from django.core.exceptions import ValidationError

from automate.enums import ExecutionStatus
from automate.models import Execution
from automate.runtime.engine import Engine
from automate_core import conf, sql
from automate_core.outbox import statements
from automate_core.outbox.base import ClaimedItem
from automate_core.outbox.drain import worker_name
from automate_core.outbox.handlers import Port
from automate_core.outbox.store import SkipLockedClaimOutboxStore

POLL_SECONDS = 0.05

# Leases the waiting item of one execution, or makes one when there is none; no row while somebody else has it.
_TAKE_EXECUTION = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
held AS MATERIALIZED (
  SELECT id, status, available_at FROM {statements.TABLE}
  WHERE kind = 'execution' AND status <> 'FAILED' AND payload ->> 'execution_id' = %(execution)s),
taken AS (
  UPDATE {statements.TABLE} o SET {statements.TAKE} FROM clock, held
  WHERE o.id = held.id AND o.status = 'PENDING' AND o.available_at <= clock.now
  RETURNING {statements.COLUMNS}),
made AS (
  INSERT INTO {statements.TABLE} AS o (
    tenant_id, kind, payload, max_attempts, status, attempts, lease_owner, lease_epoch,
    lease_renewed_at, lease_expires_at, trace_id)
  SELECT x.tenant_id, 'execution', jsonb_build_object('execution_id', x.id), %(max_attempts)s, 'CLAIMED', 1,
    %(worker)s, 1, clock.now, clock.now + make_interval(secs => %(lease)s), x.trace_id
  FROM automate_execution x, clock
  WHERE x.id = %(execution)s::uuid AND x.held_at IS NULL AND x.status <> 'WAITING'
    AND NOT EXISTS (SELECT 1 FROM held)
  RETURNING {statements.COLUMNS})
SELECT * FROM taken UNION ALL SELECT * FROM made
"""


class Runtime:
    """Runs executions in the calling thread.

    Args:
        patience_seconds: how long `run_execution` waits for an execution that waits (for a retry, a delay, or
            another worker) before it returns and leaves the rest to the workers.
    """

    def __init__(self, patience_seconds: float = 300.0) -> None:
        self._patience_seconds = patience_seconds

    def run_execution(self, execution_id: UUID | str) -> None:
        """Run an execution to its end: SUCCESS, FAILED or CANCELLED.

        Args:
            execution_id: UUID of the execution, or its text.

        Raises:
            Execution.DoesNotExist: there is no such execution.
        """
        deadline = time.monotonic() + self._patience_seconds
        while not ExecutionStatus(self._status(execution_id)).is_terminal:
            item = self._take(execution_id)
            if item is not None:
                self._run(item)
            if time.monotonic() > deadline:
                return
            if item is None:
                time.sleep(POLL_SECONDS)

    def _status(self, execution_id: UUID | str) -> str:
        try:
            status: str = Execution.all_tenants.values_list("status", flat=True).get(pk=execution_id)
        except (ValidationError, Execution.DoesNotExist):
            raise Execution.DoesNotExist(f"There is no execution {execution_id!r}") from None
        return status

    def _take(self, execution_id: UUID | str) -> ClaimedItem | None:
        """Lease the execution's outbox item, making one if there is none; None while it cannot be had."""
        self._store = SkipLockedClaimOutboxStore(conf.get().LEASE_SECONDS)
        self._worker = worker_name()
        params = {
            "worker": self._worker,
            "lease": self._store.lease_seconds,
            "execution": str(execution_id),
            "max_attempts": conf.get().MAX_CLAIMS,
        }
        rows = sql.execute(_TAKE_EXECUTION, params)
        if not rows:
            return None
        item = ClaimedItem.of_row(rows[0])
        self._store.adopt(item)
        return item

    def _run(self, item: ClaimedItem) -> None:
        inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        engine = Engine(Port(self._store, self._worker, inbox))
        try:
            self._finish(engine, item, inbox)
        finally:
            engine.close()

    def _finish(self, engine: Engine, item: ClaimedItem, inbox: queue.SimpleQueue[object]) -> None:
        engine.handle([item])
        renew_at = time.monotonic() + self._store.lease_seconds / 3
        while engine.turn() or self._store.held_count():
            if time.monotonic() >= renew_at:
                self._store.renew(self._worker)
                renew_at = time.monotonic() + self._store.lease_seconds / 3
            try:
                news = inbox.get(timeout=POLL_SECONDS) if self._store.held_count() else None
            except queue.Empty:
                continue
            if callable(news):
                news()
