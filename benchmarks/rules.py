"""Time compiled rules against json-logic-qubit: `python -m benchmarks.rules` prints both and the ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from json_logic import jsonLogic

from automate.rules import compile_rule

RULES: dict[str, tuple[Any, Any]] = {
    "and/or": (
        {
            "and": [
                {"==": [{"var": "status"}, "active"]},
                {"or": [{">": [{"var": "amount"}, 1000]}, {"==": [{"var": "priority"}, "high"]}]},
            ]
        },
        {"status": "active", "amount": 500, "priority": "high"},
    ),
    "nested path": (
        {"==": [{"var": "event.payload.repository.name"}, "shop"]},
        {"event": {"payload": {"repository": {"name": "shop"}}}},
    ),
    "in list": ({"in": [{"var": "action"}, ["opened", "reopened", "closed"]]}, {"action": "closed"}),
    "some of 100": (
        {"some": [{"var": "items"}, {">": [{"var": "quantity"}, 98]}]},
        {"items": [{"quantity": quantity} for quantity in range(100)]},
    ),
}
RUNS = 5
SECONDS = 0.2


def main() -> None:
    """Print the median of five runs, in microseconds per evaluation."""
    print(f"{'rule':<14}{'ours us':>10}{'qubit us':>10}{'ratio':>8}")
    for name, (rule, data) in RULES.items():
        compiled = compile_rule(rule)
        ours = _median_seconds(lambda compiled=compiled, data=data: compiled.evaluate(data))
        theirs = _median_seconds(lambda rule=rule, data=data: jsonLogic(rule, data))
        print(f"{name:<14}{ours * 1e6:>10.2f}{theirs * 1e6:>10.2f}{theirs / ours:>7.1f}x")


def _median_seconds(call: Callable[[], Any]) -> float:
    return statistics.median(_seconds_a_call(call) for _ in range(RUNS))


def _seconds_a_call(call: Callable[[], Any]) -> float:
    calls = 0
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        for _ in range(100):
            call()
        calls += 100
    return (time.perf_counter() - start) / calls


if __name__ == "__main__":
    main()
