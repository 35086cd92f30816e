"""What the benchmarks must do inside Django, as a process of its own: run workflows by hand, fill the outbox.

`python -m benchmarks.client enqueue COUNT` or `python -m benchmarks.client run SLUG COUNT`; prints JSON.
"""

from __future__ import annotations

import json
import sys
import time

import django
from django.db import connection, transaction


def enqueue(count: int) -> float:
    """Enqueue no-op items in transactions of 1,000; return items a second."""
    from automate_core.outbox import enqueue as promise
    from benchmarks.effects_app import KIND

    start = time.perf_counter()
    for first in range(0, count, 1000):
        with transaction.atomic():
            for number in range(first, min(first + 1000, count)):
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
    if command == "enqueue":
        print(json.dumps(enqueue(int(words[0]))))
    else:
        print(json.dumps(run(words[0], int(words[1]))))


if __name__ == "__main__":
    main()
