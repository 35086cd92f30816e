"""A worker stopped past its lease and woken again changes nothing (P5)."""

from __future__ import annotations

import signal
import time

from tests.chaos import graphs
from tests.chaos.cluster import wait_until
from tests.chaos.stage import Outcome, Stage, emit_many, rows, statuses, workflow

HOLD_SECONDS = 100.0

SNAPSHOT = """
SELECT md5(coalesce((SELECT string_agg(x::text, '|' ORDER BY x.id) FROM automate_execution x), '')),
       md5(coalesce((SELECT string_agg(s::text, '|' ORDER BY s.id) FROM automate_steprun s), '')),
       (SELECT count(*) FROM automate_core_outboxitem)
"""


def run(stage: Stage) -> list[Outcome]:
    """Stop a worker in the middle of its calls, let another finish them, wake the first, and compare."""
    events = stage.pick(40, 12)
    outcome = Outcome(
        "P5", f"{events} executions of a worker stopped past its lease: 0 stale writes, said in the log"
    )
    rng = stage.rng("P5")
    workflow("held", graphs.two_calls(stage.ledger.url, hold=HOLD_SECONDS), "chaos.held")
    with stage.workers(1, "P5-stale") as stale, stage.workers(1, "P5-other") as other:
        stale.start()
        emit_many("chaos.held", range(events), threads=2, rng=rng, pause=0.0)
        # The calls in flight are as many as the worker has slots; the rest of the executions wait in it.
        wait_until(
            lambda: len(stage.ledger.counts()) >= min(2 * events, 16), "the worker makes its calls", 180
        )
        (pid,) = stale.pids()
        stale.signal(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        # The answers reach the stopped worker's sockets now; it will read them when it wakes.
        stage.ledger.release()
        time.sleep(stage.lease + 0.5)
        other.start()
        outcome.require(
            stage.settle(6 * stage.lease + stage.pick(60, 180)),
            "the other worker did not finish what was taken over",
        )
        outcome.figures["taken over and finished after (s)"] = round(time.monotonic() - stopped, 1)
        before = rows(SNAPSHOT)
        stale.signal(pid, signal.SIGCONT)
        woken = time.monotonic()
        while time.monotonic() - woken < 2 * stage.lease and not stale.log_lines("lease_lost"):
            time.sleep(0.1)
        time.sleep(stage.lease)
        after = rows(SNAPSHOT)
        said = stale.log_lines("lease_lost")
        outcome.require(stale.pids() == [pid], "the worker that was stopped died of it")
        # It must be of use again, or it would only look as if it did no harm.
        other.stop()
        workflow("next", graphs.pure(), "chaos.next")
        emit_many("chaos.next", range(5), threads=1, rng=rng, pause=0.0)
        outcome.require(stage.settle(stage.pick(30, 180)), "the worker that was woken does no work")
        outcome.require(not stale.stop(), "the worker that was woken does not stop when asked")
    outcome.figures |= {"executions": statuses(), "log lines about lost leases": len(said)}
    outcome.require(before == after, "the worker that was woken changed what others had finished")
    outcome.require(bool(said), "no log line says that the lease was lost")
    found = statuses()
    good = found.get("SUCCESS", 0) + found.get("FAILED OUTCOME_UNKNOWN", 0)
    outcome.require(good == events + 5, f"executions ended as {found}")
    outcome.violations += stage.violations()
    return [outcome]
