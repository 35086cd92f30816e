"""The workloads: what each measures, on which stacks, against which target."""

from __future__ import annotations

import os
import time
import timeit
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from benchmarks import graphs, load, ours, raw
from benchmarks.database import Server
from benchmarks.effects_app import KIND
from benchmarks.measures import Measure, Target, percentile
from benchmarks.processes import wait_until
from benchmarks.profiling import Profiler
from benchmarks.stacks import SECRET, Stack, raw_stack

LATENCY_RATE = 10.0
SEQUENCE_STEPS = 40
WARM_ORDERS = 200
RULE_ROUNDS = 20_000
DRAIN_POLL_SECONDS = 0.05
LIVE = f"SELECT count(*) FROM automate_core_outboxitem WHERE kind = '{KIND}' AND status <> 'FAILED'"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to run, where, and how to tell progress."""

    server: Server
    directory: Path
    runs: int
    orders: int
    paced: int
    items: int
    timeout: float
    say: Callable[[str], None]
    profiler: Profiler | None = None
    loads: list[float] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        """Where the processes write their logs."""
        return self.directory / "logs"

    def note_load(self) -> None:
        """Remember the machine's load average of the last minute."""
        self.loads.append(os.getloadavg()[0])


def w1(plan: Plan) -> Sequence[Measure]:
    """Signed webhook -> durable -> 3 pure steps recorded -> SUCCESS."""
    target = Target(0.35, aim=0.6, of_raw=True)
    return _throughput(plan, "w1", grain="batch", graph=graphs.PURE, settings=ours.LOCAL, target=target)


def w1_effects(plan: Plan) -> Sequence[Measure]:
    """The same with 3 steps that have side effects: each is durable before the next starts."""
    target = Target(0.35, aim=0.6, of_raw=True)
    return _throughput(
        plan, "w1-effects", grain="layer", graph=graphs.EFFECTS, settings=ours.WITH_APP, target=target
    )


def latency(plan: Plan) -> Sequence[Measure]:
    """From the sending of a webhook to the finish its execution records, at 10 a second on an idle system."""
    found: dict[str, list[list[float]]] = {"raw": [], "ours": []}
    with ExitStack() as until_end:
        stacks = _pair(plan, until_end, grain="batch", graph=graphs.PURE, settings=ours.LOCAL)
        for number in range(plan.runs):
            for name, stack in stacks.items():
                time.sleep(1.0)
                first = stack.posted
                outcome = stack.post(plan.paced, rate=LATENCY_RATE, timeout=plan.timeout)
                stack.settle(timeout=plan.timeout)
                finished = stack.finish_times(first)
                took = [(finished[first + k] - sent) * 1000 for k, sent in enumerate(outcome.sent)]
                found[name].append(took)
                p50, p99 = percentile(took, 50), percentile(took, 99)
                plan.say(f"latency run {number + 1} {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
            plan.note_load()
    return [
        Measure(
            f"latency p{percent} at 10/s",
            "ms",
            [percentile(took, percent) for took in found["ours"]],
            [percentile(took, percent) for took in found["raw"]],
            Target(bound, at_most=True),
            plan.loads,
        )
        for percent, bound in ((50, 10.0), (99, 25.0))
    ]


def w2(plan: Plan) -> Sequence[Measure]:
    """Drain no-op items with one worker process, beside a raw loop at batch 100."""
    drained: list[float] = []
    ceiling: list[float] = []
    enqueued: list[float] = []
    with ours.installation(plan.server, plan.directory, settings=ours.WITH_APP) as installed:
        for number in range(plan.runs):
            name = f"bench_raw_drain_{os.getpid()}"
            url = plan.server.fresh(name)
            raw.fill(url, plan.items)
            ceiling.append(raw.drain(url))
            plan.server.drop(name)
            plan.say(f"w2 run {number + 1} raw: {ceiling[-1]:,.0f} items/s")
            enqueued.append(installed.client("enqueue", str(plan.items), timeout=plan.timeout))
            last = number == plan.runs - 1
            drained.append(_drain(plan, installed, plan.profiler if last else None))
            plan.say(f"w2 run {number + 1} ours: {drained[-1]:,.0f} items/s")
            plan.note_load()
    return [
        Measure("w2 drain", "items/s", drained, ceiling, Target(0.4, of_raw=True), plan.loads),
        Measure("w2 enqueue, one call an item", "items/s", enqueued, load=plan.loads),
    ]


def w3(plan: Plan) -> Sequence[Measure]:
    """One execution of 40 sequential trivial steps."""
    recorded: list[float] = []
    seen: list[float] = []
    ceiling: list[float] = []
    with ExitStack() as until_end:
        stack = until_end.enter_context(ours.our_stack(plan.server, plan.directory, graph=graphs.PURE))
        installed = stack.installation
        installed.add_workflow(port=stack.port, name="sequence", graph=graphs.SEQUENCE, event_type=None)
        name = f"bench_raw_sequence_{os.getpid()}"
        url = plan.server.fresh(name)
        until_end.callback(plan.server.drop, name)
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
    target = Target(30.0, at_most=True)
    return [
        Measure("w3 40 steps, started to finished", "ms", recorded, ceiling, target, plan.loads),
        Measure("w3 40 steps, committed to seen", "ms", seen, load=plan.loads),
    ]


def http(plan: Plan) -> Sequence[Measure]:
    """Requests a second, closed loop, no worker: raw ingest, an empty Django view, our webhook."""
    names = ("raw", "empty", "webhook")
    found: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as until_end:
        stacks = _pair(
            plan, until_end, grain="batch", graph=graphs.PURE, settings=ours.WITH_APP, worker=False
        )
        places = {
            "raw": (stacks["raw"].port, stacks["raw"].path),
            "empty": (stacks["ours"].port, "/bench/empty/"),
            "webhook": (stacks["ours"].port, stacks["ours"].path),
        }
        for number in range(plan.runs):
            for name, (port, path) in places.items():
                given = load.Load(port=port, path=path, secret=SECRET, count=plan.orders)
                found[name].append(load.apply(given, timeout=plan.timeout).per_second)
                plan.say(f"http run {number + 1} {name}: {found[name][-1]:,.0f} requests/s")
            plan.note_load()
    return [
        Measure("http empty Django view", "requests/s", found["empty"], load=plan.loads),
        Measure(
            "http webhook, beside raw ingest", "requests/s", found["webhook"], found["raw"], load=plan.loads
        ),
    ]


def rules(plan: Plan) -> Sequence[Measure]:
    """A compiled rule beside json-logic-qubit, on an AND/OR rule."""
    from json_logic import jsonLogic

    from automate.rules import compile_rule
    from benchmarks.rules import RULES

    rule, data = RULES["and/or"]
    compiled = compile_rule(rule)
    pairs = []
    for _ in range(plan.runs):
        theirs = RULE_ROUNDS / timeit.timeit(lambda: jsonLogic(rule, data), number=RULE_ROUNDS)
        ours_rate = RULE_ROUNDS / timeit.timeit(lambda: compiled.evaluate(data), number=RULE_ROUNDS)
        pairs.append((ours_rate, theirs))
        plan.note_load()
    mine, reference = zip(*pairs, strict=True)
    target = Target(10.0, of_raw=True)
    return [Measure("rules, beside json-logic-qubit", "evaluations/s", mine, reference, target, plan.loads)]


def _throughput(
    plan: Plan, name: str, *, grain: str, graph: graphs.Graph, settings: str, target: Target
) -> Sequence[Measure]:
    rates: dict[str, list[float]] = {"raw": [], "ours": []}
    accepted: dict[str, list[float]] = {"raw": [], "ours": []}
    with ExitStack() as until_end:
        stacks = _pair(plan, until_end, grain=grain, graph=graph, settings=settings)
        for number in range(plan.runs):
            for side, stack in stacks.items():
                watching = plan.profiler if side == "ours" and number == plan.runs - 1 else None
                if watching is not None:
                    watching.attach(f"{name} run {number + 1}", stack.children)
                outcome = stack.post(plan.orders, timeout=plan.timeout)
                ended = stack.settle(timeout=plan.timeout)
                rates[side].append(plan.orders / (ended - outcome.started_at))
                accepted[side].append(outcome.per_second)
                if watching is not None:
                    plan.say(watching.report())
                plan.say(
                    f"{name} run {number + 1} {side}: {rates[side][-1]:,.0f} executions/s, "
                    f"{accepted[side][-1]:,.0f} accepted/s, "
                    f"p99 {percentile(outcome.seconds, 99) * 1000:.1f} ms"
                )
            plan.note_load()
    return [
        Measure(f"{name} throughput", "executions/s", rates["ours"], rates["raw"], target, plan.loads),
        Measure(f"{name} accepted", "webhooks/s", accepted["ours"], accepted["raw"], load=plan.loads),
    ]


def _pair(
    plan: Plan, until_end: ExitStack, *, grain: str, graph: graphs.Graph, settings: str, worker: bool = True
) -> dict[str, Stack]:
    plan.say(f"starting the raw engine ({grain} commit) and ours")
    stacks: dict[str, Stack] = {
        "raw": until_end.enter_context(raw_stack(plan.server, plan.logs, grain=grain)),
        "ours": until_end.enter_context(
            ours.our_stack(plan.server, plan.directory, graph=graph, settings=settings, worker=worker)
        ),
    }
    for stack in stacks.values() if worker else ():
        stack.post(WARM_ORDERS, concurrency=4, timeout=plan.timeout)
        stack.settle(timeout=plan.timeout)
    return stacks


def _drain(plan: Plan, installed: ours.Installation, profiler: Profiler | None) -> float:
    with (
        installed.worker(plan.logs, kinds=[KIND]) as worker,
        psycopg.connect(installed.url, autocommit=True) as store,
    ):

        def left() -> int:
            row = store.execute(LIVE).fetchone()
            assert row is not None
            return int(row[0])

        if profiler is not None:
            profiler.attach("w2", [worker])
        total = left()
        what = f"one worker drains {total} items"
        started = wait_until(
            lambda: left() < total,
            what=what,
            timeout=plan.timeout,
            children=[worker],
            poll=DRAIN_POLL_SECONDS,
        )
        remaining = left()
        ended = wait_until(
            lambda: left() == 0, what=what, timeout=plan.timeout, children=[worker], poll=DRAIN_POLL_SECONDS
        )
    if profiler is not None:
        plan.say(profiler.report())
    return remaining / (ended - started)


WORKLOADS: dict[str, Callable[[Plan], Sequence[Measure]]] = {
    "w1": w1,
    "w1-effects": w1_effects,
    "latency": latency,
    "w2": w2,
    "w3": w3,
    "rules": rules,
    "http": http,
}
"""Every workload by the name the command line knows it by."""
