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
FOREACH: Graph = {
    "nodes": [
        {
            "id": "loop",
            "type": "for_each",
            "config": {"items": "{{ input.items }}", "result": "{{ steps.line.output.total }}"},
        },
        {
            "id": "line",
            "type": "transform",
            "config": {"output": {"sku": "{{ item.sku }}", "total": "{{ item.price }}"}},
        },
    ],
    "edges": [{"source": "loop", "target": "line", "source_handle": "item"}],
}


def parallel(url: str, count: int) -> Graph:
    """Return `count` calls after one step, with no path between them. Without edges they would be a sequence."""
    calls = [
        {"id": f"call_{number}", "type": "http.request", "config": {"method": "GET", "url": url}}
        for number in range(count)
    ]
    start = {"id": "start", "type": "transform", "config": {"output": "{{ input.n }}"}}
    return {
        "nodes": [start, *calls],
        "edges": [{"source": "start", "target": call["id"]} for call in calls],
    }


def listening(event_type: str, *, timeout_seconds: float | None) -> Graph:
    """Return a wait for the event with the number of the execution's own, and a step after it."""
    config: dict[str, Any] = {"event_type": event_type, "match": {"payload.i": "{{ input.i }}"}}
    if timeout_seconds is not None:
        config["timeout_seconds"] = timeout_seconds
    return _then_done({"id": "wait", "type": "wait_for_event", "config": config})


def sleeping(seconds: float) -> Graph:
    """Return a delay and a step after it."""
    return _then_done({"id": "wait", "type": "delay", "config": {"seconds": seconds}})


def _then_done(node: dict[str, Any]) -> Graph:
    done = {"id": "done", "type": "transform", "config": {"output": "{{ input.i }}"}}
    return {"nodes": [node, done], "edges": [{"source": "wait", "target": "done"}]}
