"""The journal: writes a turn's changes in one commit, keeps a change the database refuses from its neighbours."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence

from django.db import DatabaseError, InterfaceError, OperationalError

from automate.executions import verbs
from automate.executions.record import record
from automate.executions.rows import Change, Recorded
from automate_core import metrics
from automate_core.outbox.base import Retry
from automate_core.outbox.handlers import Port
from automate_core.telemetry import span

logger = logging.getLogger(__name__)

REDISPATCH_SECONDS = 1.0


class Journal:
    """Records changes under the leases of one worker."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def write(self, changes: Sequence[Change]) -> Recorded:
        """Record a batch in one statement and commit; when the database refuses it, one by one.

        Raises:
            OperationalError, InterfaceError: the database went away; the same changes may be written again.
        """
        started = time.perf_counter()
        with span("engine.commit", changes=len(changes)):
            recorded = self._write_together(changes)
        _count(changes, recorded, time.perf_counter() - started)
        return recorded

    def write_within(self, change: Change) -> Recorded:
        """Record one change in the transaction that is open."""
        return self._record([change])

    def _record(self, changes: Sequence[Change]) -> Recorded:
        return record(changes, worker=self._port.worker, lease_seconds=self._port.store.lease_seconds)

    def _write_together(self, changes: Sequence[Change]) -> Recorded:
        try:
            return self._record(changes)
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError:
            logger.exception("engine.batch_refused", extra={"count": len(changes)})
        return self._write_one_by_one(changes)

    def _write_one_by_one(self, changes: Sequence[Change]) -> Recorded:
        held: set[int] = set()
        leased: dict[str, int] = {}
        watched: set[str] = set()
        unmade: set[str] = set()
        for change in changes:
            try:
                one = self._record([change])
            except (OperationalError, InterfaceError):
                raise
            except DatabaseError as error:
                self._refused(change, error)
                continue
            held |= one.held
            leased |= one.leased
            watched |= one.watched
            unmade |= one.unmade
        return Recorded(frozenset(held), leased, frozenset(watched), frozenset(unmade))

    def _refused(self, change: Change, error: DatabaseError) -> None:
        """Settle an item whose record the database refuses: its workflow was deleted, or the data is at fault."""
        store, worker, reason = (
            self._port.store,
            self._port.worker,
            f"The database refused the record: {error}",
        )
        execution_id = change.item.payload.get("execution_id")
        if execution_id is not None and verbs.is_gone(execution_id):
            store.complete([change.item], worker)
            return
        logger.error("engine.change_refused", exc_info=error, extra={"item": change.item.id})
        if execution_id is None:
            store.retry([Retry(change.item, reason, REDISPATCH_SECONDS)], worker)
        elif store.fail([(change.item, reason)], worker):
            verbs.bury([(execution_id, reason)])


def _count(changes: Sequence[Change], recorded: Recorded, seconds: float) -> None:
    """Bring a committed batch into the metrics."""
    metrics.commit_seconds.observe(seconds)
    metrics.lease_lost.inc(len(changes) - len(recorded.held))
    held = [change for change in changes if change.item.id in recorded.held]
    for kind, count in Counter(change.item.kind for change in held if change.settles).items():
        metrics.outbox_done.labels(kind=kind).inc(count)
    ended = Counter(
        row.status
        for change in held
        for row in (*change.made, *change.changed)
        if row.finished_at is not None and row.id not in recorded.unmade
    )
    for status, count in ended.items():
        metrics.executions_finished.labels(status=str(status)).inc(count)
    steps = Counter(
        step.status
        for change in held
        for step in change.steps
        if step.finished_at is not None and step.execution_id not in recorded.unmade
    )
    for status, count in steps.items():
        metrics.steps_finished.labels(status=str(status)).inc(count)
