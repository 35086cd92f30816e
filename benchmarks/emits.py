"""Workload of audited requests: REST emits and runs of one tenant, from one client and from several at once."""

from __future__ import annotations

import json
import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import psycopg

from benchmarks import effects_app, graphs, load, ours
from benchmarks.measures import Measure, percentile
from benchmarks.plan import Plan
from benchmarks.processes import accepts, child, free_port, wait_until
from benchmarks.stacks import SECRET

CLIENTS = (1, 4, 8, 16)
WARM_REQUESTS = 50
LOOK_SECONDS = 0.01
_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""
WEB = "from config import processes; processes.preload(); processes.serve({port})"


def emits(plan: Plan) -> Sequence[Measure]:
    """REST emits and runs of one tenant, closed loop with 1 to 16 clients, beside webhooks, which leave no audit entry.

    The web process is that of `make run`. A worker does its duties and drains nothing: the cores are the requests'.
    """
    rates: dict[tuple[str, int], list[float]] = {}
    waits: dict[tuple[str, int], list[list[float]]] = {}
    locked: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as until_end:
        url, loads = _site(plan, until_end)
        first = 0
        for number in range(-1, plan.runs):  # the first round warms up
            for clients in CLIENTS:
                for name, given in loads.items():
                    count = WARM_REQUESTS if number < 0 else plan.orders // 3
                    asked = replace(given, count=count, concurrency=clients, first=first)
                    with _lock_waits(url) as waiting:
                        outcome = load.apply(asked, timeout=plan.timeout)
                    first += count
                    if number < 0:
                        continue
                    took = [seconds * 1000 for seconds in outcome.seconds]
                    rates.setdefault((name, clients), []).append(outcome.per_second)
                    waits.setdefault((name, clients), []).append(took)
                    locked.setdefault((name, clients), []).append(statistics.fmean(waiting))
                    plan.say(
                        f"emits run {number + 1} {name}, {clients} clients: {outcome.per_second:,.0f}/s, "
                        f"p50 {percentile(took, 50):.1f} ms, p99 {percentile(took, 99):.1f} ms, "
                        f"{locked[name, clients][-1]:.2f} wait for a lock"
                    )
            plan.note_load()
    made = []
    for (name, clients), found in rates.items():
        label = f"{name}, {clients} client{'s' if clients > 1 else ''}"
        made.append(Measure(label, "requests/s", found, load=plan.loads))
        for percent in (50, 99):
            each = [percentile(took, percent) for took in waits[name, clients]]
            made.append(Measure(f"{label}, p{percent}", "ms", each, load=plan.loads))
        made.append(Measure(f"{label}, wait for a lock", "sessions", locked[name, clients], load=plan.loads))
    return made


@contextmanager
def _lock_waits(url: str) -> Iterator[list[int]]:
    """Count, again and again, the sessions that wait for another one's transaction to end."""
    found, is_over = [0], threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not is_over.wait(LOOK_SECONDS):
                row = connection.execute(_WAITING).fetchone()
                found.append(row[0] if row else 0)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        is_over.set()
        looking.join()


def _site(plan: Plan, until_end: ExitStack) -> tuple[str, dict[str, load.Load]]:
    """Start the processes; return the database's URL and a load of each kind of request."""
    site = until_end.enter_context(ours.installation(plan.server, plan.directory, settings=ours.WITH_APP))
    site.env["AUTOMATE_RATE_STANDARD"] = "10000000/minute"
    site.client("source", ours.SOURCE, SECRET, timeout=60)
    workflow = site.client(
        "workflow", json.dumps({"name": "orders", "graph": graphs.PURE, "trigger_type": "manual"}), timeout=60
    )
    key, port = site.client("key", timeout=60), free_port()
    web = until_end.enter_context(
        child("emits-web", [sys.executable, "-c", WEB.format(port=port)], env=site.env, logs=plan.logs)
    )
    wait_until(lambda: accepts(port), what="our web process listens", timeout=60, children=[web])
    until_end.enter_context(site.worker(plan.logs, kinds=(effects_app.KIND,)))
    ask = load.Load(port=port, path="", secret=SECRET, count=0)
    return site.url, {
        "webhook": replace(ask, path=f"/api/automate/webhooks/{ours.SOURCE}/"),
        "emit": replace(ask, path="/api/automate/events/", carries="emit", key=key),
        "run": replace(ask, path=f"/api/automate/workflows/{workflow}/run/", carries="run", key=key),
    }
