"""Workloads of flow control: loops, parallel calls, waiting executions and schedules."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence

import psycopg

from benchmarks import graphs, memory, ours
from benchmarks.measures import Measure, Target
from benchmarks.plan import Plan
from benchmarks.processes import Child, accepts, child, free_port, run, wait_until

CALLS = 8
CALL_SECONDS = 0.2
PARALLEL_MS = 400.0
IDLE_SECONDS = 10
WATCH_SECONDS = 40
"""Long enough for every duty of a worker to come round twice."""
POLL_MS = 5.0
DAY_SECONDS = 86_400.0
WAKES = 20
SCHEDULERS = 4
WORKER_STARTED = b"worker.started"


def foreach(plan: Plan) -> Sequence[Measure]:
    """A `for_each` of pure steps in one execution: time, statements, commits and the worker's memory."""
    measures = []
    for count in plan.loops:
        took: list[float] = []
        grown: list[float] = []
        with ours.installation(plan.server, plan.directory, settings=ours.LOCAL) as installed:
            installed.add_workflow(name="foreach", graph=graphs.FOREACH)
            for number in range(plan.runs):
                # A worker of its own for each run: memory that an earlier run gave back would be used again unseen.
                with installed.worker(plan.logs) as worker:
                    _started(worker)
                    pid = worker.process.pid
                    # Imports, connections and compiled templates are no part of a loop's memory.
                    installed.client("run", "foreach", "3", "10", timeout=plan.timeout)
                    before = memory.resident_mb(pid)
                    memory.forget_peak(pid)
                    (one,) = installed.client("run", "foreach", "1", str(count), timeout=plan.timeout)
                    took.append(one["seen_ms"] / 1000)
                    grown.append(memory.peak_mb(pid) - before)
                plan.note_load()
                plan.say(f"foreach {count:,} run {number + 1}: {took[-1]:.2f} s, {grown[-1]:.1f} MiB more")
            wire = installed.client("wire", "foreach", str(count), timeout=plan.timeout)
        plan.say(f"foreach {count:,} on the wire: {wire['statements']} statements, {wire['commits']} commits")
        name = f"foreach {count:,} items"
        measures += [
            Measure(f"{name}, committed to seen", "s", took, load=plan.loads),
            Measure(f"{name}, worker's peak above before", "MiB", grown, load=plan.loads),
            Measure(f"{name}, statements", "statements", [wire["statements"]]),
            Measure(f"{name}, commits", "commits", [wire["commits"]]),
        ]
    return measures


def parallel(plan: Plan) -> Sequence[Measure]:
    """8 parallel HTTP calls of 200 ms in one execution."""
    middle: list[float] = []
    slowest: list[float] = []
    port = free_port()
    slow = [sys.executable, "-m", "benchmarks.slow", str(port), str(CALL_SECONDS)]
    with ours.installation(plan.server, plan.directory, settings=ours.LOCAL) as installed:
        installed.env["AUTOMATE_HTTP_ALLOW"] = f"127.0.0.1:{port}"
        installed.add_workflow(name="parallel", graph=graphs.parallel(f"http://127.0.0.1:{port}/", CALLS))
        with child("slow", slow, env=installed.env, logs=plan.logs) as server, installed.worker(plan.logs):
            wait_until(lambda: accepts(port), what="the slow server listens", timeout=30, children=[server])
            for number in range(plan.runs):
                took = installed.client("run", "parallel", "12", timeout=plan.timeout)[2:]
                seen = [one["seen_ms"] for one in took]
                middle.append(statistics.median(seen))
                slowest.append(max(seen))
                plan.say(
                    f"parallel run {number + 1}: median {middle[-1]:.0f} ms, slowest {slowest[-1]:.0f} ms"
                )
                plan.note_load()
    target = Target(PARALLEL_MS, at_most=True)
    name = f"parallel {CALLS} calls of {CALL_SECONDS * 1000:.0f} ms"
    return [
        Measure(f"{name}, committed to seen", "ms", middle, target=target, load=plan.loads),
        Measure(f"{name}, slowest of 10", "ms", slowest, target=target, load=plan.loads),
    ]


def waiting(plan: Plan) -> Sequence[Measure]:
    """Many waiting executions: an idle worker's CPU, its slowest statement, and how soon one is woken."""
    kinds = {
        "listen": graphs.listening("bench.answer", timeout_seconds=None),
        "listen-timed": graphs.listening("bench.never", timeout_seconds=DAY_SECONDS),
        "sleep": graphs.sleeping(DAY_SECONDS),
    }
    each = plan.waiting // len(kinds)
    cpu: list[float] = []
    slowest: list[float] = []
    typical: list[float] = []
    woken: list[float] = []
    with ours.installation(plan.server, plan.directory, settings=ours.LOCAL) as installed:
        for name, graph in kinds.items():
            installed.add_workflow(name=name, graph=graph, event_type=f"bench.{name}", source="")
        for name in kinds:
            installed.client("occur", f"bench.{name}", str(each), timeout=plan.timeout)
        with installed.worker(plan.logs) as worker, psycopg.connect(installed.url, autocommit=True) as store:
            wait_until(
                lambda: _count_waiting(store) == each * len(kinds),
                what=f"{each * len(kinds)} executions wait",
                timeout=plan.timeout,
                children=[worker],
                poll=0.25,
            )
            for number in range(plan.runs):
                time.sleep(3)  # the worker is alert for a while after its last item
                before = memory.cpu_seconds(worker.process.pid)
                time.sleep(IDLE_SECONDS)
                cpu.append((memory.cpu_seconds(worker.process.pid) - before) / IDLE_SECONDS * 1000)
                took = installed.client(
                    "wake", "bench.answer", str(number * WAKES), str(WAKES), timeout=plan.timeout
                )
                woken.append(statistics.median(took))
                plan.say(
                    f"waiting run {number + 1}: {cpu[-1]:.1f} ms of CPU a second,"
                    f" woken in {woken[-1]:.1f} ms, at most {max(took):.1f} ms"
                )
                plan.note_load()
        for number in range(plan.runs):
            found = installed.client("idle", str(WATCH_SECONDS), timeout=plan.timeout)
            # The first time on a connection the server loads its catalogs: no cost of an idle worker.
            found = {name: times[1:] for name, times in found.items() if len(times) > 1}
            slowest.append(max(max(times) for times in found.values()))
            typical.append(max(statistics.median(times) for times in found.values()))
            for name, times in sorted(found.items(), key=lambda one: -max(one[1]))[:8]:
                plan.say(
                    f"waiting run {number + 1}: {len(times):4d} x {statistics.median(times):7.2f} ms,"
                    f" at most {max(times):7.2f} ms: {name}"
                )
    name = f"waiting {each * len(kinds):,}"
    target = Target(POLL_MS, at_most=True)
    return [
        Measure(
            f"{name}, slowest statement of an idle worker", "ms", slowest, target=target, load=plan.loads
        ),
        Measure(f"{name}, slowest statement by its median", "ms", typical, load=plan.loads),
        Measure(f"{name}, idle worker's CPU", "ms a second", cpu, load=plan.loads),
        Measure(f"{name}, an event wakes one, committed to seen", "ms", woken, load=plan.loads),
    ]


def schedules(plan: Plan) -> Sequence[Measure]:
    """Schedules fired by 4 schedulers at once through both nights in which the clock changes."""
    seconds: list[float] = []
    wrong: list[float] = []
    rates: list[float] = []
    with ours.installation(plan.server, plan.directory, settings=ours.LOCAL) as installed:
        argv = [
            sys.executable,
            "-m",
            "benchmarks.firing",
            str(plan.schedules),
            str(SCHEDULERS),
            str(plan.runs),
        ]
        results = json.loads(run(argv, env=installed.env, timeout=plan.timeout).splitlines()[-1])
    plan.note_load()
    for number, found in enumerate(results):
        seconds.append(found["seconds"])
        rates.append(found["events"] / found["seconds"])
        wrong.append(len(found["differences"]))
        plan.say(
            f"schedules run {number + 1}: {found['events']:,} events in {seconds[-1]:.2f} s,"
            f" {len(found['differences'])} wrong {found['differences'][:3] or ''}"
        )
    name = f"schedules {plan.schedules:,}, {SCHEDULERS} schedulers, clock changes"
    return [
        Measure(f"{name}, fires missing or repeated", "fires", wrong, target=Target(0, at_most=True)),
        Measure(f"{name}, both nights", "s", seconds, load=plan.loads),
        Measure(f"{name}, fired", "events/s", rates, load=plan.loads),
    ]


def _started(worker: Child) -> None:
    wait_until(
        lambda: WORKER_STARTED in worker.log.read_bytes(),
        what="the worker starts",
        timeout=60,
        children=[worker],
    )


def _count_waiting(store: psycopg.Connection[tuple[int]]) -> int:
    row = store.execute("SELECT count(*) FROM automate_execution WHERE status = 'WAITING'").fetchone()
    assert row is not None
    return row[0]
