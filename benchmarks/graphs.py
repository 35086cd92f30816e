"""The workflows the benchmarks run, in the form the REST API takes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

Graph = dict[str, list[dict[str, Any]]]

PURE: Graph = {
    "nodes": [
        {
            "id": "set",
            "type": "set",
            "config": {"values": {"order_id": "{{ event.payload.order_id }}", "source": "bench"}},
        },
        {
            "id": "transform",
            "type": "transform",
            "config": {
                "output": {
                    "total": "{{ event.payload.amount }}",
                    "name": "{{ event.payload.customer_name | upper }}",
                }
            },
        },
        {
            "id": "condition",
            "type": "condition",
            "config": {"rule": {">": [{"var": "steps.transform.output.total"}, 100]}},
        },
    ],
    "edges": [{"source": "set", "target": "transform"}, {"source": "transform", "target": "condition"}],
}


def chain(step_type: str, config: dict[str, Any], count: int) -> Graph:
    """Return `count` steps of one type, one after the other."""
    names = [f"step_{number}" for number in range(count)]
    return {
        "nodes": [{"id": name, "type": step_type, "config": config} for name in names],
        "edges": [{"source": a, "target": b} for a, b in pairwise(names)],
    }


EFFECTS = chain("bench.nothing", {"order_id": "{{ event.payload.order_id }}"}, 3)
SEQUENCE = chain("transform", {"output": {"n": "{{ input.n }}"}}, 40)
