"""The doorbell over Celery: sends its messages from a thread of its own, and never piles them up at the broker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from automate_core.errors import AutomateError

logger = logging.getLogger(__name__)

WAITING_LIMIT = 100
"""Messages waiting in the queue from which on another one would tell its workers nothing new."""
FAILURE_PAUSE_SECONDS = 5.0
"""How long a bell whose broker failed stays silent."""


class CeleryMissing(AutomateError):
    """Celery is not installed: pip install 'django-automate[celery]', or turn AUTOMATE["CELERY_DOORBELL"] off."""


try:
    from celery import Task
    from kombu.exceptions import ChannelError
except ImportError as missing:
    raise CeleryMissing from missing


class BellTask(Task):  # type: ignore[misc]
    """A task without content: it is not sent while its queue is full of messages nobody has taken.

    A message that expired stays at the broker until a worker throws it away, and there may be no worker.
    """

    abstract = True

    def apply_async(
        self, args: Any = None, kwargs: Any = None, *, producer: Any = None, **options: Any
    ) -> Any:
        """Send the message, or return None when enough are waiting."""
        if self.app.conf.task_always_eager:
            return super().apply_async(args, kwargs, **options)
        with self.app.producer_or_acquire(producer) as sender:
            queue = self.app.amqp.router.route(dict(options), self.name)["queue"]
            if _waiting(sender.channel, queue) >= WAITING_LIMIT:
                return None
            return super().apply_async(args, kwargs, producer=sender, **options)


class Ringer:
    """Calls `send` soon after each ring, from a daemon thread: a broker that is slow or away holds up nobody.

    Rings that come while it is sending, or while it keeps silent after a failure, are one.
    """

    def __init__(self, send: Callable[[], object], *, pause_seconds: float = FAILURE_PAUSE_SECONDS) -> None:
        self._send = send
        self._pause_seconds = pause_seconds
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """Ask for a message; returns at once."""
        self._wanted.set()
        with self._lock:
            # A fork has no thread, whatever its parent had.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="automate-celery-bell", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        silence = threading.Event()
        while self._wanted.wait():
            self._wanted.clear()
            try:
                self._send()
            except Exception as error:  # noqa: BLE001 - brokers fail in many ways, and each costs latency only
                logger.warning("outbox.bell_failed", extra={"error": f"{type(error).__name__}: {error}"})
                silence.wait(self._pause_seconds)


def _waiting(channel: Any, queue: Any) -> int:
    queue(channel).declare()
    try:
        return int(channel.queue_declare(queue=queue.name, passive=True).message_count)
    except ChannelError:
        # Redis knows no empty queue.
        return 0
