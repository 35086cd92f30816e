"""One who looks on: a bounded queue of messages between the hub and a connection.

What waits is bounded by its size, not by its count: a commit may finish hundreds of runs at once, and whoever reads on
gets all they say. Connections to the same workflow share the messages that wait for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from automate.realtime.messages import Message

QUEUE_LIMIT_BYTES = 8 * 1024 * 1024
"""Bytes that may wait for one connection; one who leaves more unread is dropped."""
PIECE_BYTES = 64 * 1024
"""Bytes that are handed over at once; between pieces others have their turn."""
MESSAGE_OVERHEAD_BYTES = 200
"""What a message takes beside its text."""


class TooSlow(Exception):
    """The connection did not take its messages in time."""


class Subscription:
    """Messages of one workflow, or of one of its executions, for one connection.

    `resync` asks the connection to read the state anew: when it wants to, or when messages were lost for good.
    """

    __slots__ = (
        "_filled",
        "_floors",
        "_size",
        "_waiting",
        "execution_id",
        "is_lost",
        "resync",
        "workflow_id",
    )

    def __init__(self, workflow_id: str, execution_id: str | None = None) -> None:
        self.workflow_id = workflow_id
        self.execution_id = execution_id
        self.resync = False
        self.is_lost = asyncio.Event()
        self._waiting: deque[Message] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._floors: dict[str, int] = {}

    def push(self, said: Sequence[Message]) -> None:
        """Queue messages; a queue that would grow too large is emptied, and the connection is lost."""
        if self.is_lost.is_set():
            return
        if self.execution_id is not None:
            said = [one for one in said if one.execution_id == self.execution_id]
        self._size += sum(map(_size, said))
        if self._size > QUEUE_LIMIT_BYTES:
            self._waiting.clear()
            self.is_lost.set()
        else:
            self._waiting.extend(said)
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
        """Wait for something to do; return the next piece to send, nothing when the state is asked for.

        Raises:
            TooSlow: the queue grew too large.
        """
        await self._filled.wait()
        if self.is_lost.is_set():
            raise TooSlow
        if self.resync:
            return []  # what is queued comes after the state
        taken: list[Message] = []
        size = 0
        while self._waiting and size < PIECE_BYTES:
            one = self._waiting.popleft()
            size += _size(one)
            if one.is_fleeting or one.seq > self._floors.get(one.execution_id, 0):
                taken.append(one)
        self._size -= size
        if not self._waiting:
            self._filled.clear()
        return taken


def _size(message: Message) -> int:
    return len(message.text) + MESSAGE_OVERHEAD_BYTES
