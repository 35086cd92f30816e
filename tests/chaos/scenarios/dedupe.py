"""Many emits with one key are one event, also after pruning (P9)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from tests.chaos import graphs
from tests.chaos.stage import Outcome, Stage, rows, statuses, workflow

PARALLEL = 64


def run(stage: Stage) -> list[Outcome]:
    """Emit in parallel, let the event run, prune it, and emit in parallel again."""
    from automate.pruning import prune

    outcome = Outcome("P9", f"{PARALLEL} parallel emits with one key: 1 row, one id, also after pruning")
    workflow("single", graphs.pure(), "chaos.single")
    ids, errors = _emit_all()
    with stage.workers(1, "P9") as workers:
        workers.start()
        outcome.require(stage.settle(stage.pick(60, 180)), "the event was not run in time")
        workers.stop()
    prune(before=datetime.now(UTC) + timedelta(minutes=1))
    pruned = rows("SELECT count(*) FILTER (WHERE pruned_at IS NOT NULL), count(*) FROM automate_event")[0]
    outcome.figures = {"ids": len(set(ids)), "executions": statuses(), "pruned, rows": str(pruned)}
    again, more_errors = _emit_all()
    events = rows("SELECT count(*) FROM automate_event")[0][0]
    queued = rows("SELECT count(*) FROM automate_core_outboxitem")[0][0]
    outcome.figures |= {
        "ids after pruning": len(set(again)),
        "events": events,
        "errors": len(errors + more_errors),
    }
    outcome.require(not errors + more_errors, f"emits failed: {(errors + more_errors)[:2]}")
    outcome.require(len(set(ids)) == 1, f"{len(set(ids))} different ids")
    outcome.require(set(again) == set(ids), "the id is another one after pruning")
    outcome.require(events == 1, f"{events} rows")
    outcome.require(queued == 0, "the repeat was queued again")
    outcome.require(pruned == (1, 1), f"pruning left (pruned, all) = {pruned}")
    outcome.violations += stage.violations()
    return [outcome]


def _emit_all() -> tuple[list[str], list[str]]:
    from django.db import connection, transaction

    from automate.events import emit_event

    ids, errors = list[str](), list[str]()
    barrier = threading.Barrier(PARALLEL)

    def emit(number: int) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=180)
            with transaction.atomic():
                ids.append(emit_event("chaos.single", {"n": number}, "the-one-key"))
        except Exception as error:
            errors.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=emit, args=(number,)) for number in range(PARALLEL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ids, errors
