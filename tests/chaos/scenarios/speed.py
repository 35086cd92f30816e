"""The queue stays fast behind many dead row versions that a snapshot keeps from being removed (P13)."""

from __future__ import annotations

import time

import psycopg

from tests.chaos.stage import Outcome, Stage, percentile

BATCH = 100
RATE = 1_500.0
CLAIM_SECONDS = 0.05
IDLE_SECONDS = 5.0
PATIENCE_SECONDS = 60.0

FILL = """
INSERT INTO automate_core_outboxitem (tenant_id, kind, payload, max_attempts)
SELECT '00000000-0000-7000-8000-000000000001', 'chaos_ordered', jsonb_build_object('n', n), 3
FROM generate_series(1, %(count)s) n
"""


def run(stage: Stage) -> list[Outcome]:
    """Claim and complete everything with a snapshot open, then measure on what that leaves behind."""
    from automate_core import sql
    from automate_core.outbox import SkipLockedClaimOutboxStore

    total, measured = stage.pick((200_000, 20_000), (20_000, 5_000))
    held = stage.pick(300.0, 0.0)
    outcome = Outcome("P13", f"after {total:,} items under a snapshot: >= 1,500/s, p99 claim <= 50 ms")
    store = SkipLockedClaimOutboxStore(lease_seconds=300)
    with psycopg.connect(**sql.connect_params()) as snapshot:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT count(*) FROM automate_core_outboxitem")
        began = time.monotonic()
        done = 0
        while done < total:
            done += _round(store, min(20_000, total - done), [])[0]
        while time.monotonic() - began < held:
            done += _round(store, 500, [])[0]
            time.sleep(1)
        age = time.monotonic() - began
        claims: list[float] = []
        count, idle, took = _round(store, measured, claims)
    rate, p99 = count / took, percentile(claims, 0.99)
    outcome.figures = {
        "items before": done, "snapshot age (s)": round(age, 1), "measured": count, "claim+complete /s": round(rate),
        "claim p50 (ms)": round(1e3 * percentile(claims, 0.5), 1), "p99 (ms)": round(1e3 * p99, 1),
        "max (ms)": round(1e3 * max(claims), 1), "idle store noticed after (s)": round(idle, 2),
    }  # fmt: skip
    outcome.require(count == measured, f"{count} of {measured} items were claimed")
    outcome.require(rate >= RATE, f"{rate:.0f} items a second")
    outcome.require(p99 <= CLAIM_SECONDS, f"the 99th percentile of a claim is {1e3 * p99:.0f} ms")
    outcome.require(idle <= IDLE_SECONDS, f"an idle store took {idle:.1f} s to notice new items")
    return [outcome]


def _round(store: object, count: int, claims: list[float]) -> tuple[int, float, float]:
    """Enqueue and drain; return how many were drained, after how long the first, and how long they took.

    `claims` gets the seconds of each claim that gave something.
    """
    from automate_core import sql
    from automate_core.outbox import SkipLockedClaimOutboxStore

    assert isinstance(store, SkipLockedClaimOutboxStore)
    sql.execute(FILL, {"count": count})
    # What a worker does when the doorbell rings.
    store.look_soon()
    filled = started = time.perf_counter()
    done = 0
    while done < count and time.perf_counter() - started < PATIENCE_SECONDS:
        began = time.perf_counter()
        items = store.claim_batch("chaos-speed", BATCH)
        if items:
            started = began if not done else started
            claims.append(time.perf_counter() - began)
            done += len(store.complete(items, "chaos-speed"))
        else:
            time.sleep(0.02)
    return done, started - filled, time.perf_counter() - started
