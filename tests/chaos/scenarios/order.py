"""Items of one key are delivered in the order of their commits, through kills (P12)."""

from __future__ import annotations

import time

from tests.chaos.cluster import NotInTime, killing, wait_until
from tests.chaos.stage import Outcome, Stage, patiently, rows

# A repeat of the latest delivery is allowed (at least once); anything older after something newer is not.
VIOLATIONS = """
SELECT key, n, newest FROM (
  SELECT key, n, max(n) OVER (PARTITION BY key ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest
  FROM chaos_delivered) d
WHERE n < newest
"""
LEFT = "SELECT count(*) FROM automate_core_outboxitem WHERE key <> 'dead' AND status <> 'FAILED'"


def run(stage: Stage) -> list[Outcome]:
    """Enqueue under many keys while workers drain and die; one key's head cannot be delivered at all."""
    keys, each = stage.pick((100, 200), (20, 25))
    outcome = Outcome(
        "P12", f"{keys} keys x {each} items, kills: 0 out of order; a dead key stalls only itself"
    )
    rng = stage.rng("P12")
    with stage.workers(stage.pick(4, 2), "P12") as workers:
        workers.start()
        began = time.monotonic()
        with killing(workers, rng, stage.pick((0.5, 1.5), (2.5, 4.0))) as victims:
            _enqueue(keys, each)
            while patiently(lambda: rows(LEFT)[0][0]) > keys * each / 4 and time.monotonic() - began < 90:
                time.sleep(0.2)
        try:
            wait_until(lambda: rows(LEFT)[0][0] == 0, "every living key is delivered", stage.pick(300, 60))
        except NotInTime:
            outcome.violations.append(f"{rows(LEFT)[0][0]} items of living keys are not delivered")
        workers.stop()
    wrong = rows(VIOLATIONS)
    delivered = rows("SELECT count(*), count(DISTINCT (key, n)) FROM chaos_delivered")[0]
    stalled = rows(
        "SELECT count(*) FILTER (WHERE status = 'FAILED'), count(*) FROM automate_core_outboxitem WHERE key = 'dead'"
    )[0]
    dead = rows("SELECT count(*) FROM automate_core_outboxitem WHERE status = 'FAILED' AND key <> 'dead'")[0][
        0
    ]
    outcome.figures = {
        "deliveries": delivered[0], "distinct": delivered[1], "kills": len(victims), "out of order": len(wrong),
        "dead, waiting behind it": f"{stalled[0]}, {stalled[1] - stalled[0]}",
        "items lost to kills": dead, "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    outcome.require(not wrong, f"{len(wrong)} deliveries out of order, such as {wrong[:3]}")
    outcome.require(delivered[1] == keys * each, f"{delivered[1]} of {keys * each} items were delivered")
    outcome.require(stalled == (1, 3), f"the dead key has (dead, all) = {stalled}")
    return [outcome]


def _enqueue(keys: int, each: int) -> None:
    from django.db import transaction

    from automate_core.outbox import enqueue

    enqueue(kind="chaos_ordered", payload={"n": 0, "dead": True}, key="dead")
    for number in range(1, 3):
        enqueue(kind="chaos_ordered", payload={"n": number}, key="dead")
    for number in range(each):
        with transaction.atomic():
            for key in range(keys):
                enqueue(kind="chaos_ordered", payload={"n": number}, key=f"key-{key}")
