"""Tells messages in the order of their numbers, each once; what is missing between them is read from the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg

from automate.realtime import history
from automate.realtime.messages import Message
from automate.realtime.reader import Reader
from automate.realtime.topics import Topic

logger = logging.getLogger(__name__)

REPAIR_WINDOWS = 5
"""Windows of missing messages that are read; beyond that, connections read the state instead."""


@dataclass(slots=True)
class Gap:
    """What of an execution was not told: the numbers after `last`, up to `wanted` at least."""

    topic: Topic
    last: int
    wanted: int


class Gaps:
    """The executions of which something is missing here, and the task that reads it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._behind: dict[str, Gap] = {}
        self._repairing: asyncio.Task[None] | None = None

    def hear(self, topic: Topic, said: Iterable[Message]) -> None:
        """Tell what follows what is known; what does not is read from the database."""
        fresh: list[Message] = []
        for message in said:
            if message.is_fleeting:
                fresh.append(message)
                continue
            last = topic.known.get(message.execution_id)
            if last is None:
                last = 0 if topic.saw_begin(message.execution_id) else message.seq - 1
            if message.seq <= last:
                continue
            if message.seq > last + 1 or message.execution_id in self._behind:
                self._fall_behind(topic, message.execution_id, last, message.seq)
                continue
            topic.note(message.execution_id, message.seq)
            topic.note_end(message)
            fresh.append(message)
        topic.tell(fresh)

    def compare(self, topic: Topic, execution_id: str, seq: int, *, is_over: bool) -> None:
        """Look whether the database has more of an execution than was told."""
        last = topic.known.get(execution_id)
        if last is None and not topic.saw_begin(execution_id):
            topic.note(execution_id, seq)
        elif seq > (last or 0):
            self._fall_behind(topic, execution_id, last or 0, seq)
        elif is_over:
            topic.over.add(execution_id)

    def follow(self, topic: Topic, execution_id: str, seq: int) -> None:
        """Begin to follow an execution, so that a hole in its numbers shows; others may not have its beginning yet."""
        if execution_id not in topic.known:
            if topic.saw_begin(execution_id) and seq:
                self._fall_behind(topic, execution_id, 0, seq)
            else:
                topic.note(execution_id, seq)

    def close(self) -> None:
        """Give up what is missing."""
        self._behind.clear()
        if self._repairing is not None:
            self._repairing.cancel()

    def _fall_behind(self, topic: Topic, execution_id: str, last: int, wanted: int) -> None:
        gap = self._behind.setdefault(execution_id, Gap(topic, last, wanted))
        gap.wanted = max(gap.wanted, wanted)
        if self._repairing is None or self._repairing.done():
            self._repairing = asyncio.create_task(self._repair())

    async def _repair(self) -> None:
        """Read what is missing, a window at a time, and tell it."""
        windows = 0
        while self._behind:
            since = {execution_id: gap.last for execution_id, gap in self._behind.items()}
            try:
                rows = await self._reader.fetch(history.READ, history.params(since))
            except psycopg.Error as error:
                logger.warning("realtime.unreadable", extra={"error": str(error)})
                self._behind.clear()  # the next look finds it again
                return
            found = history.tell(rows, since)
            windows += 1
            for execution_id in since:
                said = found[execution_id][1] if execution_id in found else []
                gap = self._behind.pop(execution_id)
                self._fill(execution_id, gap, said, is_last=windows >= REPAIR_WINDOWS)

    def _fill(self, execution_id: str, gap: Gap, said: list[Message], *, is_last: bool) -> None:
        topic = gap.topic
        if not said:
            # Nothing has these numbers: rows of an older release, or rows that are gone.
            topic.note(execution_id, max(gap.wanted, topic.known.get(execution_id, 0)))
            return
        topic.note(execution_id, said[-1].seq)
        topic.note_end(said[-1])
        topic.tell(said)
        if said[-1].seq >= gap.wanted:
            return
        if not is_last:
            self._behind[execution_id] = Gap(topic, said[-1].seq, gap.wanted)
            return
        topic.note(execution_id, gap.wanted)
        topic.ask_state()
