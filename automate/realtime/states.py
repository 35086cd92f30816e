"""States of workflows, read for all who ask for the same one at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

from automate.realtime import snapshot
from automate.realtime.reader import Reader

Key = tuple[str, str | None]
"""A workflow, and one of its executions if not the newest."""
Reading = asyncio.Task[dict[str, Any]]


class States:
    """Reads under way, and those that begin after them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._under_way: dict[Key, Reading] = {}
        self._next: dict[Key, Reading] = {}

    async def read(self, workflow_id: str, execution_id: str | None) -> dict[str, Any]:
        """Return the state of a workflow, read after this was called.

        Raises:
            psycopg.Error: the database cannot be reached.
        """
        key = (workflow_id, execution_id)
        if key in self._under_way:
            # That read has begun already: it may not see what happened since. All who come now share the next one.
            if key not in self._next:
                self._next[key] = asyncio.create_task(self._read_next(key))
            return await asyncio.shield(self._next[key])
        self._under_way[key] = asyncio.create_task(self._read(key))
        return await asyncio.shield(self._under_way[key])

    async def _read(self, key: Key) -> dict[str, Any]:
        try:
            rows = await self._reader.fetch(snapshot.READ, snapshot.params(*key))
        finally:
            del self._under_way[key]
        return snapshot.state_of(key[0], rows)

    async def _read_next(self, key: Key) -> dict[str, Any]:
        while key in self._under_way:
            await asyncio.wait([self._under_way[key]])
        self._under_way[key] = self._next.pop(key)
        return await self._read(key)
