"""Every workload by the name the command line knows it by."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Sequence

from benchmarks.drains import engine, w2, w3
from benchmarks.emits import emits
from benchmarks.flow import foreach, parallel, schedules, waiting
from benchmarks.ingest import http, ingest, latency, w1, w1_effects
from benchmarks.lists import lists
from benchmarks.live import live
from benchmarks.measures import Measure, Target
from benchmarks.plan import Plan

RULE_ROUNDS = 20_000


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


WORKLOADS: dict[str, Callable[[Plan], Sequence[Measure]]] = {
    "w1": w1,
    "w1-effects": w1_effects,
    "latency": latency,
    "ingest": ingest,
    "w2": w2,
    "w3": w3,
    "engine": engine,
    "rules": rules,
    "http": http,
    "emits": emits,
    "lists": lists,
    "foreach": foreach,
    "parallel": parallel,
    "waiting": waiting,
    "schedules": schedules,
    "live": live,
}

ALIASES = {"steps40": "w3"}
"""Other names of workloads."""
