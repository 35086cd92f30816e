"""One execution as server-sent events (HTML Living Standard, section 9.2), for those who cannot open a socket.

The number of a message is its event's id, so a client that comes back with `Last-Event-ID` gets what followed it
from the database, and then what happens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg

from automate.realtime import hub
from automate.realtime.messages import ENDS, Message
from automate.realtime.subscriptions import Subscription, TooSlow
from automate_core import conf

HEARTBEAT_SECONDS = 15.0
"""How often a stream in which nothing happens says that it is open."""
RECHECK_SECONDS = 45.0
"""How often it is asked whether the caller may still look on."""
START_SECONDS = 15.0
"""How long a stream that was opened may take to begin; one nobody reads is closed then."""

MayLook = Callable[[], Awaitable[bool]]


class Stream:
    """The events of an execution after a number; it ends with the execution, or when its caller may not look on."""

    def __init__(
        self, here: hub.Hub, subscription: Subscription, *, caller: str, after: int, may_look: MayLook
    ) -> None:
        self._here = here
        self._subscription = subscription
        self._caller = caller
        self._after = after
        self._may_look = may_look
        self._recheck_at = time.monotonic() + RECHECK_SECONDS
        self._is_open = True
        self._deadline = asyncio.get_running_loop().call_later(START_SECONDS, self._close)

    @classmethod
    async def open(
        cls, *, caller: str, workflow_id: str, execution_id: str, after: int, may_look: MayLook
    ) -> Stream:
        """Begin to look on.

        Raises:
            TooManyConnections: the caller holds as many live connections as one may.
            psycopg.Error: the database cannot be reached.
        """
        here = hub.current()
        await here.presence.take_seat(caller, limit=conf.get().LIVE_CONNECTIONS)
        try:
            subscription = await here.subscribe(workflow_id, execution_id)
        except BaseException:
            here.presence.leave_seat(caller)
            raise
        return cls(here, subscription, caller=caller, after=after, may_look=may_look)

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the stream's bytes."""
        self._deadline.cancel()
        try:
            yield b"retry: 1000\n\n"
            async for message in self._messages():
                yield b": open\n\n" if message is None else frame(message)
                if message is not None and message.kind in ENDS:
                    return
        except (TooSlow, psycopg.Error):
            return  # the client comes back with the number of its last event
        finally:
            self._close()

    async def _messages(self) -> AsyncIterator[Message | None]:
        """Yield what was said and what is said, and None now and then while nothing is."""
        async for message in self._missing():
            yield message
        while time.monotonic() < self._recheck_at or await self._may_go_on():
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    said = await self._subscription.next()
            except TimeoutError:
                yield None
                continue
            if self._subscription.resync or any(
                one.seq > self._after + 1 for one in said if not one.is_fleeting
            ):
                self._subscription.resync = False
                async for message in self._missing():
                    yield message
            for message in said:
                if message.is_fleeting:
                    yield message
                elif message.seq > self._after:
                    self._after = message.seq
                    yield message

    async def _missing(self) -> AsyncIterator[Message]:
        """Yield what the database has after the last number."""
        while said := await self._here.history(self._subscription.execution_id or "", self._after):
            for message in said:
                self._after = message.seq
                yield message

    async def _may_go_on(self) -> bool:
        self._recheck_at = time.monotonic() + RECHECK_SECONDS
        return await self._may_look()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._here.unsubscribe(self._subscription)
            self._here.presence.leave_seat(self._caller)


def frame(message: Message) -> bytes:
    """Return a message as an event; what is not recorded has no id."""
    data = b"data: " + message.text.encode() + b"\n\n"
    return data if message.is_fleeting else b"id: %d\n" % message.seq + data
