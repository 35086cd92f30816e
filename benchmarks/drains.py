"""Workloads of the worker alone: items, events and one long execution."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import LiteralString

import psycopg

from benchmarks import graphs, orders, ours, raw
from benchmarks.effects_app import KIND
from benchmarks.measures import Measure, Target, percentile
from benchmarks.plan import Plan
from benchmarks.processes import Child, child, wait_until
from benchmarks.profiling import Profiler
from benchmarks.stacks import RAW

SEQUENCE_STEPS = 40
POLL_SECONDS = 0.05
UNDELIVERED: LiteralString = (
    "SELECT count(*) FROM automate_core_outboxitem WHERE kind = 'bench' AND status <> 'FAILED'"
)


def w2(plan: Plan) -> Sequence[Measure]:
    """Drain no-op items with one worker process, beside a raw loop at batch 100."""
    drained: list[float] = []
    ceiling: list[float] = []
    enqueued: list[float] = []
    with ours.installation(plan.server, plan.directory, settings=ours.WITH_APP) as installed:
        for number in range(plan.runs):
            with _raw_database(plan) as url:
                raw.fill(url, plan.items)
                ceiling.append(raw.drain(url))
            plan.say(f"w2 run {number + 1} raw: {ceiling[-1]:,.0f} items/s")
            enqueued.append(installed.client("enqueue", str(plan.items), timeout=plan.timeout))
            worker = installed.worker(plan.logs, kinds=[KIND])
            drained.append(
                _timed(plan, installed.url, worker, UNDELIVERED, goal=0, watch=plan.watcher(number))
            )
            plan.say(f"w2 run {number + 1} ours: {drained[-1]:,.0f} items/s")
            plan.note_load()
    return [
        Measure("w2 drain", "items/s", drained, ceiling, Target(0.4, of_raw=True), plan.loads),
        Measure("w2 enqueue, one call an item", "items/s", enqueued, load=plan.loads),
    ]


def engine(plan: Plan) -> Sequence[Measure]:
    """Drain waiting events to finished executions of 3 pure steps with one worker process."""
    ran: list[float] = []
    ceiling: list[float] = []
    with ours.installation(plan.server, plan.directory, settings=ours.LOCAL) as installed:
        installed.add_workflow(name="orders", graph=graphs.PURE, event_type=orders.EVENT_TYPE)
        for number in range(plan.runs):
            with _raw_database(plan) as url:
                raw.fill(url, 0)
                _post_raw(url, plan.orders)
                argv = [sys.executable, "-m", "benchmarks.raw", "batch"]
                worker = child(
                    "raw-batch-worker", argv, env={**os.environ, "DATABASE_URL": url}, logs=plan.logs
                )
                ceiling.append(_timed(plan, url, worker, RAW.succeeded, goal=plan.orders))
            plan.say(f"engine run {number + 1} raw: {ceiling[-1]:,.0f} executions/s")
            first = number * plan.orders
            installed.client("emit", str(first), str(plan.orders), timeout=plan.timeout)
            goal = first + plan.orders
            worker = installed.worker(plan.logs)
            ran.append(
                _timed(
                    plan, installed.url, worker, ours.OURS.succeeded, goal=goal, watch=plan.watcher(number)
                )
            )
            plan.say(f"engine run {number + 1} ours: {ran[-1]:,.0f} executions/s")
            plan.note_load()
    return [Measure("engine, events waiting", "executions/s", ran, ceiling, load=plan.loads)]


def w3(plan: Plan) -> Sequence[Measure]:
    """One execution of 40 sequential trivial steps."""
    recorded: list[float] = []
    seen: list[float] = []
    ceiling: list[float] = []
    with (
        ours.installation(plan.server, plan.directory, settings=ours.LOCAL) as installed,
        _raw_database(plan) as url,
        installed.worker(plan.logs),
    ):
        installed.add_workflow(name="sequence", graph=graphs.SEQUENCE)
        raw.fill(url, 0)
        for number in range(plan.runs):
            ceiling.append(raw.sequence(url, SEQUENCE_STEPS))
            took = installed.client("run", "sequence", "12", timeout=plan.timeout)[2:]
            recorded.append(percentile([one["recorded_ms"] for one in took], 50))
            seen.append(percentile([one["seen_ms"] for one in took], 50))
            plan.say(
                f"w3 run {number + 1}: raw {ceiling[-1]:.1f} ms, "
                f"ours {recorded[-1]:.1f} ms, seen {seen[-1]:.1f} ms"
            )
            plan.note_load()
    return [
        Measure(
            "w3 40 steps, committed to seen", "ms", seen, ceiling, Target(30.0, at_most=True), plan.loads
        ),
        Measure("w3 40 steps, started to finished", "ms", recorded, load=plan.loads),
    ]


def _timed(
    plan: Plan,
    url: str,
    worker: AbstractContextManager[Child],
    query: LiteralString,
    *,
    goal: int,
    watch: Profiler | None = None,
) -> float:
    """Run the worker until the count reaches the goal; return the rate from its first sign of work on."""
    with psycopg.connect(url, autocommit=True) as store:

        def count() -> int:
            row = store.execute(query).fetchone()
            assert row is not None
            return int(row[0])

        before = count()
        what = f"one worker takes the count from {before} to {goal}"
        with worker as running:
            if watch is not None:
                watch.attach("drain", [running])
            started = wait_until(
                lambda: count() != before,
                what=what,
                timeout=plan.timeout,
                children=[running],
                poll=POLL_SECONDS,
            )
            already = count()
            ended = wait_until(
                lambda: count() == goal,
                what=what,
                timeout=plan.timeout,
                children=[running],
                poll=POLL_SECONDS,
            )
        if watch is not None:
            plan.say(watch.report())
    return abs(goal - already) / (ended - started)


def _post_raw(url: str, count: int) -> None:
    with psycopg.connect(url) as connection:
        bodies = [orders.body(number, time.time()).decode() for number in range(count)]
        connection.execute(raw.ENQUEUE, (bodies,))


@contextmanager
def _raw_database(plan: Plan) -> Iterator[str]:
    name = f"bench_raw_drain_{os.getpid()}"
    try:
        yield plan.server.fresh(name)
    finally:
        plan.server.drop(name)
