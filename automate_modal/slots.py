"""Slots: how many requests of one process may wait at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from automate_core import conf


class Slots:
    """Counts those who hold one; `limit` is asked each time."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._held = 0

    @property
    def are_taken(self) -> bool:
        """Whether no slot is free."""
        return self._held >= self._limit()

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """Hold a slot during the block; tells whether there was a free one."""
        with self._lock:
            is_free = not self.are_taken
            self._held += is_free
        try:
            yield is_free
        finally:
            with self._lock:
                self._held -= is_free


waits = Slots(lambda: conf.get().JOB_WAIT_SLOTS)
"""Synchronous runs that wait for their job."""

streams = Slots(lambda: conf.get().JOB_STREAM_SLOTS)
"""Open streams of jobs' events."""
