"""Workloads that go through the web process: throughput, latency, requests a second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import graphs, load, ours, timed
from benchmarks.measures import Measure, Target, percentile
from benchmarks.plan import Plan
from benchmarks.stacks import RAW_APPLICATION, SECRET, Stack, raw_stack

LATENCY_RATE = 10.0
INGEST_RATES = (10.0, 100.0)
IDLE_SECONDS = 1.0
WARM_ORDERS = 200


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
    """From the sending of a webhook until its execution is finished, at 10 a second on an idle system."""
    visible: dict[str, list[list[float]]] = {"raw": [], "ours": []}
    recorded: dict[str, list[list[float]]] = {"raw": [], "ours": []}
    with ExitStack() as until_end:
        stacks = _pair(plan, until_end, grain="batch", graph=graphs.PURE, settings=ours.LOCAL)
        for number in range(plan.runs):
            for name, stack in stacks.items():
                time.sleep(IDLE_SECONDS)
                first = stack.posted
                outcome = stack.post(plan.paced, rate=LATENCY_RATE, timeout=plan.timeout)
                stack.settle(timeout=plan.timeout)
                finished = stack.finish_times(first)
                recorded[name].append(
                    [(finished[first + k] - sent) * 1000 for k, sent in enumerate(outcome.sent)]
                )
                visible[name].append([seconds * 1000 for seconds in outcome.visible_seconds])
                took = visible[name][-1]
                p50, p99 = percentile(took, 50), percentile(took, 99)
                plan.say(f"latency run {number + 1} {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
            plan.note_load()
    made = []
    for what, found, judged in (("finished_at", recorded, True), ("seen", visible, False)):
        for percent, bound in ((50, 10.0), (99, 25.0)):
            mine = [percentile(took, percent) for took in found["ours"]]
            beside = [percentile(took, percent) for took in found["raw"]]
            target = Target(bound, at_most=True) if judged else None
            made.append(
                Measure(f"latency p{percent} at 10/s, to {what}", "ms", mine, beside, target, plan.loads)
            )
    return made


def ingest(plan: Plan) -> Sequence[Measure]:
    """What the server spends on a webhook, and what the caller waits, at a steady rate."""
    made = []
    with ExitStack() as until_end:
        stacks = _pair(plan, until_end, grain="batch", graph=graphs.PURE, settings=ours.LOCAL, is_timed=True)
        for rate in INGEST_RATES:
            server: dict[str, list[list[float]]] = {"raw": [], "ours": []}
            caller: dict[str, list[list[float]]] = {"raw": [], "ours": []}
            for number in range(plan.runs):
                for name, stack in stacks.items():
                    time.sleep(IDLE_SECONDS)
                    timed.taken(stack.port)
                    count = int(plan.paced * rate / LATENCY_RATE)
                    outcome = stack.post(count, rate=rate, watched=False, timeout=plan.timeout)
                    server[name].append([seconds * 1000 for seconds in timed.taken(stack.port)])
                    caller[name].append([seconds * 1000 for seconds in outcome.seconds])
                    stack.settle(timeout=plan.timeout)
                    p50, p99 = (percentile(server[name][-1], percent) for percent in (50, 99))
                    plan.say(f"ingest {rate:g}/s run {number + 1} {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
                plan.note_load()
            for what, found in (("server", server), ("caller", caller)):
                for percent in (50, 99):
                    mine = [percentile(took, percent) for took in found["ours"]]
                    beside = [percentile(took, percent) for took in found["raw"]]
                    target = Target(10.0, at_most=True) if (what, percent) == ("server", 50) else None
                    name = f"ingest at {rate:g}/s, {what} p{percent}"
                    made.append(Measure(name, "ms", mine, beside, target, plan.loads))
    return made


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


def _throughput(
    plan: Plan, name: str, *, grain: str, graph: graphs.Graph, settings: str, target: Target
) -> Sequence[Measure]:
    rates: dict[str, list[float]] = {"raw": [], "ours": []}
    accepted: dict[str, list[float]] = {"raw": [], "ours": []}
    with ExitStack() as until_end:
        stacks = _pair(plan, until_end, grain=grain, graph=graph, settings=settings)
        for number in range(plan.runs):
            for side, stack in stacks.items():
                watching = plan.watcher(number) if side == "ours" else None
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
    plan: Plan,
    until_end: ExitStack,
    *,
    grain: str,
    graph: graphs.Graph,
    settings: str,
    worker: bool = True,
    is_timed: bool = False,
) -> dict[str, Stack]:
    plan.say(f"starting the raw engine ({grain} commit) and ours")
    theirs: Sequence[str] = RAW_APPLICATION
    mine: Sequence[str] = ours.APPLICATION
    if is_timed:
        theirs, mine = (("--factory", f"benchmarks.timed:{name}") for name in ("raw", "ours"))
    stacks: dict[str, Stack] = {
        "raw": until_end.enter_context(raw_stack(plan.server, plan.logs, grain=grain, application=theirs)),
        "ours": until_end.enter_context(
            ours.our_stack(
                plan.server, plan.directory, graph=graph, settings=settings, worker=worker, application=mine
            )
        ),
    }
    for stack in stacks.values() if worker else ():
        stack.post(WARM_ORDERS, concurrency=4, timeout=plan.timeout)
        stack.settle(timeout=plan.timeout)
    return stacks
