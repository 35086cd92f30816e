"""What the benchmarks must do inside Django, as a process of its own; prints JSON.

source SLUG SECRET  create a webhook source with the preset `generic`
workflow JSON       create a workflow
key                 create an API key
emit FIRST COUNT    emit orders as events
enqueue COUNT       put no-op items into the outbox
run SLUG COUNT [ITEMS]  run a workflow by hand, one execution after the other, with so many items in its input
wire SLUG ITEMS     run a workflow by hand and drain it in this process; count statements and commits on the wire
occur TYPE COUNT    emit numbered events of a type
idle SECONDS        be a worker, and time every statement
wake TYPE FIRST COUNT  emit events that executions wait for, one after the other
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import django
from django.db import connection, transaction

from benchmarks import orders

TRANSACTION_SIZE = 1000
WAKE_PAUSE_SECONDS = 0.1
"""Between one woken execution and the next event, so that each finds an idle system."""


def source(slug: str, secret: str) -> str:
    """Create a webhook source that signs like orders do; return its id."""
    from automate.webhooks.sources import create_source

    return str(create_source(slug=slug, preset="generic", secret=secret, by="benchmarks").id)


def workflow(document: str) -> str:
    """Create a workflow from the arguments of `create_workflow` as JSON; return its id."""
    from automate.workflows import create_workflow

    return str(create_workflow(**json.loads(document), by="benchmarks").id)


def key() -> str:
    """Create an API key that may run workflows; return it."""
    from automate_api.keys import create_key
    from automate_core.models import Role, current_tenant_id

    return create_key(name="bench", tenant_id=current_tenant_id(), role=Role.RUNNER, by="benchmarks")[1]


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


def run(slug: str, count: int, items: int = 0, *, timeout: float = 100.0) -> list[dict[str, float]]:
    """Run a workflow `count` times, one after the other; return what each took in milliseconds.

    `recorded_ms` is the execution's own started_at to finished_at; `seen_ms` is from the commit of
    `run_workflow` until a reader sees SUCCESS.
    """
    from automate.events import run_workflow

    took = []
    for _ in range(count):
        execution_id = run_workflow(slug, _input(items))
        start = time.perf_counter()
        recorded_ms = _wait(execution_id, timeout)
        took.append({"recorded_ms": recorded_ms, "seen_ms": (time.perf_counter() - start) * 1000})
    return took


def wire(slug: str, items: int) -> dict[str, int]:
    """Run a workflow and drain it here; return the statements the server executed and the commits that wrote."""
    from automate.events import run_workflow
    from automate_core.outbox.drain import Drain
    from tests.factories.wire import traffic

    execution_id = run_workflow(slug, _input(items))
    with traffic() as seen:
        Drain().run_until_empty(max_seconds=100)
    _wait(execution_id, 0.1)
    return {"statements": len(seen.statements), "commits": seen.commits}


def occur(event_type: str, count: int) -> None:
    """Emit numbered events in transactions of 1,000."""
    from automate.events import emit_event

    for first in range(0, count, TRANSACTION_SIZE):
        with transaction.atomic():
            for number in range(first, min(first + TRANSACTION_SIZE, count)):
                emit_event(event_type, {"i": number})


def wake(event_type: str, first: int, count: int, *, timeout: float = 30.0) -> list[float]:
    """Emit events that one execution each waits for; return the milliseconds until its SUCCESS is seen.

    The execution is the one whose own event has the same number.
    """
    from automate.events import emit_event

    took = []
    for number in range(first, first + count):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT x.id::text FROM automate_execution x JOIN automate_event e ON e.id = x.event_id"
                " WHERE x.status = 'WAITING' AND e.type LIKE 'bench.listen%%' AND (e.payload ->> 'i')::int = %s",
                [number],
            )
            (execution_id,) = cursor.fetchone()
        emit_event(event_type, {"i": number})
        start = time.perf_counter()
        _wait(execution_id, timeout)
        took.append((time.perf_counter() - start) * 1000)
        time.sleep(WAKE_PAUSE_SECONDS)
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


def _input(items: int) -> dict[str, Any]:
    return {"n": 1, "items": [{"sku": f"SKU-{number:05d}", "price": number % 100} for number in range(items)]}


def idle(seconds: int) -> dict[str, list[float]]:
    """Be a worker for some seconds; return how long each statement took, in milliseconds."""
    from benchmarks.idle import watch

    return watch(seconds)


COMMANDS: dict[str, Callable[..., Any]] = {
    "source": source,
    "workflow": workflow,
    "key": key,
    "emit": emit,
    "enqueue": enqueue,
    "run": run,
    "wire": wire,
    "occur": occur,
    "idle": idle,
    "wake": wake,
}


def main() -> None:
    """Run the command named by the arguments."""
    django.setup()
    command, *words = sys.argv[1:]
    numbers = [int(word) if word.isdigit() else word for word in words]
    found: Any = COMMANDS[command](*numbers)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
