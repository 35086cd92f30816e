"""The channel layer that carries messages from where things happen to where people look on.

Any layer of Channels will do. Without one configured, and without Redis, it is the one below, over PostgreSQL's own
NOTIFY: nothing is stored, nobody who is not listening costs anything, and what is lost is read from the tables.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict
from typing import Any
from weakref import WeakKeyDictionary

import orjson
import psycopg
from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer, InMemoryChannelLayer, channel_layers

from automate_core import conf, sql

logger = logging.getLogger(__name__)

PART_BYTES = 7_800
"""Longest payload of one NOTIFY; PostgreSQL takes fewer than 8,000 bytes."""
LONGEST_CHARACTER_BYTES = 4
LONGEST_PAUSE_SECONDS = 2.0
"""Longest wait before the next try to reach the database."""

_NOTIFY = """
SELECT set_config('synchronous_commit', 'off', true), pg_notify(%(name)s, part) FROM unnest(%(parts)s::text[]) AS part
"""

Envelope = dict[str, Any]


class PostgresChannelLayer(BaseChannelLayer):  # type: ignore[misc]
    """A channel layer over NOTIFY: groups and specific channels, JSON messages, at most once.

    Who belongs to a group is known only to the process the member lives in: every process hears every message and
    keeps those for its own. A broken connection is made again; what was sent meanwhile is lost.

    Args:
        name: of the PostgreSQL channel; processes that use the same one hear each other.
        dsn: connection string, for a database behind a pooler that cannot LISTEN; Django's default database when None.
        capacity: messages a channel holds; more are dropped.
        expiry: accepted for the sake of the interface; nothing is kept that could expire.
    """

    extensions = ["groups", "flush"]

    def __init__(
        self, name: str = "automate_live", dsn: str | None = None, expiry: int = 60, capacity: int = 10_000
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity)
        self.name = name
        self._dsn = dsn
        self._process = uuid.uuid4().hex[:12]
        self._wires: WeakKeyDictionary[asyncio.AbstractEventLoop, _Wire] = WeakKeyDictionary()

    async def send(self, channel: str, message: Envelope) -> None:
        """Send to a specific channel, whichever process it lives in."""
        self.require_valid_channel_name(channel)
        if "!" not in channel:
            raise TypeError(f"{channel!r} is not a specific channel; this layer has no others")
        await self._wire().notify({"channel": channel, "message": message})

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return a channel of this process that nobody else has."""
        return f"{prefix}.{self._process}!{uuid.uuid4().hex}"

    async def receive(self, channel: str) -> Envelope:
        """Return the next message of a channel of this process."""
        wire = self._wire()
        await wire.listen()
        queue = wire.queues.setdefault(channel, asyncio.Queue(self.capacity))
        try:
            return await queue.get()
        except asyncio.CancelledError:
            wire.forget(channel)
            raise

    async def group_add(self, group: str, channel: str) -> None:
        """Add a channel of this process to a group; from when this returns, it hears what the group is sent."""
        self.require_valid_group_name(group)
        wire = self._wire()
        await wire.listen()
        wire.queues.setdefault(channel, asyncio.Queue(self.capacity))
        wire.groups[group].add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Take a channel out of a group."""
        groups = self._wire().groups
        groups[group].discard(channel)
        if not groups[group]:
            del groups[group]

    async def group_send(self, group: str, message: Envelope) -> None:
        """Send to every channel of a group, in whichever process."""
        self.require_valid_group_name(group)
        await self._wire().notify({"group": group, "message": message})

    async def flush(self) -> None:
        """Forget every channel and group of this process and close its connections."""
        await self._wire().close()

    def _wire(self) -> _Wire:
        loop = asyncio.get_running_loop()
        if loop not in self._wires:
            self._wires[loop] = _Wire(self.name, self._dsn)
        return self._wires[loop]


class _Wire:
    """The layer's end in one event loop: one connection to listen, one to send, each opened when needed."""

    def __init__(self, name: str, dsn: str | None) -> None:
        self.name = name
        self.queues: dict[str, asyncio.Queue[Envelope]] = {}
        self.groups: defaultdict[str, set[str]] = defaultdict(set)
        self._dsn = dsn
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._sender: psycopg.AsyncConnection | None = None
        self._parts: list[str] = []
        self._whole = ""

    async def listen(self) -> None:
        """Return when messages are heard; raises psycopg.Error while the database cannot be reached."""
        if self._task is None or self._task.done():
            self._listening.clear()
            self._task = asyncio.create_task(self._listen_on())
        if not self._listening.is_set():
            started = asyncio.create_task(self._listening.wait())
            try:
                async with asyncio.timeout(LONGEST_PAUSE_SECONDS * 2):
                    await started
            except TimeoutError:
                raise psycopg.OperationalError("The database cannot be reached to listen") from None
            finally:
                started.cancel()

    async def notify(self, envelope: Envelope) -> None:
        """Send one message, in as many parts as it needs, which arrive together or not at all."""
        text = orjson.dumps(envelope).decode()
        length = PART_BYTES if text.isascii() else PART_BYTES // LONGEST_CHARACTER_BYTES
        pieces = [text[at : at + length] for at in range(0, len(text), length)]
        whole = uuid.uuid4().hex
        last = len(pieces) - 1
        # Numbered, because PostgreSQL delivers payloads that are equal within a transaction once.
        parts = [f"{whole}:{at}:{'.' if at == last else '-'}{piece}" for at, piece in enumerate(pieces)]
        async with self._sending:
            try:
                await (await self._connected()).execute(_NOTIFY, {"name": self.name, "parts": parts})
            except (psycopg.Error, asyncio.CancelledError):
                await self._hang_up()
                raise

    def forget(self, channel: str) -> None:
        """Drop a channel nobody receives from any more; the last one ends the listening."""
        self.queues.pop(channel, None)
        for group in [group for group, members in self.groups.items() if channel in members]:
            self.groups[group].discard(channel)
            if not self.groups[group]:
                del self.groups[group]
        if not self.queues and self._task is not None:
            self._task.cancel()
            self._task = None
            self._listening.clear()

    async def close(self) -> None:
        """Forget everything and close the connections."""
        for channel in list(self.queues):
            self.forget(channel)
        self.groups.clear()
        await self._hang_up()

    async def _listen_on(self) -> None:
        pause = 0.05
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(f'LISTEN "{self.name}"')
                    self._listening.set()
                    pause = 0.05
                    async for heard in connection.notifies():
                        self._take(heard.payload)
            except psycopg.Error as error:
                logger.warning("realtime.listener_lost", extra={"error": str(error)})
            self._listening.clear()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _take(self, payload: str) -> None:
        whole, _, rest = payload.partition(":")
        _, _, part = rest.partition(":")
        if whole != self._whole:
            self._whole, self._parts = whole, []
        self._parts.append(part[1:])
        if part[:1] != ".":
            return
        text, self._whole, self._parts = "".join(self._parts), "", []
        try:
            self._pass_on(orjson.loads(text))
        except (ValueError, TypeError, KeyError) as error:
            # Anybody who may connect to the database may NOTIFY; what is not ours must not end the listening.
            logger.warning("realtime.payload_ignored", extra={"error": f"{type(error).__name__}: {error}"})

    def _pass_on(self, envelope: Envelope) -> None:
        members = self.groups.get(envelope["group"], ()) if "group" in envelope else (envelope["channel"],)
        for channel in members:
            queue = self.queues.get(channel)
            if queue is not None and not queue.full():
                queue.put_nowait(envelope["message"])

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._sender is None or self._sender.closed:
            self._sender = await self._connect()
        return self._sender

    async def _connect(self) -> psycopg.AsyncConnection:
        if self._dsn is not None:
            return await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        return await psycopg.AsyncConnection.connect(**sql.connect_params(), autocommit=True)

    async def _hang_up(self) -> None:
        connection, self._sender = self._sender, None
        if connection is not None:
            await connection.close()


_postgres: PostgresChannelLayer | None = None
_home: asyncio.AbstractEventLoop | None = None


def current() -> Any:
    """Return the channel layer that is configured under AUTOMATE["CHANNEL_LAYER"], else one over PostgreSQL."""
    global _postgres
    alias = conf.get().CHANNEL_LAYER
    if alias in channel_layers.configs:
        return channel_layers[alias]
    if _postgres is None:
        _postgres = PostgresChannelLayer()
    return _postgres


def receive_here() -> None:
    """Remember that this loop receives: a layer in memory can be sent to from no other."""
    global _home
    _home = asyncio.get_running_loop()


async def group_send(group: str, message: Envelope) -> None:
    """Send to a group from any loop; into a layer in memory nobody receives from, nothing is sent."""
    layer = current()
    if not isinstance(layer, InMemoryChannelLayer):
        await layer.group_send(group, message)
    elif _home is not None and not _home.is_closed():
        sent = asyncio.run_coroutine_threadsafe(_put(layer, group, message), _home)
        await asyncio.wrap_future(sent)


async def _put(layer: Any, group: str, message: Envelope) -> None:
    try:
        await layer.group_send(group, message)
    except ChannelFull:
        logger.warning("realtime.channel_full")
