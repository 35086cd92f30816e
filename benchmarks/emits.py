"""Workload of audited requests: REST emits and runs of one tenant, from one client and from several at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from benchmarks import effects_app, graphs, load, ours
from benchmarks.measures import Measure, percentile
from benchmarks.plan import Plan
from benchmarks.processes import accepts, child, free_port, wait_until
from benchmarks.stacks import SECRET

CLIENTS = (1, 4, 8, 16)
WARM_REQUESTS = 200
WEB = "from config import processes; processes.preload(); processes.serve({port})"


def emits(plan: Plan) -> Sequence[Measure]:
    """REST emits and runs of one tenant, closed loop with 1 to 16 clients, beside webhooks, which leave no audit entry.

    The web process is that of `make run`. A worker does its duties and drains nothing: the cores are the requests'.
    """
    rates: dict[tuple[str, int], list[float]] = {}
    waits: dict[tuple[str, int], list[list[float]]] = {}
    with ExitStack() as until_end:
        loads = _site(plan, until_end)
        first = 0
        for number in range(-1, plan.runs):  # the first round warms up
            for clients in CLIENTS:
                for name, given in loads.items():
                    count = WARM_REQUESTS if number < 0 else plan.orders // 3
                    outcome = load.apply(
                        replace(given, count=count, concurrency=clients, first=first), timeout=plan.timeout
                    )
                    first += count
                    if number < 0:
                        continue
                    took = [seconds * 1000 for seconds in outcome.seconds]
                    rates.setdefault((name, clients), []).append(outcome.per_second)
                    waits.setdefault((name, clients), []).append(took)
                    plan.say(
                        f"emits run {number + 1} {name}, {clients} clients: {outcome.per_second:,.0f}/s, "
                        f"p50 {percentile(took, 50):.1f} ms, p99 {percentile(took, 99):.1f} ms"
                    )
            plan.note_load()
    made = []
    for (name, clients), found in rates.items():
        label = f"{name}, {clients} client{'s' if clients > 1 else ''}"
        made.append(Measure(label, "requests/s", found, load=plan.loads))
        for percent in (50, 99):
            each = [percentile(took, percent) for took in waits[name, clients]]
            made.append(Measure(f"{label}, p{percent}", "ms", each, load=plan.loads))
    return made


def _site(plan: Plan, until_end: ExitStack) -> dict[str, load.Load]:
    """Start the processes; return a load of each kind of request."""
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
    return {
        "webhook": replace(ask, path=f"/api/automate/webhooks/{ours.SOURCE}/"),
        "emit": replace(ask, path="/api/automate/events/", carries="emit", key=key),
        "run": replace(ask, path=f"/api/automate/workflows/{workflow}/run/", carries="run", key=key),
    }
