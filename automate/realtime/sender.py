"""Sends messages into the channel layer from a thread of its own, so that nothing that happens ever waits for it.

Lossy by design: while the layer is down the oldest messages are dropped, and whoever watches reads the database.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Mapping, Sequence

from automate.realtime import layers
from automate.realtime.messages import Message

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 10_000
"""Messages that wait to be sent; beyond it the oldest batches are dropped."""
BATCH_LIMIT = 500
"""Messages of one workflow that go out as one."""
SEND_SECONDS = 5.0
"""How long one batch may take before it is given up."""
LONGEST_PAUSE_SECONDS = 2.0
TYPE = "automate.live"
"""Type of the envelope, for a layer shared with others."""


def group_of(workflow_id: str) -> str:
    """Return the name of the group of those who watch a workflow."""
    return f"automate.live.{workflow_id}"


class Sender:
    """A bounded queue of batches and the thread that empties it; the thread starts with the first batch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled = asyncio.Event()
        self._batches: deque[tuple[str, list[Message]]] = deque()
        self._size = 0
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def put(self, said: Mapping[str, Sequence[Message]]) -> None:
        """Queue messages, given by workflow; never blocks."""
        with self._lock:
            for workflow_id, found in said.items():
                for first in range(0, len(found), BATCH_LIMIT):
                    batch = list(found[first : first + BATCH_LIMIT])
                    self._batches.append((workflow_id, batch))
                    self._size += len(batch)
            while self._size > QUEUE_LIMIT and len(self._batches) > 1:
                _, oldest = self._batches.popleft()
                self._size -= len(oldest)
                self.dropped += len(oldest)
            if self._thread is None or not self._thread.is_alive():
                self._loop = None
                self._thread = threading.Thread(target=self._run, name="automate-live", daemon=True)
                self._thread.start()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._filled.set)

    def _run(self) -> None:
        asyncio.run(self._send_on())

    async def _send_on(self) -> None:
        with self._lock:
            # From here on `put` wakes this loop; what came before is there already.
            self._filled = asyncio.Event()
            self._filled.set()
            self._loop = asyncio.get_running_loop()
        pause = 0.0
        while True:
            await self._filled.wait()
            self._filled.clear()
            for workflow_id, said in self._take():
                try:
                    await asyncio.wait_for(self._send(workflow_id, said), SEND_SECONDS)
                    pause = 0.0
                except Exception as error:  # noqa: BLE001 - any layer's own errors; what is lost is read again
                    self.dropped += len(said)
                    if not pause:
                        logger.warning(
                            "realtime.send_failed", extra={"error": f"{type(error).__name__}: {error}"}
                        )
                    pause = min(max(0.1, pause * 2), LONGEST_PAUSE_SECONDS)
                    await asyncio.sleep(pause)

    def _take(self) -> list[tuple[str, list[Message]]]:
        """Return all that waits, one batch for each workflow where they fit."""
        with self._lock:
            waiting, self._batches, self._size = self._batches, deque(), 0
        merged: list[tuple[str, list[Message]]] = []
        latest: dict[str, list[Message]] = {}
        for workflow_id, said in waiting:
            together = latest.get(workflow_id)
            if together is not None and len(together) + len(said) <= BATCH_LIMIT:
                together += said
            else:
                latest[workflow_id] = said
                merged.append((workflow_id, said))
        return merged

    async def _send(self, workflow_id: str, said: list[Message]) -> None:
        envelope = {"type": TYPE, "workflow_id": workflow_id, "messages": [list(message) for message in said]}
        await layers.group_send(group_of(workflow_id), envelope)


_sender: tuple[int, Sender] | None = None


def current() -> Sender:
    """Return this process's sender; a fork gets its own."""
    global _sender
    if _sender is None or _sender[0] != os.getpid():
        _sender = (os.getpid(), Sender())
    return _sender[1]
