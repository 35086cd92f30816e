"""What the benchmarks must do inside Django, as a process of its own; prints JSON.

source SLUG SECRET  create a webhook source with the preset `generic`
workflow JSON       create a workflow
emit FIRST COUNT    emit orders as events
enqueue COUNT       put no-op items into the outbox
run SLUG COUNT      run a workflow by hand, one execution after the other
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import django
from django.db import connection, transaction

from benchmarks import orders

TRANSACTION_SIZE = 1000


def source(slug: str, secret: str) -> str:
    """Create a webhook source that signs like orders do; return its id."""
    from automate.webhooks.sources import create_source

    return str(create_source(slug=slug, preset="generic", secret=secret, by="benchmarks").id)


def workflow(document: str) -> str:
    """Create a workflow from the arguments of `create_workflow` as JSON; return its id."""
    from automate.workflows import create_workflow

    return str(create_workflow(**json.loads(document), by="benchmarks").id)


def emit(first: int, count: int) -> float:
    """Emit orders in transactions of 1,000; return events a second."""
    from automate.events import emit_event
    from benchmarks.ours import SOURCE

    start = time.perf_counter()
    for begin in range(first, first + count, TRANSACTION_SIZE):
        with transaction.atomic():
            for number in range(begin, min(begin + TRANSACTION_SIZE, first + count)):
                emit_event(orders.EVENT_TYPE, orders.data(number, time.time()), source=SOURCE)
    return count / (time.perf_counter() - start)


def enqueue(count: int) -> float:
    """Enqueue no-op items in transactions of 1,000; return items a second."""
    from automate_core.outbox import enqueue as promise
    from benchmarks.effects_app import KIND

    start = time.perf_counter()
    for first in range(0, count, TRANSACTION_SIZE):
        with transaction.atomic():
            for number in range(first, min(first + TRANSACTION_SIZE, count)):
                promise(kind=KIND, payload={"i": number})
    rate = count / (time.perf_counter() - start)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE automate_core_outboxitem")
    return rate


def run(slug: str, count: int, *, timeout: float = 30.0) -> list[dict[str, float]]:
    """Run a workflow `count` times, one after the other; return what each took in milliseconds.

    `recorded_ms` is the execution's own started_at to finished_at; `seen_ms` is from the commit of
    `run_workflow` until a reader sees SUCCESS.
    """
    from automate.events import run_workflow

    took = []
    for _ in range(count):
        execution_id = run_workflow(slug, {"n": 1})
        start = time.perf_counter()
        recorded_ms = _wait(execution_id, timeout)
        took.append({"recorded_ms": recorded_ms, "seen_ms": (time.perf_counter() - start) * 1000})
    return took


def _wait(execution_id: str, timeout: float) -> float:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT status, extract(epoch FROM finished_at - started_at)::float8 * 1000"
                " FROM automate_execution WHERE id = %s",
                [execution_id],
            )
            status, milliseconds = cursor.fetchone()
        if status == "SUCCESS":
            return float(milliseconds)
        if status in {"FAILED", "CANCELLED"}:
            raise SystemExit(f"execution {execution_id} ended as {status}")
        time.sleep(0.001)
    raise SystemExit(f"execution {execution_id} did not finish within {timeout:g} s; it is {status}")


def main() -> None:
    """Run the command named by the arguments."""
    django.setup()
    command, *words = sys.argv[1:]
    found: Any
    if command == "source":
        found = source(*words)
    elif command == "workflow":
        found = workflow(words[0])
    elif command == "emit":
        found = emit(int(words[0]), int(words[1]))
    elif command == "enqueue":
        found = enqueue(int(words[0]))
    else:
        found = run(words[0], int(words[1]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
