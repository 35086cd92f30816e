"""The queue stays fast behind many dead row versions that a snapshot keeps from being removed (P13)."""

from __future__ import annotations

import time

import psycopg

from tests.chaos.stage import Outcome, Stage, percentile

BATCH = 100
RATE = 1_500.0
CLAIM_SECONDS = 0.05

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
            sql.execute(FILL, {"count": min(20_000, total - done)})
            done += _drain(store, [])
        while time.monotonic() - began < held:
            sql.execute(FILL, {"count": 2_000})
            _drain(store, [])
            time.sleep(1)
        age = time.monotonic() - began
        claims: list[float] = []
        sql.execute(FILL, {"count": measured})
        started = time.perf_counter()
        count = _drain(store, claims)
        took = time.perf_counter() - started
    rate, p99 = count / took, percentile(claims, 0.99)
    outcome.figures = {
        "items before": done, "snapshot age (s)": round(age, 1), "measured": count, "claim+complete /s": round(rate),
        "claim p50 (ms)": round(1e3 * percentile(claims, 0.5), 1), "p99 (ms)": round(1e3 * p99, 1),
        "max (ms)": round(1e3 * max(claims), 1),
    }  # fmt: skip
    outcome.require(count == measured, f"{count} of {measured} items were claimed")
    outcome.require(rate >= RATE, f"{rate:.0f} items a second")
    outcome.require(p99 <= CLAIM_SECONDS, f"the 99th percentile of a claim is {1e3 * p99:.0f} ms")
    return [outcome]


def _drain(store: object, claims: list[float]) -> int:
    """Claim and complete until nothing is left; note how long each claim that gave something took."""
    from automate_core.outbox import SkipLockedClaimOutboxStore

    assert isinstance(store, SkipLockedClaimOutboxStore)
    count, empty = 0, 0
    while empty < 20:
        started = time.perf_counter()
        items = store.claim_batch("chaos-speed", BATCH)
        if items:
            claims.append(time.perf_counter() - started)
            count += len(store.complete(items, "chaos-speed"))
            empty = 0
        else:
            empty += 1
            time.sleep(0.05)
    return count
