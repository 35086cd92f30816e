"""What an idle worker asks the server: every statement of a real worker in this process, timed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from automate import admission, schedules
from automate_core.outbox import statements
from automate_core.outbox.worker import Worker

NAMES = {
    statements.LANES: "outbox: look for lanes",
    statements.CLAIM: "outbox: claim",
    statements.CLAIM_SUSPECT: "outbox: claim a suspect",
    statements.REAP: "outbox: reap",
    schedules._DUE: "schedules: due",
    admission._WAITED_FOR: "admission: who waits",
}
"""The polling statements by name; others go by how they begin."""


def watch(seconds: float) -> dict[str, list[float]]:
    """Run a worker for some seconds and return how long each of its statements took, in milliseconds.

    The times are those of the worker: from sending to the last row, so they hold the way there and back as well.
    """
    worker = Worker()
    bell = threading.Timer(seconds, worker.stop)
    with _timed_statements() as took:
        bell.start()
        worker.run()
    return took


@contextmanager
def _timed_statements() -> Iterator[dict[str, list[float]]]:
    took: dict[str, list[float]] = {}
    execute = psycopg.Cursor.execute

    def timed(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(cursor, query, *args, **options)
        finally:
            name = NAMES.get(query) or " ".join(str(query).split())[:60]
            took.setdefault(name, []).append((time.perf_counter() - began) * 1000)

    psycopg.Cursor.execute = timed  # type: ignore[method-assign]
    try:
        yield took
    finally:
        psycopg.Cursor.execute = execute  # type: ignore[method-assign]
