"""Two transactions that meet: one is begun and held open while another, on a thread of its own, runs into its locks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

PATIENCE_SECONDS = 60.0

_BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


@contextmanager
def meeting(other: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Hold what the block writes until `other` waits for it on another connection; then commit and let both end.

    The future has the result of `other`, or its error, once the block is over.
    """
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            future: Future[Any] = Future()
            yield future
            pool.submit(_settle, future, other)
            _wait_until_blocked()
        future.exception(PATIENCE_SECONDS)


def _settle(future: Future[Any], other: Callable[[], Any]) -> None:
    try:
        future.set_result(other())
    except BaseException as error:  # handed to whoever asks for the result
        future.set_exception(error)
    finally:
        connection.close()


def _wait_until_blocked() -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(_BLOCKED)
            if cursor.fetchone()[0]:
                return
        time.sleep(0.005)
    raise AssertionError("The other side never came to wait")
