"""One who looks on: a bounded queue of messages between the hub and a connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from automate.realtime.messages import Message

QUEUE_LIMIT = 2_000
"""Messages that may wait for one connection; one who reads more slowly than that is dropped."""


class TooSlow(Exception):
    """The connection did not take its messages in time."""


class Subscription:
    """Messages of one workflow, or of one of its executions, for one connection.

    `resync` asks the connection to read the state anew: when it wants to, or when messages were lost for good.
    """

    __slots__ = ("_filled", "_floors", "_waiting", "execution_id", "is_lost", "resync", "workflow_id")

    def __init__(self, workflow_id: str, execution_id: str | None = None) -> None:
        self.workflow_id = workflow_id
        self.execution_id = execution_id
        self.resync = False
        self.is_lost = asyncio.Event()
        self._waiting: deque[Message] = deque()
        self._filled = asyncio.Event()
        self._floors: dict[str, int] = {}

    def push(self, said: Sequence[Message]) -> None:
        """Queue messages; a queue that would grow too long is emptied, and the connection is lost."""
        if self.is_lost.is_set():
            return
        if len(self._waiting) + len(said) > QUEUE_LIMIT:
            self._waiting.clear()
            self.is_lost.set()
        else:
            self._waiting.extend(
                said
                if self.execution_id is None
                else (one for one in said if one.execution_id == self.execution_id)
            )
        self._filled.set()

    def ask_state(self) -> None:
        """Have the connection read and send the state anew."""
        self.resync = True
        self._filled.set()

    def wake(self) -> None:
        """Have the connection look what there is to do."""
        self._filled.set()

    def knows(self, execution_id: str, seq: int) -> None:
        """Leave out what is queued of an execution up to a number: the connection has it from elsewhere."""
        self._floors[execution_id] = max(seq, self._floors.get(execution_id, 0))

    async def next(self) -> list[Message]:
        """Wait for something to do; return the messages to send, none when the state is asked for.

        Raises:
            TooSlow: the queue grew too long.
        """
        await self._filled.wait()
        if self.is_lost.is_set():
            raise TooSlow
        self._filled.clear()
        if self.resync:
            self._filled.set()  # what is queued comes after the state
            return []
        taken = [
            one for one in self._waiting if one.is_fleeting or one.seq > self._floors.get(one.execution_id, 0)
        ]
        self._waiting.clear()
        return taken
