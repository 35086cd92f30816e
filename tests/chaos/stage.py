"""The stage every scenario plays on: the servers, the seed, the lease, and what they need from Django."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import invariants
from tests.chaos.cluster import Postgres, Valkey, Workers, wait_until
from tests.chaos.ledger import Ledger

TABLES = (
    "automate_core_outboxitem", "automate_core_workerbeat", "automate_event", "automate_steprun",
    "automate_execution", "automate_trigger", "automate_workflowversion", "automate_automation",
    "automate_routingrevision", "chaos_ledger", "chaos_epoch_fall", "chaos_over_limit", "chaos_delivered",
    "chaos_noted",
)  # fmt: skip


@dataclass
class Outcome:
    """What a scenario found out about one promise."""

    promise: str
    claim: str
    figures: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def require(self, holds: bool, otherwise: str) -> None:
        """Note a violation unless `holds`."""
        if not holds:
            self.violations.append(otherwise)

    def as_data(self) -> dict[str, Any]:
        """Return it for the report file."""
        verdict = "violated" if self.violations else "kept"
        return {
            "promise": self.promise, "claim": self.claim, "verdict": verdict, "seconds": round(self.seconds, 1),
            "figures": self.figures, "violations": self.violations,
        }  # fmt: skip


@dataclass
class Stage:
    """The servers of a run and the settings of its scenarios."""

    postgres: Postgres
    valkey: Valkey | None
    ledger: Ledger
    database_url: str
    directory: Path
    seed: int
    quick: bool
    lease: float

    def rng(self, scenario: str) -> random.Random:
        """Return the scenario's own random numbers: they do not depend on which others run."""
        return random.Random(f"{self.seed}/{scenario}")

    def pick(self, full: Any, quick: Any) -> Any:
        """Return the size for this run."""
        return quick if self.quick else full

    @contextmanager
    def workers(self, count: int, scenario: str, *, lease: float | None = None) -> Iterator[Workers]:
        """Give worker processes that start with `workers.start()` and end with the block."""
        env = {**os.environ, "AUTOMATE_LEASE_SECONDS": f"{lease or self.lease:g}"}
        workers = Workers(count, env=env, logs=self.directory / "logs" / scenario)
        try:
            yield workers
        finally:
            workers.stop(hard=True)

    def clear(self) -> None:
        """Empty the tables and the ledger for the next scenario."""
        from automate_core import sql
        from tests.chaos.app.delivery import DELIVERED

        invariants.prepare()
        sql.execute(DELIVERED)
        sql.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")
        self.ledger.reset()

    def settle(self, seconds: float, *, lease: float | None = None) -> bool:
        """Wait until nothing is left to do, but no longer than `seconds`; tell whether that came true."""
        try:
            wait_until(lambda: remaining() == 0, "nothing is left to do", seconds, poll=0.25)
        except AssertionError:
            return False
        return True

    def violations(self, *, lease: float | None = None) -> list[str]:
        """Load the ledger and ask every invariant."""
        invariants.load_ledger(self.ledger.counts())
        return invariants.violations(lease or self.lease)


def patiently(work: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """Do database work again until the server that was stopped is back."""
    from django.db import InterfaceError, OperationalError, connection

    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def rows(query: str, params: Any = ()) -> list[Any]:
    """Return a query's rows; a server that was stopped meanwhile is waited for."""
    from automate_core import sql

    return list(patiently(lambda: sql.execute(query, params)))


def remaining() -> int:
    """Return how much is not finished: outbox items that are no dead letters, and open executions."""
    return int(
        rows(
            "SELECT (SELECT count(*) FROM automate_core_outboxitem WHERE status <> 'FAILED'"
            " AND (key IS NULL OR kind <> 'chaos_ordered'))"
            " + (SELECT count(*) FROM automate_execution WHERE finished_at IS NULL)"
        )[0][0]
    )


def statuses() -> dict[str, int]:
    """Return how many executions stand where; a failure is named by its code."""
    found = rows(
        "SELECT CASE WHEN status = 'FAILED' THEN 'FAILED ' || error_code ELSE status END, count(*)"
        " FROM automate_execution GROUP BY 1 ORDER BY 1"
    )
    return {row[0]: row[1] for row in found}


def dead_letters() -> int:
    """Return how many outbox items were given up."""
    return int(rows("SELECT count(*) FROM automate_core_outboxitem WHERE status = 'FAILED'")[0][0])


def workflow(slug: str, graph: dict[str, Any], event_type: str) -> Any:
    """Create a workflow that an event type starts."""
    from automate.workflows import create_workflow

    return create_workflow(
        name=slug, slug=slug, graph=graph, by="chaos", trigger_type="event",
        trigger_config={"event_type": event_type},
    )  # fmt: skip


def emit_many(
    event_type: str, numbers: range, *, threads: int, rng: random.Random, pause: float
) -> list[str]:
    """Emit an event for each number, again when the server went away (its key makes that one event)."""
    from django.db import connection

    from automate.events import emit_event

    ids: list[str] = []
    pauses = [rng.expovariate(1 / pause) if pause else 0.0 for _ in numbers]

    def emit(part: range) -> None:
        for number in part:
            time.sleep(pauses[number - numbers.start])
            key = f"{event_type}-{number}"
            ids.append(patiently(lambda number=number, key=key: emit_event(event_type, {"n": number}, key)))
        connection.close()

    parts = [
        threading.Thread(target=emit, args=(numbers[start::threads],), daemon=True)
        for start in range(threads)
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    return ids


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(share * 100) // 100) - 1)]
