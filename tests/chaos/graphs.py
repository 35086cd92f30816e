"""The workflows the scenarios run."""

from __future__ import annotations

from typing import Any

Graph = dict[str, Any]

_REFERENCE = {"execution": "{{ execution.id }}"}


def once(url: str, name: str = "once", query: str = "") -> Graph:
    """Return a step that may be repeated: its header carries the step's key."""
    return {
        "id": name,
        "type": "http.request",
        "config": {
            "method": "POST",
            "url": f"{url}/effect/idempotent{query}",
            "json": {**_REFERENCE, "step": name},
            "idempotency_header": "Idempotency-Key",
            "timeout_seconds": 120,
        },
    }


def mail(url: str, name: str = "mail", query: str = "") -> Graph:
    """Return a step that must not be repeated."""
    return {
        "id": name,
        "type": "http.request",
        "config": {
            "method": "POST",
            "url": f"{url}/effect/at_most_once{query}",
            "json": {**_REFERENCE, "step": name},
            "timeout_seconds": 120,
        },
    }


def mixed(url: str) -> Graph:
    """Return steps of all effect classes, one after the other."""
    return {
        "nodes": [
            {"id": "vars", "type": "set", "config": {"values": {"n": "{{ event.payload.n }}"}}},
            once(url, query="?delay=0.02"),
            {"id": "shape", "type": "transform", "config": {"output": {"n": "{{ variables.n }}"}}},
            {"id": "note", "type": "chaos_note"},
            mail(url, query="?delay=0.02"),
            {"id": "last", "type": "logging", "config": {"message": "done {{ steps.shape.output.n }}"}},
        ]
    }


def pure(word: str = "done") -> Graph:
    """Return two pure steps; the second one's output is `word`."""
    return {
        "nodes": [
            {"id": "vars", "type": "set", "config": {"values": {"n": "{{ event.payload.n }}"}}},
            {"id": "word", "type": "transform", "config": {"output": word}},
        ]
    }


def slow(word: str, seconds: float) -> Graph:
    """Return a wait and then a step whose output is `word`."""
    return {
        "nodes": [
            {"id": "wait", "type": "delay", "config": {"seconds": seconds}},
            {"id": "word", "type": "transform", "config": {"output": word}},
        ]
    }


def poison(kind: str) -> Graph:
    """Return a step that kills its worker when the event says so; others pass it by."""
    return {
        "nodes": [
            {"id": "is_bad", "type": "condition", "config": {"rule": {"var": "event.payload.bad"}}},
            {"id": "kill", "type": kind},
            {"id": "fine", "type": "transform", "config": {"output": "fine"}},
        ],
        "edges": [
            {"source": "is_bad", "target": "kill", "source_handle": "true"},
            {"source": "is_bad", "target": "fine", "source_handle": "false"},
        ],
    }


def calls(url: str, *, hold: float) -> Graph:
    """Return one repeatable call whose first answer is held back."""
    return {"nodes": [once(url, query=f"?hold={hold:g}")]}


def two_calls(url: str, *, hold: float) -> Graph:
    """Return a branch with a repeatable call and one with a call that is not, both held the first time."""
    return {
        "nodes": [
            {"id": "start", "type": "set", "config": {"values": {"n": "{{ event.payload.n }}"}}},
            once(url, query=f"?hold={hold:g}"),
            mail(url, query=f"?hold={hold:g}"),
        ],
        "edges": [{"source": "start", "target": "once"}, {"source": "start", "target": "mail"}],
    }
