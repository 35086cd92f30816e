"""Duties: small periodic jobs every worker offers to do; the database decides who does each."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import Error, connection

from automate_core.registry import Registry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to do every `interval_seconds`, safe to be done by several workers at once."""

    name: str
    interval_seconds: float
    run: Callable[[], object]


duty_registry: Registry[Duty] = Registry("duty")


class DutyThread(threading.Thread):
    """Runs the duties of one worker process, each on its interval with 10 % jitter."""

    def __init__(self, duties: list[Duty]) -> None:
        super().__init__(name="automate-duties", daemon=True)
        self._due = {duty.name: time.monotonic() for duty in duties}
        self._duties = {duty.name: duty for duty in duties}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Run until stopped; a failing duty is logged and tried again on its next turn."""
        while not self._stopping.is_set():
            self.do_due()
            pause = min(self._due.values(), default=time.monotonic() + 1) - time.monotonic()
            self._stopping.wait(max(0.05, pause))
        connection.close()

    def do_due(self) -> None:
        """Do, in the calling thread, every duty whose time has come."""
        for name, duty in self._duties.items():
            if time.monotonic() >= self._due[name]:
                self._do(duty)

    def stop(self) -> None:
        """Ask the thread to end after the duty it is doing."""
        self._stopping.set()

    def _do(self, duty: Duty) -> None:
        try:
            duty.run()
        except Error as error:
            logger.warning("duty.database_lost", extra={"duty": duty.name, "error": str(error).strip()})
            connection.close()
        except Exception:
            logger.exception("duty.failed", extra={"duty": duty.name})
        jitter = random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
        self._due[duty.name] = time.monotonic() + duty.interval_seconds * jitter
