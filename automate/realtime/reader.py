"""The one connection over which an event loop reads for all who look on, so that a watcher holds none of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from automate_core import sql


class Reader:
    """Runs statements one after the other; a connection found broken is made again once."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._connection: psycopg.AsyncConnection | None = None

    async def fetch(self, statement: str, params: Mapping[str, Any]) -> list[sql.Row]:
        """Return the rows of one statement, which is a transaction of its own.

        Raises:
            psycopg.Error: the database cannot be reached, or refuses.
        """
        async with self._lock:
            for is_last in (False, True):
                try:
                    return await _run(await self._connected(), statement, params)
                except psycopg.OperationalError:
                    await self._drop()
                    if is_last:
                        raise
                except asyncio.CancelledError:
                    await self._drop()
                    raise
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Hold the connection for one transaction."""
        async with self._lock:
            try:
                connection = await self._connected()
                async with connection.transaction():
                    yield connection
            except (psycopg.OperationalError, asyncio.CancelledError):
                await self._drop()
                raise

    async def close(self) -> None:
        """Close the connection; the next statement opens one."""
        async with self._lock:
            await self._drop()

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(**sql.connect_params(), autocommit=True)
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def _run(
    connection: psycopg.AsyncConnection, statement: str, params: Mapping[str, Any]
) -> list[sql.Row]:
    cursor = await connection.execute(statement, params)
    return await cursor.fetchall() if cursor.description else []
