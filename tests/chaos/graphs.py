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


def ledger_call(url: str, name: str, path: str) -> dict[str, Any]:
    """Return a repeatable call that tells the ledger the path it is recorded under."""
    call = once(url, name, query="?delay=0.02")
    call["config"]["json"] = {**_REFERENCE, "step": path}
    return call


def flow(url: str, child: str) -> Graph:
    """Return one of everything a workflow can wait for; for a `bad` event it fails, and undoes its first call."""
    reserve = {**ledger_call(url, "reserve", "reserve"), "compensate_with": "release"}
    return {
        "nodes": [
            reserve,
            ledger_call(url, "release", "release"),
            {
                "id": "lines",
                "type": "for_each",
                "config": {"items": "{{ input.lines }}", "concurrency": 3, "result": "{{ item }}"},
            },
            ledger_call(url, "charge", "lines[{{ index }}]/charge"),
            {
                "id": "invoice",
                "type": "subworkflow",
                "config": {"workflow": child, "input": {"n": "{{ input.n }}"}},
            },
            {
                "id": "paid",
                "type": "wait_for_event",
                "config": {"event_type": "chaos.paid", "match": {"payload.n": "{{ input.n }}"}},
            },
            {"id": "is_bad", "type": "condition", "config": {"rule": {"var": "input.bad"}}},
            {"id": "fail", "type": "transform", "config": {"output": "{{ input.absent }}"}},
            {
                "id": "answer",
                "type": "return",
                "config": {
                    "output": {
                        "n": "{{ input.n }}",
                        "lines": "{{ steps.lines.output.results }}",
                        "invoice": "{{ steps.invoice.output.output.invoice }}",
                        "paid": "{{ steps.paid.output.event.payload.n }}",
                    }
                },
            },
        ],
        "edges": [
            {"source": "reserve", "target": "lines"},
            {"source": "lines", "target": "charge", "source_handle": "item"},
            {"source": "lines", "target": "invoice", "source_handle": "done"},
            {"source": "invoice", "target": "paid"},
            {"source": "paid", "target": "is_bad", "source_handle": "main"},
            {"source": "is_bad", "target": "fail", "source_handle": "true"},
            {"source": "is_bad", "target": "answer", "source_handle": "false"},
        ],
        "settings": {"concurrency": {"limit": 5, "key": "{{ event.payload.account }}", "on_limit": "queue"}},
    }


def invoice(url: str) -> Graph:
    """Return the workflow `flow` calls: a call and an output."""
    return {
        "nodes": [
            ledger_call(url, "book", "book"),
            {"id": "answer", "type": "return", "config": {"output": {"invoice": "{{ input.n }}"}}},
        ],
        "edges": [{"source": "book", "target": "answer"}],
    }
