"""How long until what a killed worker held runs elsewhere (P6)."""

from __future__ import annotations

import contextlib
import signal
import time

from tests.chaos import graphs
from tests.chaos.cluster import NotInTime, Workers, wait_until
from tests.chaos.stage import Outcome, Stage, emit_many, percentile, remaining, rows, workflow

HOLD_SECONDS = 110.0
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
GRACE_SECONDS = 10.0

HELD = """
SELECT payload ->> 'execution_id', lease_owner FROM automate_core_outboxitem
WHERE status = 'CLAIMED' AND kind = 'execution'
"""


def run(stage: Stage) -> list[Outcome]:
    """Kill workers in the middle of calls until there are enough kills; judge the 99th percentile."""
    kills = stage.pick(100, 6)
    outcome = Outcome(
        "P6", f"{kills} kills, lease {stage.lease:g} s: p99 until run elsewhere <= lease + 10 s"
    )
    workflow("long", graphs.calls(stage.ledger.url, hold=HOLD_SECONDS), "chaos.long")
    done, samples, number = 0, list[float](), 0
    with stage.workers(stage.pick(5, 3), "P6") as workers:
        workers.start()
        while done < kills:
            victims, waits = _round(stage, workers, number, limit=min(kills - done, stage.pick(4, 2)))
            done += victims
            samples += waits
            number += 1
        workers.stop()
    outcome.figures = {
        "kills": done, "executions recovered": len(samples), "rounds": number,
        **{name: round(percentile(samples, share), 1) for name, share in SHARES.items()},
    }  # fmt: skip
    limit = stage.lease + GRACE_SECONDS
    outcome.require(outcome.figures["p99"] <= limit, f"p99 is {outcome.figures['p99']} s, above {limit:g} s")
    outcome.violations += stage.violations()
    return [outcome]


def _round(stage: Stage, workers: Workers, number: int, *, limit: int) -> tuple[int, list[float]]:
    """Let every worker take calls, kill some of those that hold any, and time the second arrivals."""
    count = stage.pick(20, 9)
    start = number * count
    wait_until(lambda: len(workers.working()) == workers.count, "every worker is up", 90)
    stage.ledger.hold()
    emit_many("chaos.long", range(start, start + count), threads=1, rng=stage.rng(f"P6/{number}"), pause=0.05)
    wait_until(lambda: _arrived(stage, 1) >= start + count, "every call is in flight", 60)
    by_pid: dict[int, list[str]] = {}
    for execution, owner in rows(HELD):
        by_pid.setdefault(int(owner.split("-")[-3]), []).append(execution)
    rng = stage.rng(f"P6/kill/{number}")
    living = [pid for pid in sorted(by_pid) if pid in workers.pids()]
    victims = rng.sample(living, min(limit, len(living), len(workers.pids()) - 1))
    killed_at: dict[str, float] = {}
    for pid in victims:
        workers.signal(pid, signal.SIGKILL)
        killed_at |= dict.fromkeys(by_pid[pid], time.time())
    patience = 3 * stage.lease + 6 * GRACE_SECONDS
    with contextlib.suppress(NotInTime):
        wait_until(
            lambda: _recovered(stage, killed_at) == len(killed_at), "what was lost runs again", patience
        )
    second = {one["execution"]: one["arrivals"][1] for one in stage.ledger.counts() if one["requests"] > 1}
    never = time.time()
    waits = [second.get(execution, never) - at for execution, at in killed_at.items()]
    stage.ledger.release()
    wait_until(lambda: remaining() == 0, "the round ends", 3 * stage.lease + 60)
    return len(victims), waits


def _arrived(stage: Stage, times: int) -> int:
    return sum(one["requests"] >= times for one in stage.ledger.counts())


def _recovered(stage: Stage, killed_at: dict[str, float]) -> int:
    return sum(one["requests"] > 1 and one["execution"] in killed_at for one in stage.ledger.counts())
